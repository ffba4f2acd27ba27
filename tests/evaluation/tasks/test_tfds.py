"""A set that TFDS prepared asks what upstream's file asks: TFDS's own builders, over upstream's rows."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.errors import UserError
from codemix.evaluation.tasks.item import Item
from codemix.evaluation.tasks.registry import TASKS
from codemix.evaluation.tasks.task import Settings
from tests.data import tfds_folder
from tests.evaluation.tasks.fixtures import FORMS, STORY, at, story, table
from tests.evaluation.tasks.test_every_set import REAL, needs_real

tfds = pytest.importorskip('tensorflow_datasets')

# Task -> dataset of TFDS, its split, the arguments of its generator.
ONE_FILE: Callable[[Path], dict] = lambda file: {'file_path': file}
DATASETS = {
  'boolq': ('bool_q', 'validation', ONE_FILE),
  'piqa': ('piqa', 'validation', lambda file: {'data_path': file, 'label_path': file.with_name('valid-labels.lst')}),
  'cb': ('super_glue/cb', 'validation', lambda file: {'data_file': file, 'split': 'validation'}),
  'copa': ('super_glue/copa', 'validation', lambda file: {'data_file': file, 'split': 'validation'}),
  'story_cloze': ('story_cloze/2016', 'test', lambda file: {'filepath': file}),
  'winogrande': ('winogrande', 'validation', lambda file: {'filepath': file}),
  'arc_easy': ('ai2_arc/ARC-Easy', 'test', lambda file: {'filepath': file}),
  'arc_challenge': ('ai2_arc/ARC-Challenge', 'test', lambda file: {'filepath': file}),
  'openbookqa': ('openbookqa', 'test', lambda file: {'data_dir': '', 'filepath': file}),
  'qasc': ('qasc', 'validation', lambda file: {'filepath': file}),
  'triviaqa': ('trivia_qa/unfiltered.nocontext', 'validation', lambda file: {'files': [file], 'web_dir': None, 'wiki_dir': None}),
  'nq_open': ('natural_questions_open', 'validation', ONE_FILE),
  'gsm8k': ('gsm8k', 'test', lambda file: {'path': file}),
}
ROWS = 12
# Fields that TFDS's builders want, and the files beside the project lack.
MORE: dict[str, Callable[[int], dict]] = {
  'boolq': lambda number: {'title': 't'},
  'winogrande': lambda number: {'qID': str(number)},
  'openbookqa': lambda number: {'fact1': 'f', 'humanScore': '1.0', 'clarity': '1.0', 'turkIdAnonymized': 't'},
}


def released(task: str, folder: Path) -> Path:
  """A released file with the first rows of the real one; a made-up one where none is beside the project."""
  wanted = TASKS[task].source.file
  if not EvaluationFolder(REAL).is_there(wanted):
    if task == 'story_cloze':
      at('storycloze/cloze_test_test__spring2016.csv', lambda path: table(path, [STORY, *map(story, range(ROWS))]))(folder)
    else:
      next(write for name, form, _, write in FORMS if (name, form) == (task, 'released'))(folder)
    [file] = EvaluationFolder(folder).find(wanted, task)
    if task == 'triviaqa':  # its builder reads upstream's lines
      file.write_text(json.dumps(json.loads(file.read_text()), indent=4))
    return file
  found = EvaluationFolder(REAL).rows(wanted, task).rows[:ROWS]
  file = folder / str(EvaluationFolder(REAL).find(wanted, task)[0].relative_to(REAL)).removesuffix('.gz')
  file.parent.mkdir(parents=True)
  file.write_text(''.join(json.dumps(row | MORE.get(task, lambda number: {})(number)) + '\n' for number, (_, row) in enumerate(found)))
  if labels := TASKS[task].source.labels:
    given = EvaluationFolder(REAL).find(labels, task)[0]
    (file.parent / given.name).write_text('\n'.join(given.read_text().split()[:ROWS]) + '\n')
  return file


def prepared(task: str, file: Path, folder: Path, version: str = '1.0.0') -> None:
  """What `tfds build` leaves of the file: the features and the generator of TFDS's builder."""
  dataset, split, arguments = DATASETS[task]
  name, _, config = dataset.partition('/')
  builder = tfds.builder_cls(name)(data_dir=folder / 'unused', config=config or None)

  def examples() -> Iterator[dict]:
    path = tfds.core.Path(file)
    return (example for _, example in builder._generate_examples(**{key: path if value == file else value for key, value in arguments(file).items()}))

  tfds_folder.write(folder, dataset, split, builder.info.features, list(examples()), version)


def one_question(folder: Path, question: str = 'is it', version: str = '1.0.0') -> None:
  """BoolQ with one question, as TFDS prepares it."""
  with tempfile.TemporaryDirectory() as place:
    file = Path(place, 'dev.jsonl')
    file.write_text(json.dumps({'question': question, 'passage': 'p', 'answer': True, 'title': 't'}) + '\n')
    prepared('boolq', file, folder, version)


def asked(task: str, folder: Path) -> list[Item]:
  return [dataclasses.replace(item, id='') for item in TASKS[task].evaluator(Settings(EvaluationFolder(folder))).items]


@needs_real
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
@pytest.mark.parametrize('task', DATASETS)
def test_what_tfds_prepared_asks_what_the_released_file_asks(task, tmp_path):
  file = released(task, tmp_path / 'released')
  prepared(task, file, tmp_path / 'prepared')
  upstream, of_tfds = asked(task, tmp_path / 'released'), asked(task, tmp_path / 'prepared')
  assert of_tfds == upstream and len(upstream) >= 10


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_the_newest_version_is_read_from_the_folder_that_tfds_names(tmp_path, monkeypatch):
  for version, number in (('1.9.0', 9), ('1.10.0', 10)):
    one_question(tmp_path / 'prepared', f'is it {number}', version)
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'prepared'))
  evaluator = TASKS['boolq'].evaluator(Settings(EvaluationFolder(tmp_path)))
  assert [item.prompt for item in evaluator.items] == ['p\nQuestion: is it 10?\nAnswer:']
  assert list(evaluator.identity['data']) == ['bool_q-validation.tfrecord-00000-of-00001']


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_an_empty_split_has_no_items(tmp_path):
  (file := tmp_path / 'a.jsonl').write_text('')
  prepared('boolq', file, tmp_path)
  with pytest.raises(UserError, match='has no items; restore the file'):
    TASKS['boolq'].evaluator(Settings(EvaluationFolder(tmp_path)))


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_a_damaged_shard_is_named(tmp_path):
  one_question(tmp_path)
  [shard] = tmp_path.rglob('*.tfrecord-*')
  shard.write_bytes(shard.read_bytes()[:-9])
  with pytest.raises(UserError, match=r'tfrecord-00000-of-00001 is damaged'):
    TASKS['boolq'].evaluator(Settings(EvaluationFolder(tmp_path)))


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
@pytest.mark.parametrize('file', ['dataset_info.json', 'features.json', 'shard'])
@pytest.mark.parametrize('damage', [Path.unlink, lambda path: path.write_text('{'), lambda path: path.write_bytes(b'')])
def test_a_folder_that_is_not_whole_is_named(file, damage, tmp_path):
  one_question(tmp_path)
  [path] = tmp_path.rglob('*.tfrecord-*' if file == 'shard' else file)
  damage(path)
  with pytest.raises(UserError):
    TASKS['boolq'].evaluator(Settings(EvaluationFolder(tmp_path)))


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_a_missing_shard_and_a_backup_are_not_read(tmp_path):
  one_question(tmp_path)
  [shard] = tmp_path.rglob('*.tfrecord-*')
  shutil.copytree(shard.parent, shard.parent.with_name('1.0.0-old'))
  assert len(TASKS['boolq'].evaluator(Settings(EvaluationFolder(tmp_path))).items) == 1
  shard.rename(shard.with_name(shard.name.replace('00001', '00002')))
  with pytest.raises(UserError, match='has 1 of the 2 files of bool_q-validation'):
    TASKS['boolq'].evaluator(Settings(EvaluationFolder(tmp_path)))
