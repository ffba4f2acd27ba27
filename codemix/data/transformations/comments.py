"""The English inside of code: comments and docstrings taken out, or kept alone."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from codemix.checked import checked
from codemix.data.python_source.documentation import documentation_of, without_documentation
from codemix.data.transformations.of_program import of_program

if TYPE_CHECKING:
  from collections.abc import Callable

  from codemix.data.raw.record import Record


@dataclasses.dataclass(frozen=True)
@checked
class RemoveComments:
  """Takes comments and docstrings out of Python; the program stays the same.

  Every statement that is only a string goes, not docstrings alone; a block of such statements becomes `pass`. Of the
  blank lines around what goes, only the longest run stays, at most two. The syntax tree of the rest does not change. A
  document that does not parse, or has nothing else, is dropped.
  """

  stable_name, version = 'remove_comments', 1
  name: ClassVar[str] = 'comments and docstrings taken out'
  languages: ClassVar[tuple[str, ...]] = ('python',)

  def transformed(self, record: Record) -> str:
    return _of_lines(without_documentation, record.text)


@dataclasses.dataclass(frozen=True)
@checked
class OnlyComments:
  """Keeps the comments and docstrings of Python, as they are written, with `#` and quotes; each begins a line.

  They are what `RemoveComments` takes out. A document that does not parse, or has none, is dropped.
  """

  stable_name, version = 'only_comments', 1
  name: ClassVar[str] = 'only comments and docstrings'
  languages: ClassVar[tuple[str, ...]] = ('python',)

  def transformed(self, record: Record) -> str:
    return _of_lines(lambda source: ''.join(f'{each}\n' for each in documentation_of(source)), record.text)


def _of_lines(function: Callable[[str], str], text: str) -> str:
  r"""`function` of a text with '\n' line ends, and its result with those of `text`, '\n' if it has several kinds."""
  is_dos = '\r' in text and text.count('\n') == text.count('\r\n') == text.count('\r')
  result = of_program(function, text.replace('\r\n', '\n').replace('\r', '\n'))
  return result.replace('\n', '\r\n') if is_dos else result
