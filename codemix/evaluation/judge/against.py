"""Compares the answers of two checkpoints by a judge."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from codemix.errors import UserError
from codemix.evaluation.judge.endpoint import Endpoint
from codemix.evaluation.judge.judge import Judge
from codemix.evaluation.judge.verdicts import Cache, Judged, Pair, judge_pairs
from codemix.evaluation.judge.win_rate import win_rates
from codemix.evaluation.model import Model
from codemix.evaluation.results import Results, StoredResults
from codemix.training.progress import scoring_progress

Ask = Callable[[str], str]


@dataclasses.dataclass(frozen=True)
class Answers:
  """The answers of one checkpoint to a task's instructions.

  Attributes:
    checkpoint: its digest.
    stored: the results of the task's evaluator.
  """

  checkpoint: str
  stored: StoredResults

  def texts(self) -> dict[str, str]:
    """The first completion of each instruction by its id. Raises UserError if there are none, or the file is damaged."""
    items = self.stored.items()
    if 'completions' not in items:
      raise UserError(f'{self.stored.record} has no completions to judge; delete it and evaluate the stage again.')
    return {id: completions[0] for id, completions in zip(items['id'], items['completions'], strict=True)}


def pairs_of(instructions: Mapping[str, str], first: Answers, second: Answers) -> list[Pair]:
  """The pairs to judge, by instruction. Raises UserError if the two did not answer the same prompts.

  Args:
    instructions: by the item's id.
  """
  same = ('task', 'data', 'prompts', 'items')
  if different := [key for key in same if first.stored.identity.get(key) != second.stored.identity.get(key)]:
    raise UserError(
      f'{first.stored.record} and {second.stored.record} differ in {", ".join(different)}: evaluate both stages on the same instructions.'
    )
  texts, others = first.texts(), second.texts()
  return [Pair(id, instructions[id], text.strip(), others[id].strip()) for id, text in texts.items()]


def comparison_identity(first: Answers, second: Answers, judge: Mapping[str, Any]) -> dict[str, Any]:
  """All that decides the result of a comparison.

  Args:
    judge: of `Judge.identity`.
  """
  answers = {'task', 'data', 'prompts', 'decoding', 'version'}
  kept = {key: value for key, value in first.stored.identity.items() if key in answers}
  return {'checkpoint': first.checkpoint, 'against': second.checkpoint, 'against_decoding': second.stored.identity.get('decoding'), 'judge': dict(judge), **kept}


def asker(judge: Judge, model: Model | None) -> tuple[Ask, Endpoint | None]:
  """The function that asks the judge, and its endpoint if it has one.

  Args:
    model: of `Judge.checkpoint`; None for an endpoint.
  """
  if model is None:
    endpoint = Endpoint(judge)
    return endpoint.ask, endpoint
  return lambda prompt: likelier_verdict(model, prompt), None


def likelier_verdict(model: Model, prompt: str) -> str:
  """The verdict line that the model finds likelier after the question; a tie if both are equally likely."""
  lines = ('Preferred: A', 'Preferred: B')
  first, second = model.score([(f'{prompt}\n\n', line) for line in lines]).nats.tolist()
  return 'Preferred: tie' if first == second else lines[int(second < first)]


def compare(pairs: Sequence[Pair], ask: Ask, judge: Judge, identity: dict, cache: Cache, name: str) -> tuple[Results, Judged]:
  """Judges the pairs.

  Args:
    identity: of the judge.
    name: of the comparison, for the progress.

  Returns:
    The results: scores of `win_rates`, and `equal_answers` (prompts with two equal answers); items `id`, `score` (NaN if not judged), `orders`, `bytes`, `other_bytes`. And
    how the verdicts were had.
  """
  jobs = 1 if judge.checkpoint else judge.jobs
  with scoring_progress(name, judge.model or 'the judge', len(pairs), noun='prompts') as show:
    judged = judge_pairs(pairs, ask, identity, cache, jobs, show)
  sizes = [[len(text.encode()) for text in texts] for texts in zip(*((p.first, p.second) for p in pairs), strict=True)]
  columns = {
    'id': [pair.id for pair in pairs],
    'score': [float('nan') if verdict.score is None else verdict.score for verdict in judged.verdicts],
    'orders': [list(verdict.orders) for verdict in judged.verdicts],
    'bytes': sizes[0],
    'other_bytes': sizes[1],
  }
  scores = {**win_rates(judged.verdicts, *sizes), 'equal_answers': sum(pair.first == pair.second for pair in pairs)}
  return Results(scores, columns), judged


def cache_of(output: Path) -> Cache:
  """The verdicts kept in an output folder."""
  return Cache(output / 'judge' / 'answers.jsonl')
