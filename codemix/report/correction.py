"""The colours of a table, and what it calls equal, after a correction for the number of comparisons that it makes."""

from __future__ import annotations

import dataclasses

import numpy as np

from codemix.evaluation.statistics import LEVEL
from codemix.inference.multiplicity import holm
from codemix.report.table import Cell, Table


def corrected(table: Table, margin: str = '') -> Table:
  """The table with colours only where the arms differ after Holm's correction, and a sentence that says so.

  With a margin, cells of changes that are shown to be smaller than it say so, after a correction of their own. A change may be
  coloured and within the margin too: then it is small. Lines of single seeds make no comparison. Intervals are not widened: each is
  of 95% alone.

  Args:
    margin: in words, such as '0.5 points'; '' if there is none.
  """
  table = _coloured(table)
  return _equal(table, margin) if margin else table


def _coloured(table: Table) -> Table:
  p_C = np.array([cell.p for line in table.lines for cell in line.cells if cell.p is not None])
  if p_C.size < 2:
    return table
  adjusted = iter(holm(p_C).tolist())

  def cell_of(cell: Cell) -> Cell:
    if cell.p is None:
      return cell
    return cell if next(adjusted) <= 1 - LEVEL else dataclasses.replace(cell, mark='')

  caption = f'{table.caption} Coloured: what remains after Holm’s correction for the {p_C.size} comparisons of this table; each interval is of 95% alone.'
  return _with_cells(table, cell_of, caption)


def _equal(table: Table, margin: str) -> Table:
  p_C = np.array([cell.equal_p for line in table.lines for cell in line.cells if cell.equal_p is not None])
  if not p_C.size:
    return dataclasses.replace(table, caption=f'{table.caption} Nothing is tested for “no difference larger than {margin}”: that needs two seeds or more in both arms.')
  adjusted = iter(holm(p_C).tolist())

  def cell_of(cell: Cell) -> Cell:
    if cell.equal_p is None or next(adjusted) > 1 - LEVEL:
      return cell
    return dataclasses.replace(cell, notes=[*cell.notes, f'within ±{margin}'])

  caption = (
    f'{table.caption} “Within ±{margin}”: shown to differ by less, by two one-sided tests at 5% after Holm’s correction for the {p_C.size} tests of this table. '
    'Where it is missing, neither that nor the contrary is shown.'
  )
  return _with_cells(table, cell_of, caption)


def _with_cells(table: Table, cell_of, caption: str) -> Table:
  lines = [dataclasses.replace(line, cells=[cell_of(cell) for cell in line.cells]) for line in table.lines]
  return dataclasses.replace(table, caption=caption, lines=lines)
