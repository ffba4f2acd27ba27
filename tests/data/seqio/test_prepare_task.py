"""A SeqIO task is prepared by any number of workers, in any number of attempts, to the same bytes."""

from __future__ import annotations

import json
import os

import pytest

from codemix.data.prepare.source import prepare
from codemix.data.settings import Data
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.errors import CodemixError, UserError
from codemix.workers import InProcess
from tests.data.raw_corpora import files_of, texts

BYTES = load_tokenizer('bytes')
SHARDS = 5

# A worker finds the tasks by importing this; a shard's reading is killed where the environment says so.
MODULE = """
import os
import signal

import seqio
from codemix.data.corpus.corpus import Corpus
from codemix.data.seqio.corpus_task import register_corpus

HERE = os.path.dirname(__file__)


def dies_at(dataset):
  def check(text):
    if os.environ.get('DIES_AT', 'nowhere').encode() in text:
      os.kill(os.getpid(), signal.SIGKILL)
    return text

  return dataset.map(lambda row: {'targets': seqio.preprocessors.tf.numpy_function(check, [row['targets']], seqio.preprocessors.tf.string)})


if 'workers_lines' not in seqio.TaskRegistry.names():
  register_corpus('workers_lines', Corpus({'train': HERE + '/lines-*.jsonl'}, name='workers_lines', max_bad_share=0.1))
  seqio.TaskRegistry.add(
    'workers_texts',
    source=seqio.TextLineDataSource({'train': HERE + '/texts.txt'}),
    preprocessors=[
      seqio.map_over_dataset(lambda line: {'targets': line}),
      dies_at,
      seqio.map_over_dataset(lambda row: {'targets': seqio.preprocessors.tf.ensure_shape(row['targets'], [])}),
      seqio.preprocessors.tokenize,
    ],
    output_features={'targets': seqio.Feature(seqio.ByteVocabulary())},
  )
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """The raw files, and the module `workers_tasks` that registers tasks over them."""
  folder = tmp_path_factory.mktemp('workers')
  documents = [text.replace('\n', ' ') for text in texts(60)]
  (folder / 'texts.txt').write_text('\n'.join(documents))
  for number in range(SHARDS):
    lines = [json.dumps({'text': text}) for text in documents[number::SHARDS]]
    (folder / f'lines-{number}.jsonl').write_text('\n'.join(lines) + '\n')
  (folder / 'workers_tasks.py').write_text(MODULE)
  with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(folder))
    patch.setenv('PYTHONPATH', os.pathsep.join(filter(None, [str(folder), os.environ.get('PYTHONPATH')])))
    yield folder


def prepared(root, name, **settings):
  data = Data(directory=str(root), task_modules=('workers_tasks',), **{'shards': SHARDS, **settings})
  return prepare(name, 'train', data, BYTES, lambda line: None)


def stores(root):
  return {name: content for name, content in files_of(root).items() if 'sources.json' not in name}


@pytest.mark.parametrize('name', ['workers_lines', pytest.param('workers_texts', marks=pytest.mark.slow)])
def test_three_workers_write_the_bytes_of_one(folder, tmp_path, name):
  one, three = prepared(tmp_path / 'one', name), prepared(tmp_path / 'three', name, workers=3)
  assert one.documents == 60 and one.digest == three.digest
  assert stores(tmp_path / 'one') == stores(tmp_path / 'three')


def test_a_worker_that_is_killed_is_named_and_the_next_attempt_ends_in_the_same_bytes(folder, tmp_path, monkeypatch):
  prepared(tmp_path / 'whole', 'workers_texts')
  monkeypatch.setenv('DIES_AT', (folder / 'texts.txt').read_text().splitlines()[33][:40])
  with pytest.raises(CodemixError, match='worker'):
    prepared(tmp_path / 'killed', 'workers_texts', workers=2)
  monkeypatch.delenv('DIES_AT')
  assert len(list(tmp_path.glob('killed/stores/*/*.json'))) < SHARDS
  prepared(tmp_path / 'killed', 'workers_texts', workers=2)
  assert stores(tmp_path / 'killed') == stores(tmp_path / 'whole')


def test_broken_records_are_counted_over_the_shards_of_all_workers_and_attempts(folder, tmp_path):
  accounts = prepared(tmp_path / 'good', 'workers_lines').manifest['accounts']
  assert (accounts['read']['records'], accounts['read']['bad'], accounts['read']['files']) == (60, 0, SHARDS)
  many = prepared(tmp_path / 'many', 'workers_lines', shards=2 * SHARDS).manifest['accounts']['read']
  assert (many['records'], many['files']) == (60, SHARDS)  # shards by record, which all read the whole
  path = folder / 'lines-2.jsonl'
  good = path.read_text()
  path.write_text(good + 'broken\n' * 9)
  try:
    for workers in (1, 2):
      with pytest.raises(UserError, match='9 of 69 records are broken, more than Corpus.max_bad_share=0.1'):
        prepared(tmp_path / f'bad-{workers}', 'workers_lines', workers=workers)
    with pytest.raises(UserError, match='9 of 69 records'):  # all shards are there
      prepared(tmp_path / 'bad-2', 'workers_lines', workers=InProcess())
  finally:
    path.write_text(good)


def test_a_task_that_no_module_registers_is_named_by_the_worker(tmp_path):
  from codemix.data.seqio.tasks import register_jsonl_task

  (tmp_path / 'a.jsonl').write_text('{"text": "one"}\n{"text": "two"}\n')
  register_jsonl_task('only_in_this_process', {'train': str(tmp_path / 'a.jsonl')})
  data = Data(directory=str(tmp_path), task_modules=(), shards=2, workers=2)
  with pytest.raises(UserError, match="no SeqIO task is named 'only_in_this_process'.*the module that registers the task to Data.task_modules"):
    prepare('only_in_this_process', 'train', data, BYTES, lambda line: None)
