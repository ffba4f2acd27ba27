"""Reads JSON files and checks their form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from codemix.errors import UserError
from codemix.storage.paths import as_path


def read_json(path: Path, form: object = dict, fix: str = 'Restore it.') -> Any:
  """Reads a JSON file and checks its form.

  Raises UserError: the file is missing, cannot be read, is not JSON, or has another form.

  Args:
    form: as in `require_form`.
    fix: what the user should do about a damaged file.
  """
  try:
    value = json.loads(as_path(path).read_text(encoding='utf-8'))
  except FileNotFoundError:
    raise UserError(f'{path} does not exist.') from None
  except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
    raise UserError(f'{path} cannot be read: {error.strerror}.') from None
  except (ValueError, RecursionError) as error:
    raise UserError(f'{path} is damaged: {error}. {fix}') from None
  require_form(value, form, path, fix)
  return value


def require_form(value: object, form: object, path: Path, fix: str = 'Restore it.') -> None:
  """Checks the form of plain data that were read from a file.

  Raises UserError: naming the first place of another form.

  Args:
    form: a type, or several joined by |; {key: form} for an object that has these keys and may have
      more; {...: form} for an object whose values all have a form; [form] for a list.
    path: the file, for the error.
    fix: what the user should do.
  """
  if misfit := next(_misfits(value, form, ''), None):
    raise UserError(f'{path} is damaged: {misfit}. {fix}')


def _misfits(value: object, form: object, where: str) -> Iterator[str]:
  kind = type(form) if isinstance(form, dict | list) else form
  if not _is_of(value, kind):
    yield f'{where or "it"} is {_NAMES.get(type(value), "null")}, not {" or ".join(_NAMES[k] for k in get_args(kind) or [kind])}'
  elif isinstance(form, list):
    for number, inner in enumerate(value):
      yield from _misfits(inner, form[0], f'{where}[{number}]')
  elif isinstance(form, dict):
    for key, below in form.items():
      for name in value if key is ... else [key]:
        at = f'{where}.{name}' if where else str(name)
        yield from _misfits(value[name], below, at) if name in value else [f'{at} is missing']


def _is_of(value: object, kind: type | UnionType) -> bool:
  if isinstance(value, bool):  # a bool is an int in Python
    return bool in (get_args(kind) or [kind])
  return isinstance(value, int | float) if kind is float else isinstance(value, kind)


_NAMES = {dict: 'an object', list: 'a list', str: 'a string', int: 'a whole number', float: 'a number', bool: 'true or false', type(None): 'null'}
