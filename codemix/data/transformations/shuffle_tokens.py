"""Tokens shuffled within lines: the words of a line and the order of lines stay, the syntax of a line goes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from codemix.checked import Seed, checked
from codemix.data.python_source.tokens import Token, is_blank, merges, tokens
from codemix.data.transformations.of_program import of_program
from codemix.data.transformations.random_order import document_key, shuffled

if TYPE_CHECKING:
  from codemix.data.raw.record import Record


@dataclasses.dataclass(frozen=True)
@checked
class ShuffleTokens:
  """Puts the tokens of each line of Python into a random order.

  Tokens are those of Python: names, numbers, operators, strings. A string over several lines is a token of the line in
  which it begins. White space stays where it was between the tokens, and so does a comment at the end of its line.
  Where two tokens would be read as another one (`=` beside `=`), a space comes between them. A document that does not
  parse is dropped.

  Attributes:
    seed: of the orders.
  """

  stable_name, version = 'shuffle_tokens', 1
  name: ClassVar[str] = 'tokens shuffled within lines'
  languages: ClassVar[tuple[str, ...]] = ('python',)

  seed: Seed = 0

  def transformed(self, record: Record) -> str:
    return of_program(self._shuffled, record.text)

  def _shuffled(self, source: str) -> str:
    key = document_key(self.seed, source)
    # A line break behind a backslash ends a line too.
    ends_line = lambda token: token.kind == 'newline' or (token.kind == 'space' and '\\' in token.text)
    lines = itertools.groupby(tokens(source), ends_line)
    return ''.join(_line(list(line), key, number) for number, (_, line) in enumerate(lines))


def _line(line: Sequence[Token], key: bytes, number: int) -> str:
  """A line with its tokens in another order: the white space and the comment keep their places."""
  stays = lambda token: is_blank(token) or token.kind == 'comment'
  order = iter(shuffled([token for token in line if not stays(token)], key, number))
  written: list[str] = []
  for before, token in itertools.pairwise([None, *(token if stays(token) else next(order) for token in line)]):
    if before and not stays(before) and not stays(token) and merges(before.text, token.text):
      written.append(' ')
    written.append(token.text)
  return ''.join(written)
