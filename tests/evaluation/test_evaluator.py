"""An evaluator of a user's own: its results are stored under its name, and nothing but a change runs it again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import codemix
from codemix.evaluation.evaluator import run_evaluators, unfinished
from codemix.evaluation.results import Results, read_results
from codemix.evaluation.sampling import Sampling
from codemix.evaluation.scoring import score_documents
from tests import tiny_study
from tests.in_process import one_device_mesh, use_one_device

PROMPTS, TOKENS = ('def', 'the'), 4


@dataclasses.dataclass(frozen=True)
class Choices:
  """A benchmark in miniature: which of two continuations of a context is the likelier."""

  context: str = 'def x = '
  choices: tuple[str, ...] = ('return', 'the rain')
  name: str = 'benchmarks/choices'
  version: int = 1

  @property
  def identity(self) -> dict:
    return {'context': self.context, 'choices': list(self.choices)}

  def run(self, model, earlier) -> Results:
    context = model.tokenizer.encode(self.context)
    answers = [model.tokenizer.encode(choice) for choice in self.choices]
    documents = [
      (np.concatenate([context, answer]), np.arange(len(context) + len(answer)) >= len(context)) for answer in answers
    ]
    nats = score_documents(model, documents)
    return Results({'first_is_likelier': float(nats[0] < nats[1])}, {'nats': nats})


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
  """A finished stage of 32-token rows."""
  root = tmp_path_factory.mktemp('evaluator')
  data = tiny_study.prepare(root / 'data', bytes_each=6_000)
  study = tiny_study.study(only=tiny_study.recipe(tiny_study.stage('only', {'text': 0.5, 'code': 0.5}, 4)))
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    codemix.run_study(dataclasses.replace(study, prompts=PROMPTS, sample_tokens=TOKENS), data, tiny_study.runtime(root / 'runs'))
  return next(root.glob('runs/stages/*'))


def evaluate(folder: Path, *evaluators) -> list[str]:
  """Runs what is unfinished; returns its names."""
  model = codemix.load_stage(folder).model(one_device_mesh())
  return list(run_evaluators(unfinished(evaluators, read_results(folder), model), model, folder))


def test_results_are_stored_by_name_and_only_what_changed_is_run_again(folder):
  other = Choices(name='benchmarks/other')
  assert evaluate(folder, Choices(), other) == ['benchmarks/choices', 'benchmarks/other']
  stored = read_results(folder)['benchmarks/choices']
  assert stored.scores.keys() == {'first_is_likelier'}
  assert stored.items()['nats'].shape == (2,)
  assert (folder / 'evaluation' / 'benchmarks' / 'choices.json').exists()
  assert evaluate(folder, Choices(), other) == []
  assert evaluate(folder, Choices(context='the '), other) == ['benchmarks/choices']
  assert evaluate(folder, Choices(context='the ', version=2), other) == ['benchmarks/choices']
  assert {'held_out/text', 'held_out/code', 'samples'} <= read_results(folder).keys()


@pytest.mark.parametrize('damage', [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_items_that_are_missing_or_damaged_are_evaluated_again_and_reported(folder, damage, capsys):
  evaluator = Choices(name=f'benchmarks/{damage.__name__.strip("<>")}')
  evaluate(folder, evaluator)
  path = folder / 'evaluation' / f'{evaluator.name}.parquet'
  whole = path.read_bytes()
  damage(path)
  assert evaluate(folder, evaluator) == [evaluator.name] and path.read_bytes() == whole
  assert f'{path} is missing or damaged: what it holds is evaluated again' in capsys.readouterr().err


def test_the_loss_of_an_answer_and_of_its_context_add_up_to_that_of_both(folder):
  model = codemix.load_stage(folder).model(one_device_mesh())
  ids = np.asarray(model.tokenizer.encode('def x = return'))
  answer = np.arange(len(ids)) >= 8
  masks = (answer, ~answer, np.ones(len(ids), bool))
  nats = score_documents(model, [(ids, mask) for mask in masks])
  assert nats[0] + nats[1] == pytest.approx(nats[2], rel=1e-5)


def test_a_model_loaded_from_its_folder_alone_writes_the_samples_of_its_stage(folder):
  model = codemix.load_stage(str(folder)).model(one_device_mesh())
  assert Sampling(PROMPTS, TOKENS, seed=0).run(model).samples == read_results(folder)['samples'].samples


def test_process_0_decides_what_runs_and_all_ask_the_same(folder, monkeypatch):
  model = codemix.load_stage(folder).model(one_device_mesh())
  evaluators = [Choices(name='benchmarks/one'), Choices(name='benchmarks/two')]
  others = lambda change: lambda mine, judge: judge([{**mine, **change}, mine])
  monkeypatch.setattr('codemix.evaluation.evaluator.decide', others({'benchmarks/one': (True, None)}))
  assert [found.name for found, _ in unfinished(evaluators, {}, model)] == ['benchmarks/two']
  monkeypatch.setattr('codemix.evaluation.evaluator.decide', others({'benchmarks/one': (False, 'other prompts')}))
  with pytest.raises(codemix.UserError, match="different items of 'benchmarks/one'"):
    unfinished(evaluators, {}, model)


def test_settings_that_json_writes_otherwise_are_done_once(folder):
  @dataclasses.dataclass(frozen=True)
  class Tuples(Choices):
    name: str = 'benchmarks/tuples'

    @property
    def identity(self) -> dict:
      return {'stop': ('\n',), 'decoding': {'stop': self.choices}}

  assert evaluate(folder, Tuples()) == ['benchmarks/tuples']
  assert evaluate(folder, Tuples()) == []
