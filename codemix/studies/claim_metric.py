"""What the metric of a claim is: which results of a stage, in which unit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from codemix.errors import UserError, nearest
from codemix.evaluation.results import HELD_OUT_PREFIX
from codemix.evaluation.tasks.instructions import Instructions
from codemix.evaluation.tasks.passages import Passages
from codemix.evaluation.tasks.registry import AGGREGATES, GROUPS
from codemix.evaluation.tasks.task import PREFIX, Task
from codemix.studies.recipe import Study
from codemix.studies.sources_of import scored_names

POINTS, BITS = 'points', 'bits per byte'
GOLD = '/gold_bits_per_byte'  # behind the name of a benchmark


@dataclasses.dataclass(frozen=True)
class Metric:
  """A weighted sum of figures of evaluators.

  Attributes:
    unit: POINTS or BITS. Of benchmarks BITS are those of the right answers.
    weights: by the evaluator's name without examples, such as 'tasks/piqa'; of BITS there is one.
  """

  unit: str
  weights: Mapping[str, float]


def metric_of(study: Study, name: str) -> Metric:
  """The metric of this name.

  Raises UserError if no stage of the study is scored on it, or a source and a benchmark have the name.
  """
  tasks = study.evaluation.selected() if study.evaluation else []
  sources, benchmarks = dict(_of_sources(study)), dict(_of_benchmarks(tasks))
  if name in sources and name in benchmarks:
    raise UserError(f"'{name}' is a source and a benchmark: write '{HELD_OUT_PREFIX}{name}' or '{PREFIX}{name}'.")
  known = sources | benchmarks | {HELD_OUT_PREFIX + key: of for key, of in sources.items()} | {PREFIX + key: of for key, of in benchmarks.items()}
  if name not in known:
    raise UserError(_unmeasured(name, list(sources), list(benchmarks), tasks))
  return known[name]


def _of_sources(study: Study) -> Iterator[tuple[str, Metric]]:
  for source in scored_names(study):
    yield source, Metric(BITS, {HELD_OUT_PREFIX + source: 1.0})


def _of_benchmarks(tasks: list[Task]) -> Iterator[tuple[str, Metric]]:
  """Benchmarks, the bits per byte of their answers, and groups and aggregates of which all benchmarks are evaluated."""
  scored = [task.name for task in tasks if not isinstance(task, Instructions | Passages)]
  for task in tasks:
    answers = Metric(BITS, {PREFIX + task.name: 1.0})
    yield task.name + GOLD, answers
    if task.name in scored:
      yield task.name, Metric(POINTS, {PREFIX + task.name: 1.0})
    elif isinstance(task, Passages):  # has no other score
      yield task.name, answers
  whole = {name: group.tasks for name, group in GROUPS.items() if set(group.tasks) <= set(scored)}
  for name, members in whole.items():
    yield name, Metric(POINTS, {PREFIX + task: 1 / len(members) for task in members})
  for name, groups in AGGREGATES.items():
    if set(groups) <= whole.keys():
      yield name, Metric(POINTS, {PREFIX + task: 1 / len(groups) / len(whole[group]) for group in groups for task in whole[group]})


def _unmeasured(name: str, sources: list[str], benchmarks: list[str], tasks: list[Task]) -> str:
  bare = name.removeprefix(PREFIX)
  evaluated = {task.name for task in tasks}
  groups = AGGREGATES.get(bare, (bare,))
  if bare not in benchmarks and all(group in GROUPS for group in groups):
    lacking = [task for group in groups for task in GROUPS[group].tasks if task not in evaluated]
    return f"nobody measures '{name}': Study.evaluate lacks {', '.join(lacking)} of it. Add them, or name a benchmark that it has."
  if bare in evaluated:
    return f"'{name}' has no score of its own, since its answers are judged: name '{bare}{GOLD}', or another benchmark."
  measured = [*sources, *(each for each in benchmarks if not each.endswith(GOLD))]
  return (
    f"nobody measures '{name}': the stages are scored on {', '.join(measured) or 'nothing'}.{nearest(name, [*sources, *benchmarks])} "
    'Study.validation and Study.evaluate say what is measured.'
  )
