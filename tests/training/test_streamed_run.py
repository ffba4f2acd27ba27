"""A run whose sources are streamed: nothing prepared, the rows of a prepared run's schedule, resumed by reading again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import codemix
from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.corpus.corpus import Corpus
from codemix.data.filters import ExactDuplicates
from codemix.data.open_stream import open_stream
from codemix.data.prepare.source import prepare
from codemix.data.settings import Data
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.errors import UserError
from codemix.storage import read_json
from codemix.studies.preparation import missing
from codemix.studies.trace import trace_step
from codemix.training import loop
from tests import tiny_study
from tests.faults.runs import assert_same, result_of
from tests.in_process import record_batches, use_one_device

LENGTH = tiny_study.LENGTH
MIXED = {'text': 0.75, 'code': 0.25}


def corpora(root: Path) -> dict[str, Corpus]:
  root.mkdir(parents=True, exist_ok=True)
  for name, words in (('text', 12), ('code', 200)):
    texts = tiny_study.documents(name, words, max(24_000 // (6 * words), 3), seed=1)
    lines = [json.dumps({'text': text.decode()}) for text in texts]
    (root / f'{name}.jsonl').write_text('\n'.join(lines))
  return {name: Corpus(files={'train': f'{name}.jsonl'}, root=str(root)) for name in ('text', 'code')}


def streaming(root: Path) -> Data:
  return Data(directory=str(root / 'data'), sources=corpora(root / 'raw'), streaming=True, task_modules=())


def study() -> codemix.Study:
  stages = [tiny_study.stage('mixed', MIXED, 6), tiny_study.stage('code', {'code': 1.0}, 4)]
  return codemix.Study(name='streamed', recipes={'only': tiny_study.recipe(*stages)})


def run(root: Path) -> Path:
  return codemix.run_study(study(), streaming(root), tiny_study.runtime(root / 'run', save_every=2))


def test_a_streamed_corpus_gives_the_rows_of_its_store_in_its_own_order(tmp_path):
  data, tokenizer = streaming(tmp_path), load_tokenizer('bytes')
  for name in ('text', 'code'):
    source = PreparedSource(name, prepare(name, 'train', data, tokenizer, print), LENGTH, tokenizer.bos_id)
    rows = open_stream(name, data, tokenizer, LENGTH, max_epochs=4).rows(0)
    for number in range(len(source)):
      streamed, stored = next(rows), source.row(number)
      assert streamed.keys() == stored.keys()
      for key in stored:
        np.testing.assert_array_equal(streamed[key], stored[key])


def test_a_streamed_seqio_task_gives_the_rows_of_its_store_in_its_own_order(tmp_path):
  from codemix.data.seqio.tasks import register_jsonl_task

  corpora(tmp_path / 'raw')
  register_jsonl_task('streamed_task', {'train': str(tmp_path / 'raw' / 'code.jsonl')})
  data = Data(directory=str(tmp_path / 'data'), streaming=True, task_modules=(), shards=1)
  tokenizer = load_tokenizer('bytes')
  source = PreparedSource('x', prepare('streamed_task', 'train', data, tokenizer, print), LENGTH, tokenizer.bos_id)
  rows = open_stream('streamed_task', data, tokenizer, LENGTH, max_epochs=4).rows(3)
  for number in range(3, 2 * len(source)):
    np.testing.assert_array_equal(next(rows)['targets'], source.row(number % len(source))['targets'])


def test_a_streamed_run_trains_the_planned_rows_and_resumes_to_the_same_end(tmp_path, monkeypatch):
  use_one_device(monkeypatch)
  assert missing(study(), streaming(tmp_path / 'whole')) == []
  batches = record_batches(monkeypatch)
  whole = run(tmp_path / 'whole')
  assert [len(stage) for stage in batches] == [6, 4]
  assert np.bincount(np.concatenate([batch['source'] for batch in batches[0]])).tolist() == [36, 12]
  ledger = read_json(next(whole.glob('stages/code-*/ledger.json')))
  [planned], [realised] = ledger['planned'], ledger['realised']
  assert planned['rows'] == realised['rows'] == 32
  assert planned['cursor'] == 12  # the second stage goes on where the first stopped
  assert planned['documents'] is None and realised['documents'] > 0

  class Interrupted(Exception):
    pass

  def interrupting(*arguments):
    step = make_train_step(*arguments)

    def count(state, batch, rate):
      steps.append(1)
      if len(steps) == 4:
        raise Interrupted
      return step(state, batch, rate)

    return count

  make_train_step, steps = loop.make_train_step, []
  with monkeypatch.context() as patch:
    patch.setattr(loop, 'make_train_step', interrupting)
    with pytest.raises(Interrupted):
      run(tmp_path / 'broken')
  assert_same(result_of(run(tmp_path / 'broken')), result_of(whole))


def test_what_needs_the_whole_source_is_refused_before_the_first_step(tmp_path):
  data = streaming(tmp_path)
  with pytest.raises(UserError, match='a streamed source has no rows that can be looked up'):
    plan = codemix.studies.planning.plan_study(study(), data)
    trace_step(plan, plan.stages()[0], 1)
  corpus = Corpus(files={'train': 'text.jsonl'}, root=str(tmp_path / 'raw'), filters=(ExactDuplicates(),))
  data = Data(directory=str(tmp_path), sources={'text': corpus}, streaming=True)
  with pytest.raises(UserError, match="'text' cannot be streamed: the filter '.*' looks at the whole corpus"):
    open_stream('text', data, load_tokenizer('bytes'), LENGTH, max_epochs=4)
