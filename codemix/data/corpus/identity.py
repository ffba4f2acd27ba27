"""Readers, layouts and filters as plain data: their arguments, and a digest of what they do."""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import inspect
import io
import textwrap
import tokenize
from collections.abc import Mapping

from codemix.errors import UserError


def described(part: object) -> dict:
  """Class, arguments and a digest of the code of a reader, layout or filter.

  Raises:
    UserError: an argument is no plain data, and no dataclass or function either.
  """
  kind = type(part)
  description = {'kind': f'{kind.__module__}.{kind.__qualname__}', 'code': _code_digest(kind)}
  if isinstance(getattr(part, 'name', None), str):
    description['name'] = part.name
  if dataclasses.is_dataclass(part):
    description['arguments'] = {
      field.name: _plain(getattr(part, field.name), f'{kind.__name__}.{field.name}')
      for field in dataclasses.fields(part)
    }
  return description


def _plain(value: object, where: str) -> object:
  if value is None or isinstance(value, bool | int | float | str):
    return value
  if isinstance(value, Mapping):
    return {str(key): _plain(inner, where) for key, inner in value.items()}
  if isinstance(value, set | frozenset):
    return sorted((_plain(inner, where) for inner in value), key=str)
  if isinstance(value, list | tuple):
    return [_plain(inner, where) for inner in value]
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return described(value)
  if inspect.isfunction(value):
    return {'kind': f'{value.__module__}.{value.__qualname__}', 'code': _code_digest(value)}
  raise UserError(
    f'{where} is {value!r}: only plain data, functions and dataclasses can be kept in the identity of a cache'
  )


@functools.cache
def _code_digest(definition: object) -> str:
  """sha256 of a class or function without its comments and docstrings: a reworded remark leaves caches valid."""
  try:
    source = textwrap.dedent(inspect.getsource(definition))
  except (OSError, TypeError):  # typed at a prompt: there is no file to read it from
    return ''
  return hashlib.sha256(_without_remarks(source).encode()).hexdigest()


def _without_remarks(source: str) -> str:
  lines = source.splitlines()
  for token in tokenize.generate_tokens(io.StringIO(source).readline):
    if token.type == tokenize.COMMENT:
      row, column = token.start
      lines[row - 1] = lines[row - 1][:column]
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
      remark = node.body[0]
      for row in range(remark.lineno, remark.end_lineno + 1):
        lines[row - 1] = ''
  return '\n'.join(line.rstrip() for line in lines if line.strip())
