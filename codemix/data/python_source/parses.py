"""Whether a text is a Python program, by the grammar of the Python that runs codemix."""

from __future__ import annotations

import ast
import warnings


def parses(source: str) -> bool:
  """Whether `ast.parse` takes it. That names are known or that it runs is not asked."""
  return tree_of(source) is not None


def tree_of(source: str) -> ast.Module | None:
  """The syntax tree; None if the source does not parse, or nests too deeply for the parser."""
  try:
    with warnings.catch_warnings(action='ignore'):  # of escapes and comparisons in old source
      return ast.parse(source)
  except (SyntaxError, ValueError, RecursionError, MemoryError):
    return None
