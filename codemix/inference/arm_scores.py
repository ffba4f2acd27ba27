"""The scores of one arm: a figure for each seed, and the scores of the items behind it.

Shapes: S seeds, I items, T tasks.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Sequence

import numpy as np

from codemix.errors import UserError


@dataclasses.dataclass(frozen=True)
class ArmScores:
  """What the runs of one arm scored; the runs differ in their seed alone.

  Attributes:
    tasks: scores of each task, float [S, I] (NaN: missing), or float [S] for a figure without items, such as a perplexity.
      All have the same S; a task has the same items in the same order in every arm.
    weights: of each task in the arm's figure, float [T]; a macro-average over T tasks has 1 / T each.
    seeds: S labels of the runs. Two arms with the same labels share these seeds. None: they share none.
    name: of the arm, for messages.

  Raises:
    UserError: no run, no task, numbers of seeds that differ, a weight or label too many or too few, or an infinite score.
  """

  tasks: tuple[np.ndarray, ...]
  weights: tuple[float, ...] = (1.0,)
  seeds: tuple[Hashable, ...] | None = None
  name: str = 'the arm'

  def __post_init__(self):
    tasks = tuple(np.asarray(task, np.float64) for task in self.tasks)
    object.__setattr__(self, 'tasks', tasks)
    object.__setattr__(self, 'weights', tuple(map(float, self.weights)))
    if not tasks or len(tasks) != len(self.weights):
      raise UserError(f'{self.name} has {len(tasks)} tasks and {len(self.weights)} weights: give one weight for each of one or more tasks.')
    for task in tasks:
      if task.ndim not in (1, 2) or not task.size:
        raise UserError(f'{self.name} has scores of shape {list(task.shape)}: give [seeds, items], or [seeds] for figures without items, and at least one of each.')
      if len(task) != len(tasks[0]):
        raise UserError(f'{self.name} has tasks with {len(tasks[0])} and {len(task)} seeds: give every task the same runs.')
      if np.isinf(task).any():
        raise UserError(f'{self.name} has an infinite score: write NaN for a score that is missing.')
    if self.seeds is not None:
      object.__setattr__(self, 'seeds', tuple(self.seeds))
      if len(self.seeds) != len(tasks[0]) or len(set(self.seeds)) != len(self.seeds):
        raise UserError(f'{self.name} has {len(tasks[0])} runs and the seeds {list(self.seeds)}: give each run one seed of its own.')

  @classmethod
  def of(cls, scores: np.ndarray, seeds: Sequence[Hashable] | None = None, name: str = 'the arm') -> ArmScores:
    """One task: scores [S, I], or [S] for figures without items."""
    return cls((scores,), (1.0,), None if seeds is None else tuple(seeds), name)

  @property
  def runs(self) -> int:
    return len(self.tasks[0])

  @property
  def has_items(self) -> bool:
    """Whether the items' part of the noise can be estimated: every task has two items or more."""
    return all(task.ndim == 2 and task.shape[1] > 1 for task in self.tasks)

  @functools.cached_property
  def figures(self) -> np.ndarray:
    """The weighted figure of each run, float [S]; NaN if a score is missing."""
    means = [task.mean(axis=1) if task.ndim == 2 else task for task in self.tasks]
    return np.sum([weight * mean for weight, mean in zip(self.weights, means, strict=True)], axis=0)

  def with_runs(self, kept: Sequence[int]) -> ArmScores:
    """The arm with these runs only, in this order."""
    seeds = None if self.seeds is None else tuple(self.seeds[index] for index in kept)
    return dataclasses.replace(self, tasks=tuple(task[list(kept)] for task in self.tasks), seeds=seeds)
