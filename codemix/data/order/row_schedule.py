"""Which source each row of a stage comes from: exact in total, within one row at every prefix.

All rows of a run hold the same number of loss tokens, so a share of rows is a share of loss tokens.
Source s should have given T_s(t) of the first t rows, where T_s never falls and the T_s(t) sum to
t. The order is that of the chairman assignment problem (R. Tijdeman, Discrete Mathematics 32,
1980): one row is handed out at a time, and no source may ever be a whole row ahead of or behind its
T. The j-th row of a source may therefore come no sooner than the first t with T_s(t) > j - 1 and no
later than the first t with T_s(t) >= j; serving, at each row, the source whose next row falls due
first among those already allowed meets all these windows, since intervals on a line satisfy Hall's
condition here. Sorting by mid-points or drawing at random does not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from codemix.data.order.row_order import row_order
from codemix.data.order.targets import Segment, constant, whole_counts


def apportion(shares: Mapping[str, Fraction], rows: int) -> dict[str, int]:
  """Splits `rows` among sources, whose shares sum to one, by largest remainder (Hamilton's method).

  Ties go to the source named first.
  """
  counts = {source: math.floor(share * rows) for source, share in shares.items()}
  left = rows - sum(counts.values())
  by_remainder = sorted(shares, key=lambda source: counts[source] - shares[source] * rows)
  for source in by_remainder[:left]:
    counts[source] += 1
  return counts


def constant_shares(shares: Mapping[str, Fraction], rows: int) -> tuple[Segment, ...]:
  """The segments of a stage whose shares do not change, apportioned over all its rows."""
  return constant(list(apportion(shares, rows).values()))


def rows_of_each(segments: Sequence[Segment], orders: Path | None = None) -> list[int]:
  """The rows that each source gives to a stage; arguments as of `RowSchedule`."""
  counts = whole_counts(segments)
  return RowSchedule(segments, orders).counts.tolist() if counts is None else counts


class RowSchedule:
  """The rows of one stage in order, with the draws before any row found in O(1).

  Attributes:
    order: uint16 [rows], the source index of each row.
    counts: int64 [S], rows of each source in the stage.
  """

  BLOCK = 4096  # rows between two stored counts: 8 S bytes each, a block is counted in microseconds

  def __init__(self, segments: Sequence[Segment], orders: Path | None = None):
    """`orders` is the folder that keeps the order of a long stage (`row_order`)."""
    self.order = row_order(tuple(segments), orders)
    sources = len(segments[0].begin)
    blocks = self.order[: len(self.order) // self.BLOCK * self.BLOCK].reshape(-1, self.BLOCK)
    counted = [np.bincount(block, minlength=sources) for block in blocks]
    self._before_block = np.cumsum([np.zeros(sources, np.int64), *counted], axis=0)
    self.counts = self.drawn_before(len(self.order))

  def __len__(self) -> int:
    return len(self.order)

  def drawn_before(self, row: int) -> np.ndarray:
    """int64 [S]: the rows drawn from each source before row `row` of the stage."""
    block = min(row // self.BLOCK, len(self._before_block) - 1)
    rest = self.order[block * self.BLOCK : row]
    return self._before_block[block] + np.bincount(rest, minlength=self._before_block.shape[1])

  def draws(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows [start, stop) of the stage.

    Returns:
      (source index, number of that source's rows drawn earlier in the stage),
      int64 [stop - start] each.
    """
    sources = self.order[start:stop].astype(np.int64)
    ordinals = np.empty(len(sources), np.int64)
    for s, before in enumerate(self.drawn_before(start)):
      mine = sources == s
      ordinals[mine] = before + np.arange(mine.sum())
    return sources, ordinals

  def row_of(self, source: int, ordinal: int) -> int:
    """The row of the stage at which row number `ordinal` of a source (from 0, below its count) is drawn."""
    block = int(np.searchsorted(self._before_block[:, source], ordinal, side='right')) - 1
    begin = block * self.BLOCK
    nth = ordinal - int(self._before_block[block, source])
    return begin + int(np.flatnonzero(self.order[begin : begin + self.BLOCK] == source)[nth])
