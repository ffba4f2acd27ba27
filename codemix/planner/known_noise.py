"""Which of the noise that is known belongs to what a study measures, and in which table of the report it will be."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence

from codemix.errors import UserError, nearest
from codemix.evaluation.results import split_shots
from codemix.evaluation.tasks.instructions import Instructions
from codemix.evaluation.tasks.passages import Passages
from codemix.evaluation.tasks.registry import TASKS, group_of
from codemix.evaluation.tasks.task import PREFIX, Task
from codemix.evaluation.tasks.task_evaluator import stored_name
from codemix.inference.components import Components
from codemix.studies.claim_metric import BITS, POINTS
from codemix.studies.recipe import Study
from codemix.studies.sources_of import scored_names

SILENT = 'all their components are 0, as of scores that are all the same'
UNMEASURED = 'the study does not measure them'
WITHOUT_SCORE = 'they have no score in points'


@dataclasses.dataclass(frozen=True)
class KnownNoise:
  """The noise that is known, by what it is of.

  Attributes:
    scores: by benchmark, in points; that of benchmarks which are not planned too.
    sources: by source that scores the stages, in bits per byte.
    tables: what is planned, and in which table of changes it will be: that of its group, as `Study.evaluate` calls it, or BITS.
    as_if: what is planned though the study evaluates no benchmark.
    left_out: why the others are not planned, by name: SILENT, UNMEASURED or WITHOUT_SCORE.
    columns: figures in a line of each table.
  """

  scores: Mapping[str, Components]
  sources: Mapping[str, Components]
  tables: Mapping[str, str]
  as_if: Sequence[str]
  left_out: Mapping[str, str]
  columns: Mapping[str, int]

  def of(self, name: str) -> tuple[Components, str]:
    """The components of what is planned under a name, and their unit."""
    return (self.sources[name], BITS) if name in self.sources else (self.scores[name], POINTS)


def known_noise(study: Study, components: Mapping[str, Components], stated: Sequence[str] = ()) -> KnownNoise:
  """Sorts the components of scores, in points, and of sources, in bits per byte.

  If a study evaluates no benchmark, those of the components count as if it did.

  Args:
    stated: names that a person wrote, so that one that nobody knows is a mistake; others are of an earlier study.

  Raises UserError if a stated name is that of no benchmark and of no source.
  """
  tasks, sources = {task.name: task for task in _tasks(study)}, scored_names(study)
  _require_known(stated, list(tasks), sources)
  in_bits = {name: of for name, of in components.items() if unit_of(study, name) == BITS}
  in_points = {name: of for name, of in components.items() if name not in in_bits}
  measured = tasks or TASKS
  left_out = {name: reason for name, of in components.items() if (reason := _why_not(name in in_bits, measured.get(split_shots(name)[0]), of))}
  planned = [name for name in in_points if name not in left_out]
  # The table that the study's number of examples gives, whatever that of the components is.
  in_study = {name: stored_name(name, study.evaluation.shots).removeprefix(PREFIX) for name, task in tasks.items() if _has_score(task)}
  of_tables = collections.Counter(map(_table_of, in_study.values() if tasks else planned))
  return KnownNoise(
    scores={name: of for name, of in in_points.items() if of.is_known and split_shots(name)[0] in {**TASKS, **tasks}},
    sources={name: of for name, of in in_bits.items() if of.is_known},
    tables={name: BITS if name in in_bits else _table_of(in_study.get(split_shots(name)[0], name)) for name in components if name not in left_out},
    as_if=[] if tasks else planned,
    left_out=left_out,
    # Each group's table has the mean of its benchmarks besides.
    columns={table: count + 1 for table, count in of_tables.items()} | ({BITS: len(sources)} if sources else {}),
  )


def reasons(left_out: Mapping[str, str]) -> list[str]:
  """A line for each reason why noise is not planned, with what it is of."""
  return [f'not planned, since {reason}: {", ".join(name for name, of in left_out.items() if of == reason)}' for reason in dict.fromkeys(left_out.values())]


def unit_of(study: Study, name: str) -> str:
  """Of the components of a name: BITS of a source that is no benchmark too, else POINTS."""
  return BITS if name in scored_names(study) and name not in [task.name for task in _tasks(study)] else POINTS


def _why_not(is_source: bool, task: Task | None, components: Components) -> str:
  """Why noise is not planned; '' if it is."""
  if not is_source and task is None:
    return UNMEASURED
  if not is_source and not _has_score(task):
    return WITHOUT_SCORE
  return '' if components.is_known else SILENT


def _has_score(task: Task) -> bool:
  return not isinstance(task, Instructions | Passages)


def _tasks(study: Study) -> list[Task]:
  return study.evaluation.selected() if study.evaluation else []


def _table_of(task: str) -> str:
  """'nl_reasoning', 'nl_reasoning, 5 shots'."""
  bare, shots = split_shots(task)
  return group_of(bare) + (f', {shots} shot{"s" * (shots > 1)}' if shots else '')


def _require_known(stated: Sequence[str], evaluated: Sequence[str], sources: Sequence[str]) -> None:
  for name in stated:
    if split_shots(name)[0] not in (*evaluated, *TASKS) and name not in sources:
      measured = f' The study measures {", ".join([*evaluated, *sources])}.' if evaluated or sources else ''
      raise UserError(f"Power.components names '{name}', and no benchmark or source of the study has that name.{nearest(name, [*evaluated, *sources, *TASKS])}{measured}")
