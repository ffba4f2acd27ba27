"""Tables and text as Markdown."""

from __future__ import annotations

import re

from codemix.report.table import Cell, Table

_MARKS = {'better': ', beyond noise', 'worse': ', beyond noise', 'unlike': ', NOT as planned', '': ''}


def table(shown: Table) -> str:
  """A table; columns of numbers are aligned to the right."""
  columns = len(shown.header)
  rule = ['---' if index < shown.texts else '---:' for index in range(columns)]
  rows = [
    [f'**{_cell(line.cells[0])}**', *[''] * (columns - 1)] if line.kind in ('model', 'group') else map(_cell, line.cells)
    for line in shown.lines
  ]
  text = '\n'.join(f'| {" | ".join(cells)} |' for cells in ([*map(_cell, shown.header)], rule, *rows))
  return f'{plain(shown.caption)}\n\n{text}' if shown.caption else text


def plain(text: str) -> str:
  """Text that Markdown shows as it is, on one line."""
  # An underscore within a word is not emphasis.
  special = r'([\\`*|\[\]<>&#]|(?<!\w)_|_(?!\w))'
  return re.sub(special, r'\\\1', ' '.join(str(text).split()))


def _cell(cell: Cell) -> str:
  notes = '; '.join(cell.notes)
  shown = f'{cell.text} ({notes})' if cell.text and notes else cell.text or notes
  return plain(shown + _MARKS[cell.mark])
