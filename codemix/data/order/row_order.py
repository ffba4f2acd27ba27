"""The order of a stage's rows: at each row the source whose next row falls due first.

`by_heap` is the rule itself, a row at a time. `in_chunks` gives the same order
of constant shares some ten times sooner: it runs the rule at the beginnings of
thousands of chunks at once, each from a likely state some rows before it, and
looks whether each chunk begins in the state in which the one before it ended.
Two runs of the rule from different states come together when the job that only
one of them has done falls due, mostly within a few rows; a chunk whose
beginning was guessed wrong is done again from the right state until they meet.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence

import numpy as np

from codemix.data.order.targets import Targets, constant

CHUNKS = 4096
RUN_IN = 512  # rows for which a chunk runs before it counts
NEVER = np.iinfo(np.int64).max


def by_heap(targets: Targets, drawn: Sequence[int], begin: int = 0) -> Iterator[int]:
  """Yields the source of each row from row `begin` on.

  Args:
    targets: of the stage.
    drawn: the rows of each source before `begin`.
  """
  one, first = targets.denominator, targets.first
  drawn = list(drawn)
  waiting = [(first(s, count * one + 1), s) for s, count in enumerate(drawn)]  # (allowed from, source)
  heapq.heapify(waiting)
  ready: list[tuple[int, int]] = []  # (due, source), of those already allowed
  for row in range(begin + 1, targets.rows + 1):
    while waiting and waiting[0][0] <= row:
      _, s = heapq.heappop(waiting)
      heapq.heappush(ready, (first(s, (drawn[s] + 1) * one), s))
    _, s = heapq.heappop(ready)
    yield s
    drawn[s] += 1
    heapq.heappush(waiting, (first(s, drawn[s] * one + 1), s))


def in_chunks(counts: Sequence[int]) -> np.ndarray:
  """The order of constant shares: uint16 [sum(counts)], as `by_heap` gives it.

  Args:
    counts: rows of each source.
  """
  repeats = math.gcd(*counts)
  if not repeats:
    return np.zeros(0, np.uint16)
  # At each multiple of the period every source is exactly on its share, so the order of one period repeats.
  period = np.asarray(counts, np.int64) // repeats
  rows = int(period.sum())
  if rows < CHUNKS * RUN_IN:
    order = np.fromiter(by_heap(Targets(constant(period.tolist())), [0] * len(period)), np.uint16, rows)
  else:
    order = _one_period(period, rows)
  return np.tile(order, repeats)


def _one_period(counts: np.ndarray, rows: int) -> np.ndarray:
  names = np.flatnonzero(counts)  # a source without rows is never allowed
  length = -(-rows // CHUNKS)
  begins = np.arange(CHUNKS) * length
  order = np.empty((length, CHUNKS), np.uint16)
  run = _Runs(counts[names], rows, np.maximum(begins - RUN_IN, 0))
  for step in range(RUN_IN):
    run.step(begins - RUN_IN + step >= 0)  # the first chunks have fewer rows before them
  at_begin = run.drawn.copy()
  for row in range(length):
    order[row] = run.step()
  flat = names.astype(np.uint16)[order.T.ravel()[:rows]]
  _mend(flat, counts, names, begins, at_begin, run.drawn)
  return flat


class _Runs:
  """The rule, run from many rows of a stage at once.

  Attributes:
    drawn: int64 [S, K], the rows of each source before each run's next row.
  """

  def __init__(self, counts: np.ndarray, rows: int, at: np.ndarray):
    self._counts, self._rows, self._at = counts[:, None], rows, at.copy()
    self._columns = np.arange(len(at))
    whole = at * self._counts // rows
    fraction = at * self._counts % rows
    self.drawn = whole + self._first_due(whole, fraction)
    self._allowed = self.drawn * rows // self._counts + 1
    self._key = self._due(self.drawn + 1, self._counts) * len(counts) + np.arange(len(counts))[:, None]

  def _due(self, job: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return -(-job * self._rows // counts)

  def _first_due(self, whole: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Likely rounded up: of the sources that are between two rows, those whose next is due first."""
    up = fraction.sum(0) // self._rows
    due = np.where(fraction > 0, self._due(whole + 1, self._counts), NEVER)
    rank = np.argsort(np.argsort(due, axis=0, kind='stable'), axis=0, kind='stable')
    return (rank < up).astype(np.int64)

  def step(self, active: np.ndarray | None = None) -> np.ndarray:
    """The source of each run's next row, int64 [K]; runs that are not active stay where they are."""
    key = np.where(self._allowed <= self._at + 1, self._key, NEVER)
    source = key.min(0) % len(self.drawn)
    columns, chosen = self._columns, source
    if active is not None:
      columns, chosen = columns[active], source[active]
    drawn = self.drawn[chosen, columns] + 1
    counts = self._counts[chosen, 0]
    self.drawn[chosen, columns] = drawn
    self._allowed[chosen, columns] = drawn * self._rows // counts + 1
    self._key[chosen, columns] = self._due(drawn + 1, counts) * len(self.drawn) + chosen
    self._at[columns] += 1
    return source


def _mend(order, counts, names, begins, at_begin, at_end) -> None:
  """Redoes, in place, the chunks that did not begin where the one before them ended."""
  targets = Targets(constant(counts.tolist()))
  ended = np.zeros(len(counts), np.int64)
  for chunk, begin in enumerate(begins.tolist()):
    if begin >= len(order):
      return
    guessed = np.zeros_like(ended)
    guessed[names] = at_begin[:, chunk]
    if (guessed != ended).any():
      stop = begins[chunk + 1] if chunk + 1 < len(begins) else len(order)
      ended = _redo(order, targets, ended, guessed, begin, min(int(stop), len(order)))
      if ended is not None:
        continue
    ended = np.zeros(len(counts), np.int64)
    ended[names] = at_end[:, chunk]


def _redo(order, targets, drawn, guessed, begin: int, end: int) -> np.ndarray | None:
  """Runs the rule from `drawn` until it meets the guessed run; what was drawn by `end` where it does not."""
  apart = (drawn - guessed).tolist()
  drawn, differ = drawn.copy(), sum(map(bool, apart))
  for row, s in enumerate(by_heap(targets, drawn.tolist(), begin), begin):
    if row == end:
      return drawn
    for source, change in ((s, 1), (int(order[row]), -1)):
      differ -= bool(apart[source])
      apart[source] += change
      differ += bool(apart[source])
    order[row] = s
    drawn[s] += 1
    if not differ:
      return None
  return drawn
