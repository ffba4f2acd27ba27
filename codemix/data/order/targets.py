"""How many rows each source should have given by any row of a stage, exactly."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction


@dataclasses.dataclass(frozen=True)
class Segment:
  """Consecutive rows over which each source's share is linear.

  `begin` and `end` are exact shares at the first row and after the last; each sums to one.
  """

  rows: int
  begin: tuple[Fraction, ...]
  end: tuple[Fraction, ...]


def constant(counts: Sequence[int]) -> tuple[Segment, ...]:
  """The segments of a stage that draws exactly `counts` rows at shares that do not change."""
  rows = sum(counts)
  shares = tuple(Fraction(count, rows or 1) for count in counts)
  return (Segment(rows, shares, shares),)


def whole_counts(segments: Sequence[Segment]) -> list[int] | None:
  """Rows of each source where one share holds for the whole stage and comes to whole rows; else None."""
  first = segments[0]
  counts = [share * first.rows for share in first.begin]
  steady = len(segments) == 1 and first.begin == first.end
  return [int(count) for count in counts] if steady and all(c.denominator == 1 for c in counts) else None


class Targets:
  """T_s(t): the rows that source s should have given when t rows of the stage are drawn.

  A linear share makes T a parabola. All values are integers over one
  denominator, so that comparisons are exact.

  Attributes:
    rows: rows of the stage.
    denominator: one row, in the units of all values.
  """

  def __init__(self, segments: Sequence[Segment]):
    self._begins = [0, *itertools.accumulate(segment.rows for segment in segments)]
    self.rows = self._begins[-1]
    exact = _parabolas(segments)
    self.denominator = math.lcm(*(x.denominator for row in exact for abc in row for x in abc))
    # [segment][source] (a, b, c): T = a + b u + c u^2 after u rows of the segment.
    self._curves = [[tuple(int(x * self.denominator) for x in abc) for abc in row] for row in exact]
    self._reached = [
      [_value(curve, segment.rows) for curve, segment in zip(column, segments, strict=True)]
      for column in zip(*self._curves, strict=True)
    ]  # [source][segment]: T_s after the segment's last row

  def first(self, source: int, value: int) -> int:
    """The first t with T_s(t) >= value (over the denominator); rows + 1 where it is never reached."""
    segment = bisect.bisect_left(self._reached[source], value)
    if segment == len(self._curves):
      return self.rows + 1
    a, b, c = self._curves[segment][source]
    if value <= a:
      return self._begins[segment]
    if not c:
      return self._begins[segment] - (a - value) // b  # the quotient rounded up
    rows = range(self._begins[segment + 1] - self._begins[segment] + 1)
    return self._begins[segment] + bisect.bisect_left(rows, value, key=lambda u: a + (b + c * u) * u)

  def windows(self, source: int) -> Iterator[tuple[int, int, int]]:
    """Yields, for each row of a source: (first, last) row of the stage, from 1, at which it may be drawn, and the source."""
    one = self.denominator
    for row in itertools.count():
      allowed = self.first(source, row * one + 1)
      if allowed > self.rows:
        return
      yield allowed, self.first(source, (row + 1) * one), source


def _parabolas(segments: Sequence[Segment]) -> list[list[tuple[Fraction, Fraction, Fraction]]]:
  reached = [Fraction(0)] * len(segments[0].begin)
  parabolas = []
  for segment in segments:
    ends = zip(reached, segment.begin, segment.end, strict=True)
    parabolas.append([(a, begin, (end - begin) / (2 * max(segment.rows, 1))) for a, begin, end in ends])
    reached = [_value(curve, segment.rows) for curve in parabolas[-1]]
  return parabolas


def _value(curve: tuple, u: int):
  a, b, c = curve
  return a + (b + c * u) * u
