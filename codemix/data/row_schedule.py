"""Which source each row of a stage comes from: exact in total, within one row at every prefix.

All rows of a run hold the same number of loss tokens, so a share of rows is a
share of loss tokens. The order is that of the chairman assignment problem
(R. Tijdeman, Discrete Mathematics 32, 1980): one row is handed out at a time,
and no source may ever be a whole row ahead of or behind its share. The j-th of
a source's n rows among R may therefore come no sooner than row
floor((j-1)R/n) + 1 and no later than row ceil(jR/n); serving, at each row, the
source whose next row falls due first among those already allowed meets all
these windows, since intervals on a line satisfy Hall's condition here. Sorting
by mid-points or drawing at random does not.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np


def apportion(shares: Mapping[str, Fraction], rows: int) -> dict[str, int]:
  """Splits `rows` among sources by largest remainder (Hamilton's method).

  Args:
    shares: exact shares, summing to one.
    rows: rows of the stage.

  Returns:
    rows of each source, summing to `rows`; ties go to the source named first.
  """
  counts = {source: math.floor(share * rows) for source, share in shares.items()}
  left = rows - sum(counts.values())
  by_remainder = sorted(shares, key=lambda source: counts[source] - shares[source] * rows)
  for source in by_remainder[:left]:
    counts[source] += 1
  return counts


def row_order(counts: Sequence[int]) -> np.ndarray:
  """The source index of each row.

  Args:
    counts: rows of each source in the stage.

  Returns:
    uint16 [sum(counts)]; in every prefix of t rows, source s has been drawn
    strictly less than one row away from t * counts[s] / sum(counts).
  """
  repeats = math.gcd(*counts)
  if not repeats:
    return np.zeros(0, np.uint16)
  # At each multiple of the period every source is exactly on its share, so the
  # order of one period repeats.
  return np.tile(_one_period([count // repeats for count in counts]), repeats)


def _one_period(counts: list[int]) -> np.ndarray:
  rows = sum(counts)
  order = np.empty(rows, np.uint16)
  drawn = [0] * len(counts)
  waiting = [(1, s) for s, count in enumerate(counts) if count]  # (first row allowed, source)
  heapq.heapify(waiting)
  due: list[tuple[int, int]] = []  # (last row allowed, source), of those already allowed
  for row in range(1, rows + 1):
    while waiting and waiting[0][0] <= row:
      _, s = heapq.heappop(waiting)
      heapq.heappush(due, (-(-(drawn[s] + 1) * rows // counts[s]), s))
    _, s = heapq.heappop(due)
    order[row - 1] = s
    drawn[s] += 1
    if drawn[s] < counts[s]:
      heapq.heappush(waiting, (drawn[s] * rows // counts[s] + 1, s))
  return order


class RowSchedule:
  """The rows of one stage in order, with the draws before any row found in O(1).

  Attributes:
    counts: int64 [S], rows of each source in the stage.
    order: uint16 [rows], the source index of each row.
  """

  BLOCK = 4096  # rows between two stored counts: 8 S bytes each, a block is counted in microseconds

  def __init__(self, counts: Sequence[int]):
    self.counts = np.asarray(counts, np.int64)
    self.order = row_order([int(count) for count in counts])
    blocks = self.order[: len(self.order) // self.BLOCK * self.BLOCK].reshape(-1, self.BLOCK)
    per_block = [np.bincount(block, minlength=len(counts)) for block in blocks]
    zero = np.zeros((1, len(counts)), np.int64)
    self._before_block = np.concatenate([zero, np.cumsum(per_block, 0)]) if per_block else zero

  def __len__(self) -> int:
    return len(self.order)

  def drawn_before(self, row: int) -> np.ndarray:
    """int64 [S]: the rows drawn from each source before row `row` of the stage."""
    block = min(row // self.BLOCK, len(self._before_block) - 1)
    rest = self.order[block * self.BLOCK : row]
    return self._before_block[block] + np.bincount(rest, minlength=len(self.counts))

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
