"""Reads fields of a row by dotted path; a FieldError says why a field cannot be used."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from numbers import Number
from uuid import UUID

from codemix.data.raw.record import BadRecord

_MISSING = object()
MISSING_FIELD = 'no field '  # begins the reason of each BadRecord for an absent field


class FieldError(Exception):
  """A row lacks what the row parser needs. Arguments: reason, detail and expected of a BadRecord."""

  def __init__(self, reason: str, detail: str = '', expected: bool = False):
    super().__init__(reason)
    self.reason, self.detail, self.expected = reason, detail, expected


def sets_aside(record: Callable) -> Callable:
  """Decorates `RowParser.record`: a FieldError becomes the BadRecord that it describes."""

  @functools.wraps(record)
  def wrapped(self, place: str, row: Mapping):
    try:
      return record(self, place, row)
    except FieldError as error:
      return BadRecord(place, error.reason, error.detail, error.expected)

  return wrapped


def needed(*paths: str, **labels: str | None) -> tuple[str, ...]:
  """The fields that a row parser reads: the paths that are not '', and the labels, by their usual names where they are None."""
  named = [usual if path is None else path for usual, path in labels.items()]
  return tuple(path for path in (*paths, *named) if path)


def has(row: Mapping, path: str) -> bool:
  """Whether the row has the field, and it is not null."""
  found = _get(row, path)
  return found is not _MISSING and not _is_null(found)


def is_blank(row: Mapping, path: str) -> bool:
  """Whether the row has the field, and it is null or white space."""
  found = _get(row, path)
  return _is_null(found) or (isinstance(found, str | bytes) and not found.strip())


def value(row: Mapping, path: str) -> object:
  """The value at 'meta.redpajama_set_name' or 'title'; None where it is null, or lies in what is null.

  NaN is null: pandas writes it for a value that is missing.

  Raises FieldError: there is no such field.
  """
  found = _get(row, path)
  if found is _MISSING:
    raise FieldError(f"{MISSING_FIELD}'{path}'", f'its fields are {", ".join(_paths(row)) or "none"}')
  return None if _is_null(found) else found


def string(row: Mapping, path: str) -> str:
  """The string at a path; bytes are decoded as UTF-8, and null is ''.

  Raises FieldError: there is no such field, or it is something else.
  """
  found = value(row, path)
  if found is None:
    return ''
  if isinstance(found, str):
    return found
  if isinstance(found, bytes):
    try:
      return found.decode()
    except UnicodeDecodeError as error:
      raise FieldError('not UTF-8', f"the field '{path}': {error.reason}") from None
  raise FieldError(f"no string in '{path}'", f'but {type(found).__name__}')


def label(row: Mapping, path: str | None, usual: str) -> str:
  """A short field such as a language or an id, as a string (numbers too); '' where it is null.

  Raises FieldError: `path` is not there.

  Args:
    row: has the field.
    path: its path, which the row must have; None for `usual` where the row has it; '' for no label.
    usual: the name of the field in codemix's own records.
  """
  if path is None:
    path = usual if isinstance(row.get(usual), str | bytes | int) else ''
  if not path:
    return ''
  found = value(row, path)
  return str(found) if isinstance(found, Number | UUID) else string(row, path)


def labels(row: Mapping, **paths: str | None) -> dict[str, str]:
  """`label` of each path, by its usual name: labels(row, source='meta.set', id=None)."""
  return {usual: label(row, path, usual) for usual, path in paths.items()}


def _get(row: Mapping, path: str) -> object:
  if path in row:  # a name that holds a dot itself
    return row[path]
  found: object = row
  for name in path.split('.'):
    if _is_null(found):
      return None
    if not isinstance(found, Mapping):
      return _MISSING
    found = found.get(name, _MISSING)
  return found


def _is_null(found: object) -> bool:
  return found is None or (isinstance(found, float) and math.isnan(found))


def _paths(row: Mapping) -> list[str]:
  """The fields of a row and, below dots, of the mappings in it."""
  read = [
    path
    for name, found in sorted(row.items(), key=lambda item: str(item[0]))
    for path in ([f'{name}.{inner}' for inner in found] if isinstance(found, Mapping) else [str(name)])
  ]
  unread = getattr(row, 'unread', ())
  return sorted({*read, *unread}) if unread else read
