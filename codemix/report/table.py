"""What a table of the report is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from codemix.report.palette import Paint


@dataclasses.dataclass(frozen=True)
class Cell:
  """What a table shows in one place.

  Attributes:
    text: the figure or name.
    notes: beside it in small print.
    mark: 'better', 'worse' or 'unlike' (the plan); colours the text.
    paint: the colour of the arm or source that it names.
    p: of no change, if the cell compares arms of several seeds; None otherwise.
  """

  text: str = ''
  notes: Sequence[str] = ()
  mark: str = ''
  paint: Paint | None = None
  p: float | None = None


@dataclasses.dataclass(frozen=True)
class Line:
  """A row; `kind` is 'model' or 'group' (one cell, a heading), 'final', 'seed', 'total' or ''."""

  cells: Sequence[Cell]
  kind: str = ''


@dataclasses.dataclass(frozen=True)
class Table:
  """A table; the first `texts` columns are of text, the others of numbers."""

  caption: str
  header: Sequence[Cell]
  lines: Sequence[Line]
  texts: int = 1
