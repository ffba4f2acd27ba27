"""Where each value of the gin configuration was bound; gin does not record it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import gin
from codemix.errors import UserError

Key = tuple[str, str, str]  # scope, full selector, parameter; a macro is 'gin.macro' in the scope of its name
MACRO = 'gin.macro'


@dataclasses.dataclass(frozen=True)
class Place:
  """A line of a gin file, or a flag.

  Attributes:
    file: its path; '' for a flag.
    line: from 1.
    flag: the part of a flag before the =.
  """

  file: str
  line: int = 0
  flag: str = ''

  def __str__(self) -> str:
    return f'{self.file}, line {self.line}' if self.file else f'--gin.{self.flag}'

  def on(self, line: int) -> Place:
    """Another line of the same file; a flag is one line."""
    return dataclasses.replace(self, line=line) if self.file else self


class PlacedError(UserError):
  """An error whose message begins with its place."""


# Of the configuration that was read last, like gin's own.
PLACES: dict[Key, Place] = {}
NAMED: list[str] = []  # files that the command line names, without codemix's own
IMPORTS: list[str] = []  # lines that import Python modules, in their order


def found_at(scope: str, selector: str, parameter: str) -> tuple[Key, Place] | None:
  """The binding of a parameter that a call in `scope` uses, and its place; None if there is none."""
  parts = scope.split('/') if scope else []
  for count in range(len(parts), -1, -1):
    key = ('/'.join(parts[:count]), selector, parameter)
    if key in PLACES:
      return key, PLACES[key]
  return None


def spelled(key: Key) -> str:
  """A binding as written in a gin file: 'first/Stage.tokens', or the name of a macro."""
  scope, selector, parameter = key
  if selector == MACRO:
    return scope
  return f'{scope}/{last_name(selector)}.{parameter}'.lstrip('/')


def last_name(selector: str) -> str:
  """'codemix.Stage' -> 'Stage'."""
  return selector.rsplit('.', 1)[-1]


def value_of(key: Key) -> Any:
  """The value of a binding, with references unresolved."""
  scope, selector, parameter = key
  return gin.config._CONFIG[scope, selector][parameter]


def parts_of(value: Any) -> Iterator[Any]:
  """A bound value and all values inside it."""
  yield value
  if isinstance(value, dict):
    for inner in (*value.keys(), *value.values()):
      yield from parts_of(inner)
  elif isinstance(value, list | tuple | set):
    for inner in value:
      yield from parts_of(inner)


def references_of(value: Any) -> Iterator[tuple[str, str]]:
  """(scope, selector) of each @NAME and %NAME in a bound value."""
  for part in parts_of(value):
    if isinstance(part, gin.config.ConfigurableReference):
      yield part.config_key
