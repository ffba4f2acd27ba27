"""The benchmarks that ship, and the groups of them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping

from codemix.errors import UserError, nearest
from codemix.evaluation.tasks import (
  coding_tasks,
  instructions,
  knowledge,
  local,
  passages,
  reasoning,
)
from codemix.evaluation.tasks.task import Task

TASKS: Mapping[str, Task] = {
  task.name: task for room in (reasoning, knowledge, coding_tasks, passages, instructions, local) for task in room.TASKS
}


@dataclasses.dataclass(frozen=True)
class Group:
  """Tasks whose scores are averaged.

  Attributes:
    tasks: in the order of tables.
    label: what tables call their mean.
  """

  tasks: tuple[str, ...]
  label: str


# Disjoint, so that no task counts twice. The first three are the paper's (its table 1).
GROUPS: Mapping[str, Group] = {
  'nl_reasoning': Group(
    ('boolq', 'piqa', 'sciq', 'social_iqa', 'quac', 'cb', 'copa', 'story_cloze', 'hellaswag', 'winogrande', 'arc_easy'), 'Reason.'
  ),
  'knowledge': Group(('triviaqa', 'nq_open'), 'Know.'),
  'code': Group(('humaneval', 'mbpp'), 'Code'),
  'general': Group(
    ('arc_challenge', 'openbookqa', 'qasc', 'lambada', 'truthfulqa_mc1', 'truthfulqa_mc2', 'commonsense_qa', 'mmlu'), 'General'
  ),
  'mathematics': Group(('gsm8k',), 'Math.'),
  'compositional': Group(('cogs',), 'Comp.'),
  'local': Group(('local_passages', 'local_bodies', 'local_programs'), 'Local'),
}

# The paper's means of means (its table 2): natural language, and all.
AGGREGATES: Mapping[str, tuple[str, ...]] = {
  'NL Avg': ('nl_reasoning', 'knowledge'),
  'Total': ('nl_reasoning', 'knowledge', 'code'),
}


_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.-]*')


def group_of(task: str) -> str:
  """The group of a task; 'other' if it is in none."""
  return next((name for name, group in GROUPS.items() if task in group.tasks), 'other')


def select(names: Iterable[str | Task]) -> list[Task]:
  """The tasks of names of tasks and groups, each once, in order.

  Raises UserError for an unknown name, with the nearest one, two tasks with one name, or a task of a user's own with the
  name of one that ships or one that cannot name a file.

  Args:
    names: may also hold tasks themselves.
  """
  found: dict[str, Task] = {}
  for name in names:
    for task in _named(name) if isinstance(name, str) else [_own(name)]:
      if found.setdefault(task.name, task) is not task:
        raise UserError(f"two tasks are named '{task.name}'; give each a name of its own.")
  return list(found.values())


def _own(task: Task) -> Task:
  if TASKS.get(task.name, task) is not task or task.name in GROUPS:
    raise UserError(f"a task of your own is named '{task.name}', as one that ships; give it another name.")
  if not _NAME.fullmatch(task.name):  # it names the files of the results
    raise UserError(f"a task of your own is named '{task.name}'; a name has letters, digits, '_', '-' and '.', and begins with a letter or digit.")
  return task


def _named(name: str) -> list[Task]:
  if name in GROUPS:
    return [TASKS[task] for task in GROUPS[name].tasks if task in TASKS]
  if name not in TASKS:
    raise UserError(f"no task or group is named '{name}'.{nearest(name, [*TASKS, *GROUPS])} `codemix evaluate --tasks=list` lists them.")
  return [TASKS[name]]


def group_mean(scores: Mapping[str, float], group: str) -> float | None:
  """The macro-average of a group; None unless every task of it has a score.

  Args:
    scores: by task, 0 to 1.
  """
  tasks = GROUPS[group].tasks
  return sum(scores[task] for task in tasks) / len(tasks) if all(task in scores for task in tasks) else None


def aggregate(scores: Mapping[str, float], name: str) -> float | None:
  """One of AGGREGATES; None unless every group of it is whole."""
  means = [group_mean(scores, group) for group in AGGREGATES[name]]
  return None if None in means else sum(means) / len(means)


def _check() -> None:
  tasks = [task for group in GROUPS.values() for task in group.tasks]
  repeated = {task for task in tasks if tasks.count(task) > 1} | (GROUPS.keys() & TASKS.keys())
  if repeated:
    raise ValueError(f'groups are not disjoint sets of tasks: {", ".join(sorted(repeated))}')


_check()
