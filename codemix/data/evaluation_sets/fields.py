"""Texts at dotted paths of a row, and templates of several."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

_PLACE = re.compile(r'\{([^{}]+)\}')


def places(field: str) -> list[str]:
  """The paths that a template names, or the path itself."""
  return _PLACE.findall(field) or [field]


def has(value: object, path: str) -> bool:
  """Whether a row has a dotted path, even with an empty value; a list on the way has it if an entry has."""
  if isinstance(value, list | tuple):
    return any(has(entry, path) for entry in value)
  key, _, rest = path.partition('.')
  return isinstance(value, Mapping) and key in value and (not rest or has(value[key], rest))


def texts(row: Mapping, field: str) -> list[str]:
  """The texts of a field: a dotted path ('question.stem'; a list on the way gives each of its entries), or a template
  of several ('{context} {continuation}', with the first text of each); [] if a path is missing.
  """
  if '{' in field:
    found = {name: values(row, name) for name in _PLACE.findall(field)}
    if not all(found.values()):
      return []
    return [_PLACE.sub(lambda place: found[place[1]][0], field)]
  return values(row, field)


def values(value: object, path: str) -> list[str]:
  """Each string or number at a dotted path."""
  if isinstance(value, list | tuple):
    return [text for entry in value for text in values(entry, path)]
  if path:
    key, _, rest = path.partition('.')
    return values(value[key], rest) if isinstance(value, Mapping) and key in value else []
  if value is None or isinstance(value, Mapping) or (isinstance(value, float) and math.isnan(value)):
    return []
  return [str(value)]
