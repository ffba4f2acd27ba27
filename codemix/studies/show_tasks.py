"""Shows the scores of benchmarks on a terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TextIO

from rich.table import Table

from codemix.console import Console
from codemix.data.evaluation_sets.folder import EvaluationFolder
from codemix.evaluation.tasks.registry import AGGREGATES, GROUPS, aggregate, group_mean
from codemix.evaluation.tasks.task import PREFIX, Task

WIDTH = 120


def show_tasks(title: str, scores: Mapping[str, Mapping[str, float]], stream: TextIO | None = None) -> None:
  """Prints a table of benchmarks, with the groups and means that are whole; nothing if there are none.

  Args:
    scores: of each task, by its name without PREFIX.
    stream: stderr if None.
  """
  if not scores:
    return
  table = Table(title=title, title_justify='left', box=None, pad_edge=False)
  table.add_column('task')
  for name in ('score', '±', 'chance', 'majority', 'gold bits/byte', 'items'):
    table.add_column(name, justify='right')
  for name, found in scores.items():
    table.add_row(name, *_cells(found))
  headlines = {name: found['score'] for name, found in scores.items() if 'score' in found}
  for name, group in GROUPS.items():
    if len(group.tasks) > 1 and (mean := group_mean(headlines, name)) is not None:
      table.add_row(f'mean of {name}', f'{mean:.1%}')
  for name in AGGREGATES:
    if (mean := aggregate(headlines, name)) is not None:
      table.add_row(name, f'{mean:.1%}')
  Console(stream or sys.stderr, WIDTH).print(table)


def _cells(found: Mapping[str, float]) -> list[str]:
  share = lambda name: f'{found[name]:.1%}' if name in found else ''
  # The error of a score of 0 and 1; other scores vary less.
  error = f'{math.sqrt(found["score"] * (1 - found["score"]) / found["items"]):.1%}' if 'score' in found else ''
  bits = f'{found["gold_bits_per_byte"]:.4f}' if 'gold_bits_per_byte' in found else ''
  return [share('score') or 'not scored', error, share('chance'), share('majority'), bits, f'{int(found["items"]):,}']


def show_list(tasks: Mapping[str, Task], folder: EvaluationFolder, stream: TextIO) -> None:
  """Prints a table of all tasks: group, headline score, file, and whether it is there."""
  table = Table(box=None, pad_edge=False)
  for name in ('task', 'groups', 'score', 'items', 'there', 'file'):
    table.add_column(name)
  for name, task in tasks.items():
    wanted = file_of(task)
    groups = ', '.join(group for group, found in GROUPS.items() if name in found.tasks)
    published = getattr(task, 'published', None) or getattr(getattr(task, 'source', None), 'published', None)
    there = '' if wanted is None else 'yes' if folder.is_there(wanted) else 'no'
    table.add_row(name, groups, task.metric, f'{published:,}' if published else '', there, wanted.names[0] if wanted else '')
  Console(stream, WIDTH).print(table)


def file_of(task: Task):
  """The file that a task reads; None if it reads none."""
  return next((found for found in (getattr(task, 'file', None), getattr(getattr(task, 'source', None), 'file', None)) if found), None)


def without_prefix(name: str) -> str:
  """'tasks/piqa' -> 'piqa'."""
  return name.removeprefix(PREFIX)
