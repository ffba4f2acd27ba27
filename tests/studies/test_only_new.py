"""A study with one more arm, seed or benchmark trains and evaluates what is new, and nothing else."""

from __future__ import annotations

import dataclasses

import pytest

import codemix
from codemix.evaluation import evaluator
from codemix.studies.runner import try_study
from codemix.training import loop
from tests import tiny_study, tiny_tasks

BEGINNING = tiny_study.stage('balanced', {'text': 0.5, 'code': 0.5}, 3)
TEXT, CODE = (tiny_study.cooldown({name: 1.0}, 2, name) for name in ('text', 'code'))


@pytest.fixture
def done(monkeypatch) -> list[str]:
  """What is done, in order: 'train STAGE', 'STAGE EVALUATOR'."""
  found = []
  write_result, write_results = loop.write_result, evaluator.write_results

  def trained(folder, plan, *rest):
    found.append(f'train {plan.name}')
    return write_result(folder, plan, *rest)

  def evaluated(folder, name, *rest):
    found.append(f'{folder.name.partition("-")[0]} {name}')
    return write_results(folder, name, *rest)

  monkeypatch.setattr(loop, 'write_result', trained)
  monkeypatch.setattr(evaluator, 'write_results', evaluated)
  return found


@pytest.mark.usefixtures('one_device')
def test_an_arm_a_seed_and_a_benchmark_cost_themselves_alone(done, tmp_path):
  data, runtime = tiny_study.prepare(tmp_path / 'data', bytes_each=6_000), tiny_study.runtime(tmp_path / 'out')
  evaluators = ['held_out/text', 'held_out/code', 'samples']

  def adds(study: codemix.Study) -> list[str]:
    done.clear()
    assert not try_study(study, data, runtime).failed
    return list(done)

  def of(*stages: str) -> list[str]:
    return [line for stage in stages for line in (f'train {stage}', *(f'{stage} {name}' for name in evaluators))]

  study = tiny_study.study(to_text=tiny_study.recipe(BEGINNING, TEXT))
  assert adds(study) == of('balanced', 'text')
  arm = tiny_study.study(**study.recipes, to_code=tiny_study.recipe(BEGINNING, CODE))
  assert adds(arm) == of('code')
  seed = tiny_study.study(**arm.recipes, again=tiny_study.recipe(BEGINNING, CODE, seed=1))
  assert adds(seed) == of('balanced', 'code')
  benchmark = dataclasses.replace(seed, evaluate=tiny_tasks.evaluation(tiny_tasks.write_items(tmp_path / 'sets')))
  assert sorted(adds(benchmark)) == sorted(f'{stage} tasks/next_word' for stage in ('balanced', 'text', 'code', 'balanced', 'code'))
  assert adds(benchmark) == []
