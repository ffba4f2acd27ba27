"""Transformations of whole Python programs: what does not parse is dropped, by all of them alike."""

from __future__ import annotations

import tokenize
from collections.abc import Callable

from codemix.data.python_source.parses import parses
from codemix.data.python_source.tokens import UnclosedString
from codemix.data.transformations.transformation import Unsuited


def of_program(function: Callable[[str], str], source: str) -> str:
  """`function` of Python source.

  Raises Unsuited: 'does not parse'; or 'not understood', where a Python newer than codemix parses what codemix or
  `tokenize` cannot read.
  """
  if not parses(source):
    raise Unsuited('does not parse')
  try:
    return function(source)
  except (UnclosedString, SyntaxError, tokenize.TokenError):
    raise Unsuited('not understood') from None
