"""Reads one installed file: as a program without documentation, or as its prose."""

from __future__ import annotations

import ast
import importlib.util
import re
import tokenize
import warnings
from pathlib import Path

from codemix.data.local_corpora.documentation import COMMENT_OR_STRING, passages
from codemix.data.local_corpora.prose import paragraphs
from codemix.data.python_source.documentation import without_documentation

_LEAST_CODE_CHARACTERS = 256
_GENERATED_NAME = re.compile(r'_pb2(_grpc)?\.py$|^_version\.py$|^_sysconfigdata')
_GENERATED_MARK = re.compile(
  r'(?i)do not (edit|modify)|(auto(matically)?|machine)[ -]?generated|@generated|generated (by|from|with)'
)
_MARKED_LINES = 40  # in which a generated file says so
_NUMBER = re.compile(r'\b\d[\w.]*')
_MOST_LITERALS = 0.5  # of the visible characters: above this a file is a table, not a program


def read_code(path: str) -> dict[str, str]:
  """The program in a Python file, without documentation.

  Returns:
    {'text': source}, or {'dropped': reason} for what is not a program that a person wrote.
  """
  source = _decoded(path)
  if source is None:
    return {'dropped': 'not text'}
  beginning = '\n'.join(source.split('\n', _MARKED_LINES)[:_MARKED_LINES])
  if _GENERATED_NAME.search(Path(path).name) or _GENERATED_MARK.search(beginning):
    return {'dropped': 'generated'}
  try:
    with warnings.catch_warnings(action='ignore'):  # of escapes and comparisons in old source
      text = without_documentation(source)
      ast.parse(text)
      text.encode()
  except (SyntaxError, ValueError, RecursionError, tokenize.TokenError):
    return {'dropped': 'does not parse'}
  if len(text) < _LEAST_CODE_CHARACTERS:
    return {'dropped': 'tiny'}
  bare = _NUMBER.sub('', COMMENT_OR_STRING.sub('', text))
  if 1 - len(''.join(bare.split())) / len(''.join(text.split())) > _MOST_LITERALS:
    return {'dropped': 'table'}
  return {'text': text}


def read_prose(path: str) -> list[list[str]]:
  """The prose in a file: for each docstring, block of comments or readme, its paragraphs."""
  source = _decoded(path)
  if source is None:
    return []
  with warnings.catch_warnings(action='ignore'):  # of escapes in old source
    found = passages(source) if path.endswith('.py') else [source]
    return [prose for prose in map(paragraphs, found) if prose]


def _decoded(path: str) -> str | None:
  """A file's text by the encoding that it declares, UTF-8 by default; None where it has another."""
  try:
    return importlib.util.decode_source(Path(path).read_bytes())
  except (SyntaxError, UnicodeError, LookupError):
    return None
