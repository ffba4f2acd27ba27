"""Indentation normalised: each level the same number of spaces, whatever the author's style."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from codemix.checked import From, UpTo, checked
from codemix.data.python_source.tokens import Token, joined, tokens
from codemix.data.transformations.of_program import of_program

if TYPE_CHECKING:
  from codemix.data.raw.record import Record

_TAB = 8  # columns: Python's own rule, the next multiple of it


@dataclasses.dataclass(frozen=True)
@checked
class NormalizeIndentation:
  """Indents Python by its levels; the syntax tree stays the same.

  A line that continues a statement is one level deeper than it, and on its level if it begins with a closing bracket.
  A comment is on the level of the code around it that it is indented as. Blank lines hold no spaces. Text inside of
  strings is not changed. A document that does not parse is dropped.

  Attributes:
    spaces: of one level.
  """

  stable_name, version = 'normalize_indentation', 1
  languages: ClassVar[tuple[str, ...]] = ('python',)

  spaces: Annotated[int, From(1), UpTo(16), 'spaces'] = 4

  @property
  def name(self) -> str:
    return f'indentation of {self.spaces} spaces a level'

  def transformed(self, record: Record) -> str:
    return of_program(self._normalized, record.text)

  def _normalized(self, source: str) -> str:
    lines = list(_lines(source))
    levels = _levels(lines)
    return ''.join(' ' * (self.spaces * level) + joined(line.rest) for line, level in zip(lines, levels, strict=True))


@dataclasses.dataclass(frozen=True)
class _Line:
  """A line of source; what is inside of a string belongs to the line in which the string begins.

  Attributes:
    column: in which it begins.
    rest: its tokens without the indentation, the line break included.
    continues: whether it goes on with the statement of the line before it.
  """

  column: int
  rest: list[Token]
  continues: bool

  @property
  def is_blank(self) -> bool:
    return not self.rest or self.rest[0].kind == 'newline'

  @property
  def is_comment(self) -> bool:
    return not self.is_blank and self.rest[0].kind == 'comment'


def _lines(text: str) -> Iterator[_Line]:
  depth, continues, tokens_of_line = 0, False, []
  for token in _with_continuations_apart(text):
    tokens_of_line.append(token)
    if token.kind == 'operator':
      depth += (token.text in '([{') - (token.text in ')]}')
    if token.text.endswith(('\n', '\r')) and token.kind in ('newline', 'space'):
      yield _line(tokens_of_line, continues)
      continues, tokens_of_line = depth > 0 or token.kind == 'space', []
  if tokens_of_line:
    yield _line(tokens_of_line, continues)


def _with_continuations_apart(text: str) -> Iterator[Token]:
  """The tokens, with white space ended behind each line break that follows a backslash."""
  for token in tokens(text):
    if token.kind == 'space' and '\\' in token.text:
      yield from (Token('space', part) for part in token.text.splitlines(keepends=True))
    else:
      yield token


def _line(of_line: Sequence[Token], continues: bool) -> _Line:
  leading = of_line[0].text if of_line[0].kind == 'space' and '\\' not in of_line[0].text else ''
  # A form feed sets the column to 0.
  column = len(leading.rpartition('\f')[2].expandtabs(_TAB))
  return _Line(column, list(of_line[1:] if leading else of_line), continues)


def _levels(lines: Sequence[_Line]) -> list[int]:
  """The level of each line."""
  columns, levels = [0], []  # the columns of the open blocks
  for line, next_column in zip(lines, _columns_of_next_statements(lines), strict=True):
    if line.is_blank:
      levels.append(0)
    elif line.continues:
      closes = line.rest[0].text in (')', ']', '}')
      levels.append(len(columns) - closes)
    elif line.is_comment:
      # The deepest level that does not begin behind it, of the open blocks and of one that the next statement opens.
      opens = [next_column] if next_column > columns[-1] else []
      levels.append(max(sum(column <= line.column for column in (*columns, *opens)) - 1, 0))
    else:
      while line.column < columns[-1]:
        columns.pop()
      if line.column > columns[-1]:
        columns.append(line.column)
      levels.append(len(columns) - 1)
  return levels


def _columns_of_next_statements(lines: Sequence[_Line]) -> list[int]:
  """For each line the column of the first statement from it on, 0 if there is none."""
  column, columns = 0, []
  for line in reversed(lines):
    if not (line.is_blank or line.is_comment or line.continues):
      column = line.column
    columns.append(column)
  return columns[::-1]
