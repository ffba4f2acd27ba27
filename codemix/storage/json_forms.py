"""Reads JSON files and checks their form."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from codemix.errors import UserError
from codemix.storage.paths import as_path

DEEPEST = 64  # objects and lists within each other; what codemix writes has a dozen
_INT = range(-(2**63), 2**63)  # of a whole number, as numpy and other languages hold it


def read_json(path: Path, form: object = dict, fix: str = 'Restore it.') -> Any:
  """Reads a JSON file and checks its form.

  NaN and numbers beyond the largest float are not JSON, and no digest is defined for them. An object
  within more than `DEEPEST` others is refused: Python's recursion would end at it later.

  Raises UserError: the file is missing, cannot be read, is not JSON, or has another form.

  Args:
    form: as in `require_form`.
    fix: what the user should do about a damaged file.
  """
  try:
    value = _parsed(as_path(path).read_text(encoding='utf-8'))
  except FileNotFoundError:
    raise UserError(f'{path} does not exist.') from None
  except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
    raise UserError(f'{path} cannot be read: {error.strerror}.') from None
  except (ValueError, RecursionError) as error:
    raise UserError(f'{path} is damaged: {error}. {fix}') from None
  require_form(value, form, path, fix)
  return value


def _parsed(text: str) -> Any:
  value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
  level = [[value]]
  for _ in range(DEEPEST):
    within = (inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer))
    level = [inner for inner in within if isinstance(inner, dict | list)]
    if not level:
      return value
  raise ValueError(f'it is nested more than {DEEPEST} deep')


def _no_number(name: str) -> Any:
  raise ValueError(f'it has {name}, which is not a number of JSON')


def _finite(digits: str) -> float:
  if math.isinf(value := float(digits)):
    raise ValueError(f'it has the number {digits[:20]}, which is too large')
  return value


def require_form(value: object, form: object, path: Path, fix: str = 'Restore it.') -> None:
  """Checks the form of plain data that were read from a file.

  Raises UserError: naming the first place of another form.

  Args:
    form: a type, or several joined by |; {key: form} for an object that has these keys and may have
      more; {...: form} for an object whose values all have a form; [form] for a list. `FileName` is a
      string that names a file in the folder of `path`, and leads nowhere else.
    path: the file, for the error.
    fix: what the user should do.
  """
  if misfit := next(_misfits(value, form, ''), None):
    raise UserError(f'{path} is damaged: {misfit}. {fix}')


def _misfits(value: object, form: object, where: str) -> Iterator[str]:
  kind = type(form) if isinstance(form, dict | list) else form
  if not _is_of(value, kind):
    yield f'{where or "it"} is {_described(value, kind)}, not {" or ".join(_NAMES[k] for k in get_args(kind) or [kind])}'
  elif isinstance(form, list):
    for number, inner in enumerate(value):
      yield from _misfits(inner, form[0], f'{where}[{number}]')
  elif isinstance(form, dict):
    for key, below in form.items():
      for name in value if key is ... else [key]:
        at = f'{where}.{name}' if where else str(name)
        yield from _misfits(value[name], below, at) if name in value else [f'{at} is missing']


def _described(value: object, kind: type | UnionType) -> str:
  if type(value) is int and value not in _INT:
    return 'a whole number of more than 64 bits'
  return repr(value[:60]) if kind is FileName and isinstance(value, str) else _NAMES.get(type(value), 'null')


def _is_of(value: object, kind: type | UnionType) -> bool:
  if isinstance(value, bool):  # a bool is an int in Python
    return bool in (get_args(kind) or [kind])
  if isinstance(value, int) and value not in _INT:
    return False
  if kind is FileName:
    return isinstance(value, str) and is_file_name(value)
  return isinstance(value, int | float) if kind is float else isinstance(value, kind)


class FileName(str):
  """The form of a file's name, for `require_form`."""


def is_file_name(text: str) -> bool:
  """Whether a text is the name of a file in a folder: neither a path nor '..', and with no character that names lack."""
  return text not in ('', '.', '..') and '/' not in text and text.isprintable() and len(text.encode()) <= _LONGEST_NAME


_LONGEST_NAME = 255  # bytes, NAME_MAX of Linux
_NAMES = {FileName: 'the name of a file', dict: 'an object', list: 'a list', str: 'a string', int: 'a whole number', float: 'a number', bool: 'true or false', type(None): 'null'}
