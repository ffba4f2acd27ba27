"""Compares a written file of a report with the same file computed again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from codemix.report.places import Said, places_of

CLOSE = 1e-9  # of numbers of a file that is as it was written: another processor sums in another order


@dataclasses.dataclass(frozen=True)
class Difference:
  """Where two versions of a file say different things.

  Attributes:
    place: 'row balanced, 1, text, column bits_per_byte'.
    written, computed: '' if one of them has nothing there.
  """

  place: str
  written: str
  computed: str

  def __str__(self) -> str:
    return f'{self.place}: {_short(self.written)} is written, {_short(self.computed)} is computed'


def differences(name: str, written: str, computed: str, as_written: bool) -> Iterator[Difference]:
  """Each place where a written file says something else than the computed one.

  Args:
    name: of the file.
    as_written: whether the file has the digest that it was written with. Then drawings do not count, and cells of a CSV may
      differ by `CLOSE`: other versions of libraries and other processors make such differences.
  """
  if written == computed:
    return
  ours, theirs = ([said for said in places_of(name, text) if not (as_written and said.drawn)] for text in (written, computed))
  close = as_written and name.endswith('.csv')
  if len(ours) != len(theirs):
    yield from _first_difference(ours, theirs)
    return
  for one, other in zip(ours, theirs, strict=True):
    if one.value != other.value and not (close and _close(one.value, other.value)):
      # Of a name that was changed, the place that was computed is the true one.
      yield Difference(other.place, one.value, other.value)


def _first_difference(ours: list[Said], theirs: list[Said]) -> Iterator[Difference]:
  """Of files with different numbers of places: the rows that one of them lacks are not told apart from those behind them."""
  nothing = Said('its end', '')
  for one, other in zip([*ours, nothing], [*theirs, nothing], strict=False):
    if one.value != other.value:
      yield Difference(f'{(one if other is nothing else other).place}, from which on it has {"more" if len(ours) > len(theirs) else "less"} than was computed', one.value, other.value)
      return


def _close(one: str, other: str) -> bool:
  try:
    return math.isclose(float(one), float(other), rel_tol=CLOSE)
  except ValueError:
    return False


def _short(value: str) -> str:
  return repr(value if len(value) <= 60 else f'{value[:40]}...{value[-15:]}')
