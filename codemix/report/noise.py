"""The noise floor of a table of changes: how far runs of the baseline's arm differ by their seeds alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from codemix import formatting
from codemix.inference.spread import noise_floor, spread_of
from codemix.report.content import Content
from codemix.report.table import Cell, Line

CAPTION = (
  ' Noise floor: 19 of 20 differences between two runs of the baseline’s arm, or between two arms with as many seeds as it has, after its last stage, '
  'are smaller by the luck of the seeds alone, on the same items; a smaller difference cannot be shown.'
)


def floor_lines(content: Content, columns: Sequence[Callable[[str], float]], relative: bool, form: Callable[[float], str], blank: int = 0) -> list[Line]:
  """Two lines for each model whose baseline's arm has several seeds, after its last stage; one that says so if it has a single one.

  Args:
    columns: the figure of a stage's folder, NaN if it is not known; one for each column of the table.
    relative: whether changes are in parts of the figure.
    form: of a difference.
    blank: columns between the first and those.
  """
  lines = []
  for model in content.models:
    base = next((arm for arm in model.arms if content.rows_of(arm)[-1].is_baseline), None)
    if base is None:
      continue
    folders = list(dict.fromkeys(content.rows_of(base)[-1].folders))
    figures = [np.array([value for value in map(column, folders) if not math.isnan(value)]) for column in columns]
    of = f'{base.name}, {model.label}' if len(content.models) > 1 else base.name
    if all(figures_S.size < 2 for figures_S in figures):
      lines.append(Line([Cell('Noise floor', [f'not known: {of} has 1 seed']), *[Cell()] * blank, *[Cell(formatting.UNKNOWN)] * len(columns)], '' if lines else 'total'))
      continue
    for label, is_arm in (('Noise floor, two runs', False), ('Noise floor, two arms', True)):
      cells = [_cell(figures_S, is_arm, relative, form) for figures_S in figures]
      lines.append(Line([Cell(label, [f'like {of}']), *[Cell()] * blank, *cells], '' if lines else 'total'))
  return lines


def _cell(figures_S: np.ndarray, is_arm: bool, relative: bool, form: Callable[[float], str]) -> Cell:
  if figures_S.size < 2:
    return Cell(formatting.UNKNOWN, [f'{figures_S.size} seeds' if figures_S.size != 1 else '1 seed'])
  floor = noise_floor(spread_of([figures_S]), figures_S.size if is_arm else 1)
  scale = abs(figures_S.mean()) if relative else 1.0
  if not scale:
    return Cell(formatting.UNKNOWN, [f'{figures_S.size} seeds'])
  return Cell(form(floor.difference / scale), [f'{figures_S.size} seeds each' if is_arm else f'from {figures_S.size} seeds'])
