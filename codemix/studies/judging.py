"""Judges the answers of one finished stage against those of another."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
from jax.sharding import Mesh

from codemix.errors import UserError
from codemix.evaluation.evaluator import run_missing
from codemix.evaluation.judge import against
from codemix.evaluation.judge.judge import Judge
from codemix.evaluation.judge.names import comparison_name
from codemix.evaluation.results import StoredResults, read_results, write_results
from codemix.evaluation.tasks.instructions import Instructions
from codemix.evaluation.tasks.task import Settings
from codemix.identity import as_read
from codemix.studies.load_stage import FinishedStage, load_stage
from codemix.training.preemption import by_first


class Comparison(NamedTuple):
  """What `judge_stages` returns.

  Attributes:
    name: of the results in the first stage's folder.
    scores: of `codemix.evaluation.judge.win_rate.win_rates`.
    asked, cached: questions that the judge was asked now, and had answered before; 0 if the result was there.
    models: names under which the endpoint answered.
    failures: what the endpoint said last, of each question without an answer.
  """

  name: str
  scores: dict[str, float]
  asked: int = 0
  cached: int = 0
  models: tuple[str, ...] = ()
  failures: tuple[str, ...] = ()


def judge_stages(
  first: FinishedStage, other: FinishedStage, task: Instructions, settings: Settings, judge: Judge, mesh: Mesh | None = None
) -> Comparison:
  """Has both stages answer a task's instructions, unless they have, and a judge compare the answers.

  The same stage twice is an A/A run: it answers twice, the second time with the next seed, and must come to 50%.
  All processes call it; process 0 asks, and the comparison of the others is empty. A comparison with unasked or unparsed
  questions is stored too, and the next call asks for what is missing.

  Raises UserError: the stages have no answers to compare, the judge refuses, an A/A run of greedy answers, which
  are equal, or a judge that is a checkpoint in several processes.
  """
  if judge.checkpoint and jax.process_count() > 1:
    raise UserError('a judge that is a checkpoint runs in one process: start `codemix evaluate STAGE --against=...` in one, when both stages have answered.')
  itself = _same(first, other)
  if itself and not (settings.decoding or task.decoding).temperature:
    raise UserError('an A/A run compares two samples of one model, and greedy answers are equal: set a temperature, such as --temperature=0.7.')
  again = dataclasses.replace(settings, seed=(settings.seed + 1) % 2**32)
  mine = _answers(first, task, settings, mesh)
  theirs = _answers(other, task, again, mesh, name='again') if itself else _answers(other, task, settings, mesh)
  # One process asks, so that nothing is asked twice.
  return by_first(lambda: _compare(first, other, task, settings, judge, mesh, mine, theirs), Comparison('', {}))


def _compare(
  first: FinishedStage, other: FinishedStage, task: Instructions, settings: Settings, judge: Judge, mesh: Mesh | None, mine: against.Answers, theirs: against.Answers
) -> Comparison:
  """The judge's comparison of the answers; it is stored, unless it was."""
  itself = _same(first, other)
  judging = load_stage(judge.checkpoint).model(mesh) if judge.checkpoint else None
  identity = judge.identity(judging and judging.checkpoint)
  whole = as_read(against.comparison_identity(mine, theirs, identity))
  name = comparison_name(task.name, 'itself' if itself else other.folder.name)
  stored = read_results(first.folder).get(name)
  if stored and stored.identity == whole and not (stored.scores['unparsed'] or stored.scores['not_asked']):
    return Comparison(name, dict(stored.scores))
  instructions = {item.id: item.fields['instruction'] for item in task.read(settings.folder).items}
  pairs = against.pairs_of(instructions, mine, theirs)
  ask, endpoint = against.asker(judge, judging)
  cache = against.cache_of(first.folder.parent.parent)
  results, judged = against.compare(pairs, ask, judge, identity, cache, f'{first.name} against {"itself" if itself else other.name}')
  write_results(first.folder, name, first.step, whole, results)
  models = tuple(sorted(endpoint.models)) if endpoint else ()
  return Comparison(name, dict(results.scores), judged.asked, judged.cached, models, tuple(judged.failures))


def _same(first: FinishedStage, other: FinishedStage) -> bool:
  return first.folder.resolve() == other.folder.resolve()


def _answers(stage: FinishedStage, task: Instructions, settings: Settings, mesh: Mesh | None, name: str = '') -> against.Answers | None:
  """The stored answers of a stage, generated first if they are missing; None but in process 0.

  Args:
    name: of a second set of answers, beside the first.
  """
  evaluator = task.evaluator(settings)
  if name:
    evaluator = dataclasses.replace(evaluator, task=dataclasses.replace(task, name=f'{task.name}-{name}'))
  model = stage.model(mesh)
  run_missing([evaluator], model, stage.folder)
  if jax.process_index():
    return None  # process 0 may still be writing them
  return against.Answers(model.checkpoint, _renamed(read_results(stage.folder)[evaluator.name], task.name))


def _renamed(stored: StoredResults, task: str) -> StoredResults:
  return dataclasses.replace(stored, identity={**stored.identity, 'task': task})
