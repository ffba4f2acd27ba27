"""Tables of a report as LaTeX: a `tabular` of its own file each, to be read by `\\input` within a `table` of a paper.

Only plain LaTeX: rules are `\\hline`, no package is needed. Texts of the study are escaped; letters that LaTeX does not know by
itself, such as Chinese, stay as they are and need XeLaTeX or LuaLaTeX with a font that has them.
"""

from __future__ import annotations

from codemix.report.table import Cell, Table

_SPECIAL = {
  '\\': r'\textbackslash{}', '{': r'\{', '}': r'\}', '$': r'\$', '&': r'\&', '#': r'\#', '_': r'\_', '%': r'\%', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}',
  '<': r'\textless{}', '>': r'\textgreater{}', '|': r'\textbar{}', '"': "''", '`': r'\textasciigrave{}', '[': '{[}', ']': '{]}', '*': '{*}',
}  # fmt: skip
# What the tables themselves write.
_OWN = {
  '−': r'$-$', '…': r'\ldots{}', '–': r'\textendash{}', '—': r'\textemdash{}', '’': "'", '‘': '`', '“': '``', '”': "''", '†': r'$\dagger$', '±': r'$\pm$', '×': r'$\times$',
  '→': r'$\rightarrow$', '←': r'$\leftarrow$', '·': r'$\cdot$', '≤': r'$\leq$', '≥': r'$\geq$', '\u00a0': '~',
  **{above: rf'$^{{{plain}}}$' for above, plain in zip('⁰¹²³⁴⁵⁶⁷⁸⁹⁻', '0123456789-', strict=True)},
}  # fmt: skip
_CHARACTERS = str.maketrans(_SPECIAL | _OWN)


def tabular(table: Table) -> str:
  """The table; its caption is a comment, and what stands in small print is in brackets."""
  columns = len(table.header)
  alignment = 'l' * table.texts + 'r' * (columns - table.texts)
  lines = [f'% {_one_line(table.caption)}', rf'\begin{{tabular}}{{{alignment}}}', r'\hline', _row(map(_cell, table.header)), r'\hline']
  for line in table.lines:
    if line.kind in ('model', 'group'):
      lines += [r'\hline'] if lines[-1] != r'\hline' else []
      lines.append(rf'\multicolumn{{{columns}}}{{l}}{{\textbf{{{_cell(line.cells[0])}}}}} \\')
    else:
      lines += [r'\hline'] if line.kind == 'total' and lines[-1] != r'\hline' else []
      lines.append(_row(map(_cell, line.cells)))
  return '\n'.join([*lines, r'\hline', r'\end{tabular}', ''])


def escaped(text: str) -> str:
  """Text that LaTeX prints as it is, on one line."""
  return _one_line(text).translate(_CHARACTERS)


def _one_line(text: str) -> str:
  """Also without control characters: a comment of LaTeX ends at the end of its line."""
  return ' '.join(''.join(letter if letter.isprintable() or letter.isspace() else '' for letter in str(text)).split())


def _row(cells) -> str:
  return ' & '.join(cells) + r' \\'


def _cell(cell: Cell) -> str:
  text = escaped(cell.text)
  if cell.mark in ('better', 'worse', 'unlike') and text:
    text = rf'\textbf{{{text}}}'
  notes = '; '.join(escaped(note) for note in cell.notes if note)
  # Braces: a row that begins with [ would be taken for an argument of the line break before it.
  small = rf'{{\footnotesize [{notes}]}}' if notes else ''
  return ' '.join(part for part in (text, small) if part)
