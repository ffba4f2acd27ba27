"""The colours of a table, after a correction for the number of comparisons that it makes."""

from __future__ import annotations

import dataclasses

import numpy as np

from codemix.evaluation.statistics import LEVEL
from codemix.inference.multiplicity import holm
from codemix.report.table import Cell, Table


def corrected(table: Table) -> Table:
  """The table with colours only where the arms differ after Holm's correction, and a sentence that says so.

  Lines of single seeds make no comparison. Intervals are not widened: each is of 95% alone.
  """
  p_C = np.array([cell.p for line in table.lines for cell in line.cells if cell.p is not None])
  if p_C.size < 2:
    return table
  adjusted = iter(holm(p_C).tolist())

  def cell_of(cell: Cell) -> Cell:
    if cell.p is None:
      return cell
    return cell if next(adjusted) <= 1 - LEVEL else dataclasses.replace(cell, mark='')

  lines = [dataclasses.replace(line, cells=[cell_of(cell) for cell in line.cells]) for line in table.lines]
  caption = f'{table.caption} Coloured: what remains after Holm’s correction for the {p_C.size} comparisons of this table; each interval is of 95% alone.'
  return dataclasses.replace(table, caption=caption, lines=lines)
