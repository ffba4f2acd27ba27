"""What a stranger's files may not do: run code, lead out of their folder, or claim sizes that they do not have."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import codemix
from codemix import config
from codemix.data.corpus.readers.parquet import Parquet
from codemix.data.settings import Data
from codemix.data.store.token_store import open_store
from codemix.errors import UserError
from codemix.evaluation.judge.judge import Judge
from codemix.evaluation.results import read_results
from codemix.huggingface.weights import open_weights
from codemix.identity import file_digest
from codemix.report.results import read_study
from codemix.storage import write_json
from tests.data.stores import make_store
from tests.fuzz.stores import reseal_store
from tests.report.fake_study import paper_recipes, stage_folders, write_fake_study

PACKAGE = Path(codemix.__file__).parent
OUTSIDE = ('../x', '../../x', '/etc/hostname', '..', '.', '', 'a/b', 'a\0b', '\udc80\ud800')
# Pickles go from a process to those that it started, in a pipe or a folder that it has just made.
OWN_PICKLES = {'gin_stages.py', 'workers/beam.py', 'workers/processes.py', 'workers/step.py'}
_UNSAFE = {'pickle', 'cPickle', 'dill', 'cloudpickle', 'joblib', 'shelve', 'torch', 'zipfile', 'tarfile'}


class Harm:
  """A pickle that makes a file when it is loaded."""

  def __init__(self, mark: Path):
    self.mark = mark

  def __reduce__(self):
    return os.mkdir, (str(self.mark),)


def imports_of(tree: ast.AST) -> set[str]:
  names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
  return names | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}


def test_only_what_passes_between_own_processes_is_pickled_and_no_archive_is_unpacked():
  found = {}
  for path in PACKAGE.rglob('*.py'):
    tree = ast.parse(path.read_text(encoding='utf-8'))
    if used := {name.split('.')[0] for name in imports_of(tree)} & _UNSAFE:
      found[str(path.relative_to(PACKAGE))] = used
    named = {keyword.arg: keyword.value for node in ast.walk(tree) if isinstance(node, ast.Call) for keyword in node.keywords}
    assert 'allow_pickle' not in named, path
  peers = {path for path, used in found.items() if used == {'torch'}}  # transformers beside codemix, in a Python of its own
  assert {path.split('/')[0] for path in peers} <= {'huggingface', 'benchmarks'}
  assert {path for path in found if path not in peers} == OWN_PICKLES


def with_pickle(mark: Path) -> bytes:
  content = io.BytesIO()
  np.save(content, np.array([[Harm(mark), 1]], object), allow_pickle=True)
  return content.getvalue()


def test_a_table_of_a_store_that_is_a_pickle_runs_nothing(tmp_path):
  folder = tmp_path / 'store'
  make_store(folder, [30] * 4)
  mark = tmp_path / 'ran'
  for content in (with_pickle(mark), pickle.dumps(Harm(mark))):
    next(folder.glob('*.npy')).write_bytes(content)
    reseal_store(folder)
    with pytest.raises(UserError, match=str(folder)):
      open_store(folder).document_ends  # noqa: B018 (reads the tables)
  assert not mark.exists()
  pickle.loads(pickle.dumps(Harm(mark)))
  assert mark.exists()  # it would have been seen


def test_results_of_an_earlier_version_that_are_pickles_run_nothing(tmp_path):
  output = write_fake_study(tmp_path / 'study', {'one': paper_recipes(steps=4)['text-only'][:1]}, documents=4)
  [folder] = stage_folders(output)
  record = folder / 'evaluation' / 'held_out' / 'text.json'
  record.write_text(json.dumps({key: value for key, value in json.loads(record.read_text()).items() if key not in ('items', 'digest')}))
  record.with_suffix('.parquet').unlink()
  np.savez(record.with_suffix('.npz'), nats=np.array([Harm(tmp_path / 'ran')], object))
  with pytest.raises(UserError, match='text.npz is damaged'):
    read_results(folder)['held_out/text'].items()
  assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('name', OUTSIDE)
def test_no_name_in_a_manifest_leads_out_of_its_folder(name, tmp_path):
  folder = tmp_path / 'store'
  make_store(folder, [30] * 4)
  path = folder / 'manifest.json'
  whole = json.loads(path.read_text())
  changed = {
    r'shards\[0\].name': [{**whole['shards'][0], 'name': name}, *whole['shards'][1:]],
    'file is .*, not the name of a file': [{**whole['shards'][0], 'quarantine': {'file': name, 'sha256': '', 'records': 1}}, *whole['shards'][1:]],
    r'shards\[0\].sha256': [{**whole['shards'][0], 'sha256': {name: file_digest(path)}}, *whole['shards'][1:]],
  }
  for says, shards in changed.items():
    path.write_text(json.dumps({**whole, 'shards': shards}))
    reseal_store(folder, files=False)
    with pytest.raises(UserError, match=says):
      open_store(folder)


@pytest.mark.parametrize('name', [name for name in OUTSIDE if name.isascii()])  # other bytes are replaced as they are read
def test_no_pointer_to_a_store_leads_out_of_its_folder(name, tmp_path):
  data = Data(directory=str(tmp_path), tokenizer='bytes', task_modules=())
  tokenizer = data.load_tokenizer()
  pointer = data.pointer('lines', 'train', tokenizer)
  pointer.parent.mkdir(parents=True)
  pointer.write_bytes(name.encode('utf-8', 'surrogatepass'))
  with pytest.raises(UserError, match='does not name a store'):
    data.open_store('lines', 'train', tokenizer)


@pytest.mark.parametrize('name', OUTSIDE)
def test_no_stage_of_a_study_lies_outside_of_it(name, tmp_path):
  output = write_fake_study(tmp_path / 'study', {'one': paper_recipes(steps=4)['text-only'][:1]}, evaluated=False)
  path = output / 'study.json'
  study = json.loads(path.read_text())
  study['recipes']['one']['stages'] = [name]
  path.write_text(json.dumps(study))
  with pytest.raises(UserError, match='study.json'):
    read_study(output)


@pytest.mark.parametrize('name', OUTSIDE)
def test_no_file_of_weights_lies_outside_of_its_folder(name, tmp_path):
  write_json(tmp_path / 'model.safetensors.index.json', {'weight_map': {'model.norm.weight': name}})
  with pytest.raises(UserError, match='index.json'):
    open_weights(tmp_path)


def test_a_header_that_claims_more_than_the_file_has_is_refused_before_anything_is_allocated(tmp_path):
  header = json.dumps({'model.norm.weight': {'dtype': 'F32', 'shape': [2**60], 'data_offsets': [0, 2**62]}}).encode()
  (tmp_path / 'model.safetensors').write_bytes(len(header).to_bytes(8, 'little') + header)
  with pytest.raises(UserError, match='model.safetensors is damaged'):
    open_weights(tmp_path)
  (tmp_path / 'model.safetensors').write_bytes((2**60).to_bytes(8, 'little') + header)
  with pytest.raises(UserError, match='model.safetensors is damaged'):
    open_weights(tmp_path)


def test_the_rows_that_a_footer_claims_are_not_made_up(tmp_path):
  path = tmp_path / 'rows.parquet'
  pq.write_table(pa.table({'a': list(range(10))}), path, compression='none', write_statistics=False)
  reader = Parquet().only(())
  rows = lambda: [row for piece in reader.pieces([str(path)]) for row in reader.rows(piece)]
  assert len(rows()) == 10
  content = path.read_bytes()
  size = int.from_bytes(content[-8:-4], 'little')
  body, footer = content[: -8 - size], content[-8 - size : -8]
  ten, billions = b'\x14', bytes([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01])  # zigzag varints of Thrift: 10 and 2^48
  for at in (place for place in range(size) if footer[place : place + 1] == ten):
    changed = footer[:at] + billions + footer[at + 1 :]
    path.write_bytes(body + changed + len(changed).to_bytes(4, 'little') + content[-4:])
    assert len(rows()) <= 11  # ten rows and a record of the damage, or the record alone


def parsed(folder: Path, text: str) -> None:
  (folder / 'a.gin').write_text(text)
  config.parse([str(folder / 'a.gin')], [])


def test_a_gin_file_calls_registered_names_only(tmp_path):
  mark = tmp_path / 'ran'
  for form in ('from __gin__ import dynamic_registration', 'import __gin__.dynamic_registration', 'from __gin__ import dynamic_registration as d'):
    with pytest.raises(UserError, match='line 1: .*(any function of Python|does not parse)'):
      parsed(tmp_path, f"{form}\nimport os\nos.mkdir.path = '{mark}'\nStudy.name = @os.mkdir()\n")
  with pytest.raises(UserError, match="gin knows no 'mkdir'"):
    parsed(tmp_path, f"import os\nos.mkdir.path = '{mark}'\n")
  with pytest.raises(UserError, match='does not parse'):
    parsed(tmp_path, f"Study.name = __import__('os').mkdir('{mark}')\n")
  assert not mark.exists()


def test_a_url_of_a_judge_has_no_password():
  with pytest.raises(UserError, match='OPENAI_API_KEY') as refused:
    Judge(model='x', url='https://user:hunter2@host/v1')
  assert 'hunter2' not in str(refused.value)
