"""A stage is scored on what is asked for, and nothing that is known is scored again."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import codemix
from codemix.errors import UserError
from codemix.evaluation import held_out
from codemix.evaluation.results import of_held_out, read_results
from codemix.evaluation.sampling import Sampling
from codemix.storage import write_json
from codemix.studies.runner import evaluate_finished
from tests import tiny_study
from tests.in_process import use_one_device

pytestmark = pytest.mark.usefixtures('one_device')

STUDY = dataclasses.replace(
  tiny_study.study(
    only=tiny_study.recipe(
      tiny_study.stage('balanced', {'text': 0.5, 'code': 0.5}, 4), tiny_study.cooldown({'text': 0.8, 'code': 0.2}, 2)
    )
  ),
  prompts=('def',),
  sample_tokens=4,
)


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> codemix.Data:
  return tiny_study.prepare(tmp_path_factory.mktemp('data'), bytes_each=6_000)


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory) -> Path:
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    return codemix.run_study(STUDY, data, tiny_study.runtime(tmp_path_factory.mktemp('trained')))


@pytest.fixture
def output(trained, tmp_path) -> Path:
  return Path(shutil.copytree(trained, tmp_path / 'output'))


@pytest.fixture
def computed(monkeypatch) -> list:
  """What is computed: (source, numbers of documents) each, and 'samples'."""
  done = []
  run = Sampling.run

  class Recorded(held_out.StoredDocuments):
    def __init__(self, store, documents=None):
      super().__init__(store, documents)
      if documents is not None:
        done.append((store.manifest['identity']['task'], documents.tolist()))

  def sampling(*arguments):
    done.append('samples')
    return run(*arguments)

  monkeypatch.setattr(held_out, 'StoredDocuments', Recorded)
  monkeypatch.setattr(Sampling, 'run', sampling)
  return done


def evaluate(data, output: Path, wanted: str | None = 'cooldown', **changes) -> dict:
  [result] = evaluate_finished(dataclasses.replace(STUDY, **changes), data, tiny_study.runtime(output), wanted).values()
  return result


def arrays(output: Path, source: str) -> dict[str, np.ndarray]:
  [folder] = output.glob('stages/cooldown-*')
  return read_results(folder)[f'held_out/{source}'].items()


def test_what_is_scored_already_is_not_scored_again(data, output, computed):
  before = {path: path.stat().st_mtime_ns for path in output.rglob('*')}
  evaluate(data, output)
  evaluate(data, output, validation_documents=10_000)  # leaves none out
  assert computed == []
  assert {path: path.stat().st_mtime_ns for path in output.rglob('*')} == before


def test_fewer_documents_are_taken_from_those_that_are_scored(data, output, computed):
  every = arrays(output, 'text')
  result = evaluate(data, output, validation_documents=3)
  assert computed == []
  assert (result['sources']['text']['documents'], result['sources']['text']['of_documents']) == (3, len(every['nats']))
  some = arrays(output, 'text')
  np.testing.assert_array_equal(some['nats'], every['nats'][some['documents']])
  assert result['sources']['text']['nats'] == pytest.approx(some['nats'].sum())


def test_more_documents_are_scored_without_those_that_are_scored(data, output, computed):
  every = arrays(output, 'text')
  shutil.rmtree(next(output.glob('stages/cooldown-*/evaluation')))
  evaluate(data, output, validation_documents=2)
  first = dict(call for call in computed if call != 'samples')
  assert len(first['text']) == 2
  computed.clear()
  evaluate(data, output, validation_documents=4)
  second = dict(computed)
  assert len(second['text']) == 2 and not set(first['text']) & set(second['text'])
  some = arrays(output, 'text')
  assert some['documents'].tolist() == sorted(first['text'] + second['text'])
  np.testing.assert_allclose(some['nats'], every['nats'][some['documents']], rtol=1e-6)
  computed.clear()
  evaluate(data, output)
  assert all(not set(documents) & set(some['documents'].tolist()) for name, documents in computed if name == 'text')
  np.testing.assert_allclose(arrays(output, 'text')['nats'], every['nats'], rtol=1e-6)


def test_another_prompt_scores_no_document_and_another_source_continues_no_prompt(data, output, computed):
  evaluate(data, output, prompts=('return',))
  assert computed == ['samples']
  computed.clear()
  evaluate(data, output, prompts=('return',), validation=('text',))
  assert computed == []
  evaluate(data, output, prompts=('return',))
  assert computed == []  # the scores of code are there yet


def test_scores_whose_items_are_damaged_are_computed_again(data, output, computed):
  [path] = output.glob('stages/cooldown-*/evaluation/held_out/text.parquet')
  whole = arrays(output, 'text')
  pq.write_table(pa.table({**whole, 'nats': whole['nats'] + 1}), path)
  evaluate(data, output, validation_documents=3)
  assert [name for name, _ in computed] == ['text']
  path.write_bytes(b'no table')
  computed.clear()
  evaluate(data, output)  # all documents again
  assert [name for name, _ in computed] == ['text']
  np.testing.assert_allclose(arrays(output, 'text')['nats'], whole['nats'], rtol=1e-6)


def as_earlier_versions_wrote_it(folder: Path, *, with_documents: bool) -> None:
  """Turns a stage's results into `evaluation.json`, `evaluation/SOURCE.npz` and `samples.json`."""
  stored = read_results(folder)
  held_out = of_held_out(stored)
  samples = stored['samples']
  identity = {
    'checkpoint': samples.identity['checkpoint'],
    'sources': {source: found.identity['store'] for source, found in held_out.items()},
    'prompts': samples.identity['prompts'],
    'sample_tokens': samples.identity['tokens'],
  }
  arrays = {source: found.items() for source, found in held_out.items()}
  scores = {source: found.scores for source, found in held_out.items()}
  shutil.rmtree(folder / 'evaluation')
  (folder / 'evaluation').mkdir()
  for source, items in arrays.items():
    np.savez(folder / 'evaluation' / f'{source}.npz', **{k: v for k, v in items.items() if k != 'documents' or with_documents})
  write_json(folder / 'samples.json', samples.samples)
  record = {'step': samples.step, 'checkpoint': identity['checkpoint'], 'identity': identity, 'sources': scores}
  write_json(folder / 'evaluation.json', record)


@pytest.mark.parametrize('with_documents', [True, pytest.param(False, marks=pytest.mark.slow)])  # before documents could be left out, archives had no numbers of them
def test_results_of_earlier_versions_are_found_and_taken_over(with_documents, data, output, computed):
  every = arrays(output, 'text')
  for folder in output.glob('stages/*'):
    as_earlier_versions_wrote_it(folder, with_documents=with_documents)
  assert f'of {len(every["nats"])}):' in codemix.write_report(output).read_text()
  before = {path: path.stat().st_mtime_ns for path in output.rglob('*')}
  evaluate(data, output)
  assert {path: path.stat().st_mtime_ns for path in output.rglob('*')} == before
  evaluate(data, output, validation_documents=3)
  assert computed == []
  some = arrays(output, 'text')
  np.testing.assert_array_equal(some['nats'], every['nats'][some['documents']])
  evaluate(data, output, prompts=('return',), validation_documents=3)
  assert computed == ['samples']


def test_the_number_of_documents_is_in_the_identity_only_where_it_leaves_some_out(data, output):
  identity = lambda: read_results(next(output.glob('stages/cooldown-*')))['held_out/text'].identity
  whole = identity()
  assert set(whole) == {'checkpoint', 'version', 'store'}
  evaluate(data, output, validation_documents=3)
  assert identity() == {**whole, 'documents': 3}


def test_an_evaluator_that_ends_in_an_error_leaves_those_before_it_done(data, output, monkeypatch):
  [folder] = output.glob('stages/cooldown-*')
  shutil.rmtree(folder / 'evaluation')

  def failing(self, model, earlier):
    raise UserError('no room')

  with monkeypatch.context() as patch, pytest.raises(UserError, match='no room'):
    patch.setattr(Sampling, 'run', failing)
    evaluate(data, output)
  assert set(read_results(folder)) == {'held_out/text', 'held_out/code'}


def test_all_stages_are_scored_on_the_same_documents(data, output):
  evaluate_finished(dataclasses.replace(STUDY, validation_documents=3), data, tiny_study.runtime(output))
  chosen = []
  for folder in output.glob('stages/*'):
    chosen.append(read_results(folder)['held_out/text'].items()['documents'].tolist())
  assert len(chosen) == 2 and chosen[0] == chosen[1]
  page = codemix.write_report(output).read_text()  # the report pairs documents
  assert f'3 of {_documents(output)} of text' in page


def test_only_the_stages_that_are_named_are_evaluated(data, output, computed):
  for folder in output.glob('stages/*/evaluation'):
    shutil.rmtree(folder)
  evaluate(data, output, 'balanced')
  assert [path.parent.name.split('-')[0] for path in output.glob('stages/*/evaluation')] == ['balanced']
  with pytest.raises(UserError, match="no stage is named 'nope'; there is balanced, cooldown"):
    evaluate(data, output, 'nope')


def test_where_nothing_is_finished_that_is_said(data, tmp_path):
  with pytest.raises(UserError, match='none is finished in'):
    evaluate_finished(STUDY, data, tiny_study.runtime(tmp_path / 'none'))


def test_the_terminal_says_how_many_documents_are_scored(data, output, capsys, monkeypatch):
  monkeypatch.setattr('codemix.training.progress.LINE_EVERY_S', 0.0)
  for folder in output.glob('stages/*/evaluation'):
    shutil.rmtree(folder)
  evaluate(data, output, validation_documents=3)
  said = capsys.readouterr().err
  assert '  cooldown scored on text: 3 of 3 documents, ETA 0:00:00' in said
  assert f'(3 of {_documents(output)} documents)' in said


def _documents(output: Path) -> int:
  [folder] = output.glob('stages/cooldown-*')
  return read_results(folder)['held_out/text'].scores['of_documents']
