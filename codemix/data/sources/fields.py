"""Fields of a row by dotted path, and what is wrong with one that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Number
from uuid import UUID

from codemix.data.sources.record import BadRecord

_MISSING = object()
MISSING_FIELD = 'no field '  # begins the reason of each BadRecord for a field that is not there


class FieldError(Exception):
  """A row has not what the layout needs; `bad(place)` says it as a BadRecord."""

  def __init__(self, reason: str, detail: str = ''):
    super().__init__(reason)
    self.reason, self.detail = reason, detail

  def bad(self, place: str) -> BadRecord:
    return BadRecord(place, self.reason, self.detail)


def needed(*paths: str, **labels: str | None) -> tuple[str, ...]:
  """The fields that a layout reads: those of `paths` that are not '', and labels, by their usual names where they are None."""
  named = [usual if path is None else path for usual, path in labels.items()]
  return tuple(path for path in (*paths, *named) if path)


def has(row: Mapping, path: str) -> bool:
  return _get(row, path) not in (_MISSING, None)


def is_blank(row: Mapping, path: str) -> bool:
  """Whether the field is there, and nothing in it."""
  found = _get(row, path)
  return found is None or (isinstance(found, str | bytes) and not found.strip())


def value(row: Mapping, path: str) -> object:
  """The value at 'meta.redpajama_set_name' or 'title'.

  Raises:
    FieldError: there is none, or it is null.
  """
  found = _get(row, path)
  if found is _MISSING or found is None:
    raise FieldError(f"{MISSING_FIELD}'{path}'", f'its fields are {", ".join(_paths(row)) or "none"}')
  return found


def string(row: Mapping, path: str) -> str:
  """The string at a path; bytes are taken for UTF-8.

  Raises:
    FieldError: there is none, or it is neither.
  """
  found = value(row, path)
  if isinstance(found, str):
    return found
  if isinstance(found, bytes):
    try:
      return found.decode()
    except UnicodeDecodeError as error:
      raise FieldError('not UTF-8', f"the field '{path}': {error.reason}") from None
  raise FieldError(f"no string in '{path}'", f'but {type(found).__name__}')


def label(row: Mapping, path: str | None, usual: str) -> str:
  """A short field such as a language or an id, numbers included.

  Args:
    row: where it is looked for.
    path: its path, which must be there; None for `usual`, where the row has it; '' for none.
    usual: the name that the field has in codemix's own records.

  Raises:
    FieldError: `path` is not there.
  """
  if path is None:
    path = usual if isinstance(row.get(usual), str | bytes | int) else ''
  if not path:
    return ''
  found = value(row, path)
  return str(found) if isinstance(found, Number | UUID) else string(row, path)


def _get(row: Mapping, path: str) -> object:
  if path in row:  # a name that holds a dot itself
    return row[path]
  found: object = row
  for name in path.split('.'):
    if not isinstance(found, Mapping):
      return _MISSING
    found = found.get(name, _MISSING)
  return found


def _paths(row: Mapping) -> list[str]:
  """The fields of a row and, below dots, of the mappings in it."""
  read = [
    path
    for name, found in sorted(row.items(), key=lambda item: str(item[0]))
    for path in ([f'{name}.{inner}' for inner in found] if isinstance(found, Mapping) else [str(name)])
  ]
  unread = getattr(row, 'unread', ())
  return sorted({*read, *unread}) if unread else read
