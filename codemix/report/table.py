"""What a table of the report is made of."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from codemix.report.palette import Paint

if TYPE_CHECKING:
  from codemix.report.content import Content


@dataclasses.dataclass(frozen=True)
class Cell:
  """What a table shows in one place.

  Attributes:
    text: the figure or name.
    notes: beside it in small print.
    mark: 'better', 'worse' or 'unlike' (the plan); colours the text.
    paint: the colour of the arm or source that it names.
    p: of no change, if the cell compares arms of several seeds; None otherwise.
    equal_p: of a change as large as the margin of the report; None without a margin, or if the noise of seeds is not known.
    value: what a table is sorted by, if the text is not a plain number; None for the text.
  """

  text: str = ''
  notes: Sequence[str] = ()
  mark: str = ''
  paint: Paint | None = None
  p: float | None = None
  equal_p: float | None = None
  value: float | None = None


@dataclasses.dataclass(frozen=True)
class Line:
  """A row; `kind` is 'model' or 'group' (one cell, a heading), 'final', 'seed', 'total' or ''.

  From the first 'total' on, lines are the foot of the table: they stay below when it is sorted.
  """

  cells: Sequence[Cell]
  kind: str = ''


@dataclasses.dataclass(frozen=True)
class Table:
  """A table; the first `texts` columns are of text, the others of numbers. An `ordered` one is not sorted: its lines belong together."""

  caption: str
  header: Sequence[Cell]
  lines: Sequence[Line]
  texts: int = 1
  ordered: bool = False


def once(make: Callable[..., Any]) -> Callable[..., Any]:
  """Makes what a function of a content and parts of it returns once: the page, report.md and LaTeX show the same tables."""

  @functools.wraps(make)
  def made(content: Content, *parts: object) -> Any:
    key = (make, *map(id, parts))
    if key not in content.made:
      content.made[key] = make(content, *parts)
    return content.made[key]

  return made
