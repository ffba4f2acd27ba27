"""The noise of the mean score of a group of benchmarks, from that of its tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from codemix.evaluation.results import split_shots
from codemix.evaluation.tasks.registry import GROUPS
from codemix.inference.components import Components, of_sum


def stated_tasks(components: Mapping[str, Components], group: str) -> Sequence[str]:
  """The tasks of a group whose noise is known; with examples a task is called 'piqa-5shot'."""
  known = {split_shots(name)[0] for name in components}
  return [task for task in GROUPS[group].tasks if task in known]


def group_noise(components: Mapping[str, Components], group: str) -> Components | None:
  """Of the mean score of a group's tasks, which are taken as independent; None if that of no task is known.

  Tasks whose noise is unknown count with the mean variance of the others.
  """
  tasks, of = stated_tasks(components, group), {split_shots(name)[0]: each for name, each in components.items()}
  if not tasks:
    return None
  # A mean of n tasks has the variance v / n, with v the mean variance of the k tasks that are known.
  weight = 1 / math.sqrt(len(tasks) * len(GROUPS[group].tasks))
  return of_sum([(weight, of[task]) for task in tasks])
