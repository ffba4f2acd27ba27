"""The benchmarks of a study: which of them were scored, in which groups, on which items."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from codemix.errors import UserError
from codemix.evaluation import statistics
from codemix.evaluation.judge.names import PREFIX
from codemix.evaluation.results import StoredResults, split_shots
from codemix.identity import differences, digest
from codemix.published.models import COLUMNS
from codemix.published.models import HEADINGS as PAPERS_HEADINGS
from codemix.report.comparison import Measure
from codemix.report.results import StudyResults
from codemix.report.scores import Score, TaskScores, average

TASKS = 'tasks/'  # of the evaluator's name, before the task
OTHER = 'other'  # the group of tasks that are in none
HEADINGS = {'nl_reasoning': PAPERS_HEADINGS['Reason.'], 'knowledge': PAPERS_HEADINGS['Know.'], OTHER: 'Other benchmarks'}
_COLUMNS = ('id', 'correct', 'gold_nats', 'gold_bytes')


@dataclasses.dataclass(frozen=True)
class Benchmark:
  """A task as the stages of a study were scored on it.

  Attributes:
    name: of the task, with its number of examples if there are any: 'piqa', 'piqa-5shot'.
    metric: of the headline score; '' if there is none.
    items: their number.
    chance, majority: what guessing and the most frequent answer give; NaN if that is not known.
    stored: everything that was stored, by stage folder.
    task: the headline scores that can be compared.
    gold: bits per byte of the right answers.
    apart: by stage folder, why its results cannot be compared with the others'.
  """

  name: str
  metric: str
  items: int
  chance: float
  majority: float
  stored: Mapping[str, StoredResults]
  task: TaskScores
  gold: Measure
  apart: Mapping[str, str]

  @property
  def score(self) -> Score:
    return Score([(self.task, 1.0)])

  @property
  def has_score(self) -> bool:
    return any('score' in found.scores for found in self.stored.values())

  def other(self, score: str) -> dict[str, float]:
    """Another score of the task by stage folder."""
    return {folder: found.scores[score] for folder, found in self.stored.items() if score in found.scores}


@dataclasses.dataclass(frozen=True)
class Group:
  """Benchmarks of one table.

  Attributes:
    label: such as 'NL reasoning', or 'NL reasoning, 5 shots'.
    declared: how many tasks the group has, scored or not.
  """

  label: str
  benchmarks: Sequence[Benchmark]
  declared: int

  @property
  def scored(self) -> list[Benchmark]:
    """Those with a headline score."""
    return [benchmark for benchmark in self.benchmarks if benchmark.has_score]

  @property
  def average(self) -> Score | None:
    """The macro-average over the benchmarks that were scored."""
    return average([benchmark.score for benchmark in self.scored]) if self.scored else None


@dataclasses.dataclass(frozen=True)
class Aggregate:
  """A column of the paper's Table 2.

  Attributes:
    groups: those that it averages, each with the same weight.
  """

  label: str
  groups: Sequence[Group]

  @functools.cached_property
  def score(self) -> Score:
    return average([group.average for group in self.groups])

  @property
  def coverage(self) -> str:
    """'8 of 11 tasks'."""
    return f'{sum(len(g.scored) for g in self.groups)} of {sum(g.declared for g in self.groups)} tasks'

  def baseline(self, kind: str) -> float:
    """The same average of 'chance' or 'majority'; NaN if that of a task is not known."""
    of_groups = [[getattr(b, kind) for b in group.scored] for group in self.groups]
    return sum(sum(values) / len(values) for values in of_groups) / len(of_groups)


@dataclasses.dataclass(frozen=True)
class Suite:
  """All benchmarks of a study.

  Attributes:
    groups: those with results, the paper's first.
    aggregates: of the paper's groups at no examples; [] if none of them has been scored.
    judges: results of judges by name, then by stage folder.
    notes: a sentence for each thing to mind.
  """

  groups: Sequence[Group]
  aggregates: Sequence[Aggregate]
  judges: Mapping[str, Mapping[str, StoredResults]]
  notes: Sequence[str]

  @property
  def benchmarks(self) -> list[Benchmark]:
    return [benchmark for group in self.groups for benchmark in group.benchmarks]


def gather_suite(study: StudyResults) -> Suite:
  """The benchmarks that the stages of a study were scored on. Raises UserError if a file of items is damaged."""
  tasks, judges = _by_name(study, TASKS), _by_name(study, PREFIX)
  if not tasks:
    return Suite([], [], judges, [])
  from codemix.evaluation.tasks.registry import AGGREGATES, GROUPS  # loads JAX

  benchmarks = {name: _benchmark(name, stored) for name, stored in tasks.items()}
  groups = _groups(benchmarks, {name: group.tasks for name, group in GROUPS.items()})
  columns = {group.label: (name,) for name, group in GROUPS.items()} | AGGREGATES
  return Suite(
    groups=list(groups.values()),
    aggregates=_aggregates({name: group for (name, shots), group in groups.items() if not shots and group.scored}, columns),
    judges=judges,
    notes=[
      f'{name} after {folder} is not compared with the others, nor in an average: {why}.'
      for name, benchmark in benchmarks.items() for folder, why in benchmark.apart.items()
    ],
  )  # fmt: skip


def clean_scores(study: StudyResults, suite: Suite) -> tuple[Mapping[str, Mapping[str, Mapping[str, float]]], list[str]]:
  """(by stage folder and task: scores on the clean items, what is not covered) by the study's contamination.json, if there is one.

  Raises UserError if that file is damaged.
  """
  path = study.folder / 'contamination.json'
  if not suite.benchmarks or not path.is_file():
    return {}, []
  from codemix.contamination.clean_tasks import clean_task_scores  # loads JAX

  stages = {
    folder: {b.name: b.stored[folder] for b in suite.benchmarks if folder in b.stored and folder not in b.apart}
    for folder in study.stages
  }  # fmt: skip
  scores, reasons = clean_task_scores(stages, path)
  return scores, [f'No scores on clean items: {reason}. Run `codemix contamination` again.' for reason in reasons]


def _by_name(study: StudyResults, prefix: str) -> dict[str, dict[str, StoredResults]]:
  """The results of evaluators with a prefix: by name without it, then by stage folder."""
  found: dict[str, dict[str, StoredResults]] = {}
  for folder, stage in study.stages.items():
    for name, stored in stage.results.items():
      if name.startswith(prefix):
        found.setdefault(name.removeprefix(prefix), {})[folder] = stored
  return found


def _groups(benchmarks: Mapping[str, Benchmark], declared: Mapping[str, Sequence[str]]) -> dict[tuple[str, int], Group]:
  """By (name of the group, examples)."""
  group_of = {task: name for name, tasks in declared.items() for task in tasks}
  order = {task: number for number, task in enumerate(itertools.chain(*declared.values()))}
  rank = {name: number for number, name in enumerate([*declared, OTHER])}
  members: dict[tuple[str, int], list[Benchmark]] = {}
  for name in sorted(benchmarks, key=lambda name: (order.get(split_shots(name)[0], len(order)), name)):
    task, shots = split_shots(name)
    members.setdefault((group_of.get(task, OTHER), shots), []).append(benchmarks[name])
  return {
    (name, shots): Group(
      label=HEADINGS.get(name, name.replace('_', ' ').capitalize()) + (f', {shots} shot{"s" * (shots > 1)}' if shots else ''),
      benchmarks=members[name, shots],
      declared=len(declared.get(name, members[name, shots])),
    )
    for name, shots in sorted(members, key=lambda key: (key[1], rank[key[0]]))
  }


def _aggregates(groups: Mapping[str, Group], columns: Mapping[str, Sequence[str]]) -> list[Aggregate]:
  """The columns of Table 2 of which every group has scores.

  Args:
    columns: names of the groups by label.
  """
  return [Aggregate(label, [groups[n] for n in columns[label]]) for label in COLUMNS if all(n in groups for n in columns[label])]


def _benchmark(name: str, stored: Mapping[str, StoredResults]) -> Benchmark:
  reference, apart = _apart(stored)
  alike = {folder: found for folder, found in stored.items() if folder not in apart}
  items = {folder: _items(found) for folder, found in alike.items()}
  ids = next((of['id'] for of in items.values() if of), None)
  apart |= {folder: 'it was scored on other items' for folder, of in items.items() if of and not np.array_equal(of['id'], ids)}
  alike = {folder: found for folder, found in alike.items() if folder not in apart}
  first = stored[reference].scores
  correct = {folder: items[folder]['correct'] for folder in alike if 'correct' in items[folder]}
  return Benchmark(
    name=name,
    metric=stored[reference].identity.get('metric', ''),
    items=int(first.get('items', 0)),
    chance=first.get('chance', math.nan),
    majority=first.get('majority', math.nan),
    stored=stored,
    task=TaskScores({f: found.scores['score'] for f, found in alike.items() if 'score' in found.scores}, correct),
    gold=_gold({folder: items[folder] for folder in alike}, name),
    apart=apart,
  )


def _apart(stored: Mapping[str, StoredResults]) -> tuple[str, dict[str, str]]:
  """(a stage folder with the settings of most, the reasons by folder of other settings)."""
  settings = {f: {k: v for k, v in found.identity.items() if k != 'checkpoint'} for f, found in stored.items()}
  digests = {folder: digest(of) for folder, of in settings.items()}
  common = collections.Counter(digests.values()).most_common(1)[0][0]
  reference = next(folder for folder, found in digests.items() if found == common)
  return reference, {
    folder: f'it was scored with other settings ({next(differences(settings[reference], settings[folder]))})'
    for folder, found in digests.items() if found != common
  }  # fmt: skip


def _items(stored: StoredResults) -> dict[str, np.ndarray]:
  """The columns of `_COLUMNS` in the order of the ids; without `correct` if it is not what the score is the mean of.

  Raises UserError if the file is damaged, or two items have the same id.
  """
  found = stored.items(_COLUMNS)
  if 'id' not in found or not len(found['id']):
    return {}
  ids = found['id'].astype(str)
  order = np.argsort(ids, kind='stable')
  if (ids[order][1:] == ids[order][:-1]).any():
    raise UserError(f'{stored.path} has two items of the same id. Delete {stored.record} to evaluate the stage again.')
  columns = {name: column[order] for name, column in found.items()}
  correct, score = columns.get('correct'), stored.scores.get('score')
  if correct is not None and (score is None or not math.isclose(np.mean(correct), score, rel_tol=1e-6, abs_tol=1e-9)):
    del columns['correct']
  return {**columns, 'id': ids[order]}


def _gold(items: Mapping[str, Mapping[str, np.ndarray]], name: str) -> Measure:
  """Bits per byte of the right answers, of the stages that have them."""
  whole = {f: of for f, of in items.items() if {'gold_nats', 'gold_bytes'} <= of.keys() and np.isfinite(of['gold_nats']).all() and of['gold_bytes'].sum()}
  if not whole:
    return Measure((name,), {}, (0,), np.array([]), {}, np.array([]))
  sizes = next(iter(whole.values()))['gold_bytes']
  whole = {folder: of for folder, of in whole.items() if np.array_equal(of['gold_bytes'], sizes)}
  rows = np.vstack([*(of['gold_nats'] for of in whole.values()), sizes])
  *out, bytes_out = statistics.leave_one_out(rows, (len(sizes),))
  return Measure(
    sources=(name,),
    totals={folder: (float(of['gold_nats'].sum()), float(sizes.sum())) for folder, of in whole.items()},
    counts=(len(sizes),),
    bytes_N=sizes,
    nats_out=dict(zip(whole, out, strict=True)),
    bytes_out_N=bytes_out,
  )
