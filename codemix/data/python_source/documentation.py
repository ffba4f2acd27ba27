"""The documentation in Python source, and the source without it, which is the same program.

Documentation is comments, and every statement that is only a string: docstrings, the documentation of
attributes, and code in quotes. Without it a suite of such statements alone becomes `pass`. All other
statements keep their place and layout.
"""

from __future__ import annotations

import ast
import bisect
import io
import itertools
import tokenize
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from codemix.data.python_source.tokens import tokens

_MOST_BLANK_LINES = 2
# From 3.12 on (PEP 701) an f-string is many tokens, between these two.
_FSTRING_STARTS = {getattr(tokenize, f'{kind}STRING_START', None) for kind in 'FT'} - {None}
_FSTRING_ENDS = {getattr(tokenize, f'{kind}STRING_END', None) for kind in 'FT'} - {None}


class _Edit(NamedTuple):
  """Replaces the text between two places; rows and columns from 0, columns in characters."""

  row: int
  column: int
  end_row: int
  end_column: int
  replacement: str


def without_documentation(source: str) -> str:
  r"""The program `source` without its comments and string statements.

  Args:
    source: Python source with '\n' line ends.

  Returns:
    Source whose syntax tree is that of `source` without string statements. Blank lines around a
    removed line are merged. A comment inside the braces of an f-string stays: with `=` it may be
    part of the value.

  Raises:
    SyntaxError, ValueError, RecursionError, tokenize.TokenError: `source` does not parse.
  """
  tree = _tree(source)
  lines: list[str | None] = list(source.split('\n'))
  comments, inside_string = _comments(source)
  edits = [*comments, *_string_statements(tree, source.split('\n'))]
  for edit in sorted(edits, reverse=True):  # from the end, so that places stay valid
    _apply(edit, lines)
  return _tidy(lines, inside_string)


def documentation_of(source: str) -> list[str]:
  """Comments and string statements as they are written, in order: what `without_documentation` removes.

  Arguments and errors as of `without_documentation`. A comment in the middle of a string statement is part of it.
  """
  statements = sorted(_spans(_tree(source), source))
  pieces, end = [], 0
  for token in tokens(source):
    begin, end = end, end + len(token.text)
    if token.kind == 'comment' and not any(first <= begin < last for first, last in _near(statements, begin)):
      pieces.append((begin, token.text))
  return [text for _, text in sorted([*pieces, *((first, source[first:last]) for first, last in statements)])]


def _near(spans: list[tuple[int, int]], place: int) -> list[tuple[int, int]]:
  """The last of sorted spans that begins before a place, if there is one."""
  index = bisect.bisect(spans, (place,))
  return spans[max(index - 1, 0) : index]


def _spans(tree: ast.Module, source: str) -> Iterator[tuple[int, int]]:
  """Where each string statement begins and ends in the source."""
  lines = source.split('\n')
  begins = list(itertools.accumulate((len(line) + 1 for line in lines), initial=0))
  for suite in _suites(tree):
    for statement in filter(_is_string, suite):
      first, last = statement.lineno - 1, statement.end_lineno - 1
      yield (
        begins[first] + _characters(lines[first], statement.col_offset),
        begins[last] + _characters(lines[last], statement.end_col_offset),
      )


def _tree(source: str) -> ast.Module:
  with warnings.catch_warnings(action='ignore'):  # of escapes and comparisons in old source
    return ast.parse(source)


def _is_string(statement: ast.stmt) -> bool:
  return isinstance(statement, ast.Expr) and isinstance(getattr(statement.value, 'value', None), str)


def _comments(source: str) -> tuple[list[_Edit], set[int]]:
  """The removal of each comment, and the rows that begin inside a string."""
  comments = []
  inside_string: set[int] = set()
  depth = start_row = 0
  for kind, _, start, end, _ in tokenize.generate_tokens(io.StringIO(source).readline):
    if kind == tokenize.COMMENT and not depth:
      comments.append(_Edit(start[0] - 1, start[1], end[0] - 1, end[1], ''))
    elif kind == tokenize.STRING:
      inside_string.update(range(start[0], end[0]))
    elif kind in _FSTRING_STARTS:
      if not depth:
        start_row = start[0]
      depth += 1
    elif kind in _FSTRING_ENDS:
      depth -= 1
      if not depth:
        inside_string.update(range(start_row, end[0]))
  return comments, inside_string


def _suites(tree: ast.Module) -> Iterator[list[ast.stmt]]:
  """Every list of statements of a program."""
  nodes: list[ast.AST] = [tree]
  while nodes:
    node = nodes.pop()
    for field in ('body', 'orelse', 'finalbody'):
      if suite := getattr(node, field, None):
        yield suite
        nodes.extend(suite)
    for field in ('handlers', 'cases'):  # not statements, but each has a suite
      nodes.extend(getattr(node, field, ()))


def _string_statements(tree: ast.Module, lines: list[str]) -> Iterator[_Edit]:
  """The removal of each string statement, with the semicolon behind it."""
  for suite in _suites(tree):
    strings = list(filter(_is_string, suite))
    must_pass = len(strings) == len(suite) and suite is not tree.body
    for index, statement in enumerate(strings):
      row, end_row = statement.lineno - 1, statement.end_lineno - 1
      column = _characters(lines[row], statement.col_offset)
      end_column = _characters(lines[end_row], statement.end_col_offset)
      replacement = 'pass' if must_pass and index == 0 else ''
      yield _Edit(row, column, *_past_semicolon(lines, end_row, end_column), replacement)


def _characters(line: str, offset: int) -> int:
  """`ast` counts columns in bytes of UTF-8; everything else here in characters."""
  return offset if line.isascii() else len(line.encode()[:offset].decode())


def _past_semicolon(lines: list[str], row: int, column: int) -> tuple[int, int]:
  """The place behind white space, line continuations and at most one semicolon."""
  may_pass = True
  while True:
    rest = lines[row][column:]
    ahead = rest.lstrip(' \t\f')
    column += len(rest) - len(ahead)
    if ahead == '\\':
      row, column = row + 1, 0
    elif may_pass and ahead.startswith(';'):
      may_pass = False
      column += 1
    else:
      return row, column


def _apply(edit: _Edit, lines: list[str | None]) -> None:
  """Changes `lines` in place; a row that has become empty, or part of another, becomes None."""
  rest = lines[edit.end_row][edit.end_column :]
  text = lines[edit.row][: edit.column] + edit.replacement + rest
  if not rest.strip():
    text = text.rstrip()
  continued = edit.row > 0 and (lines[edit.row - 1] or '').endswith('\\')
  lines[edit.row : edit.end_row + 1] = [None] * (edit.end_row + 1 - edit.row)
  if text.strip() or continued:
    lines[edit.row] = text


def _tidy(lines: list[str | None], inside_string: set[int]) -> str:
  """Joins the rows; of the runs of blank ones that removed rows separated, only the longest stays."""
  kept: list[str] = []
  removed = False  # a row was removed since the last kept one
  run = longest = 0  # of blank rows since then
  for row, line in enumerate(lines):
    if line is None:
      removed, run = True, 0
    elif line.strip() or row in inside_string or (kept and kept[-1].endswith('\\')):
      if kept and not (removed and kept[-1].endswith(':')):
        kept.extend([''] * min(longest, _MOST_BLANK_LINES))
      kept.append(line)
      removed, run, longest = False, 0, 0
    else:
      run += 1
      longest = max(longest, run)
  return '\n'.join([*kept, '']) if kept else ''
