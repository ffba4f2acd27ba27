"""Scores of benchmarks and averages of them, with intervals over items and over seeds.

A change is a difference of scores on the same items (0.02 is two points), since relative changes of
scores near 0 mean nothing. What it is compared with is decided as for bits per byte (`comparison`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from codemix.evaluation import statistics
from codemix.evaluation.statistics import Estimate
from codemix.report import seed_difference
from codemix.report.contrast import Contrast


@dataclasses.dataclass(frozen=True)
class TaskScores:
  """One task's scores that can be compared.

  Attributes:
    values: by stage folder.
    correct: the scores of the items, float [N], by stage folder, in one order of the items; no entry
      for stages without a file of items.
  """

  values: Mapping[str, float]
  correct: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Score:
  """The sum of weight x score over tasks: one task with weight 1, or a macro-average."""

  parts: Sequence[tuple[TaskScores, float]]

  def value(self, folder: str) -> float:
    """Of one stage; NaN unless all tasks have been scored."""
    return math.fsum(weight * task.values.get(folder, math.nan) for task, weight in self.parts)

  def mean(self, folders: Iterable[str]) -> Estimate | None:
    """The mean over these stages, one per seed of an arm; None if none has been scored on all tasks."""
    known = [folder for folder in dict.fromkeys(folders) if self._is_scored(folder)]
    if not known:
      return None
    of_items = [_mean_of_items(task, known) for task, _ in self.parts]
    return self._over_seeds([self.value(folder) for folder in known], of_items)

  def change(self, contrast: Contrast) -> Estimate | None:
    """The difference of the means; None if nothing that is compared was scored on all tasks."""
    known = contrast.of(self._is_scored)
    if known.is_crossed and (found := self._crossed(known)):
      return found
    if not known.pairs:
      return None
    of_items = [_difference_of_items(task, known.pairs) for task, _ in self.parts]
    return self._over_seeds([self.value(own) - self.value(base) for own, base in known.pairs], of_items)

  def _crossed(self, contrast: Contrast) -> Estimate | None:
    """The change over several seeds of both arms; None if a task's items are not known, or nothing varies."""
    sides = [list(of.values()) for of in (contrast.own, contrast.base)]
    if not all(folder in task.correct for task, _ in self.parts for folders in sides for folder in folders):
      return None
    own, base = ([np.stack([task.correct[folder] for folder in folders]) for task, _ in self.parts] for folders in sides)
    return seed_difference.of_scores(own, base, [weight for _, weight in self.parts], contrast.shares_seeds)

  def _is_scored(self, folder: str) -> bool:
    return all(folder in task.values for task, _ in self.parts)

  def _over_seeds(self, figures: Sequence[float], of_items: Sequence[Estimate]) -> Estimate:
    over_items = statistics.weighted_sum(of_items, [weight for _, weight in self.parts])
    return statistics.over_seeds(figures, over_items)


def average(parts: Sequence[Score]) -> Score:
  """The unweighted mean of scores or averages."""
  return Score([(task, weight / len(parts)) for score in parts for task, weight in score.parts])


def _mean_of_items(task: TaskScores, folders: Sequence[str]) -> Estimate:
  if all(folder in task.correct for folder in folders):
    return statistics.mean_score(np.mean([task.correct[folder] for folder in folders], axis=0))
  return Estimate(float(np.mean([task.values[folder] for folder in folders])))


def _difference_of_items(task: TaskScores, pairs: Sequence[tuple[str, str]]) -> Estimate:
  if all(folder in task.correct for pair in pairs for folder in pair):
    return statistics.mean_difference(np.mean([task.correct[own] - task.correct[base] for own, base in pairs], axis=0))
  return Estimate(float(np.mean([task.values[own] - task.values[base] for own, base in pairs])))
