"""Kinds of values with other values inside: lists, dictionaries, alternatives."""

from __future__ import annotations

import collections.abc
import dataclasses
from collections.abc import Mapping
from typing import Any

from codemix.checked.kinds import Anything, Kind, Nothing
from codemix.checked.messages import shown
from codemix.errors import UserError


@dataclasses.dataclass(frozen=True)
class Items(Kind):
  """Several values in order; a tuple.

  Attributes:
    each: the kind of every item, or one kind per place if their number is fixed.
  """

  each: Kind | tuple[Kind, ...]
  some: bool = False
  unit: str = ''  # the places of a pair: '(where, mixture)'

  @property
  def words(self) -> str:
    if isinstance(self.each, tuple):
      return f'a pair {self.unit}'.rstrip() if len(self.each) == 2 else f'a list of {len(self.each)} values'
    return f'a list of {self.each.many}{", at least one" if self.some else ""}'

  @property
  def many(self) -> str:
    return f'pairs {self.unit}'.rstrip() if isinstance(self.each, tuple) else 'lists'

  def inner(self) -> tuple[Kind, ...]:
    return self.each if isinstance(self.each, tuple) else (self.each,)

  def takes(self, value: Any) -> bool:
    return isinstance(_listed(value), collections.abc.Sequence) and not isinstance(value, str | bytes)

  def checked(self, value: Any, where: str) -> tuple:
    items = tuple(_listed(value))
    kinds = self.each if isinstance(self.each, tuple) else (self.each,) * len(items)
    if len(kinds) != len(items) or (self.some and not items):
      raise self.refusal(value, where)
    read = tuple(kind.read(item, f'{where}[{index}]') for index, (kind, item) in enumerate(zip(kinds, items, strict=True)))
    unchanged = isinstance(value, tuple) and all(new is old for new, old in zip(read, items, strict=True))
    return value if unchanged else read

  def wrapped(self, value: Any, spelling: str) -> str:
    empty = isinstance(value, tuple | list | Mapping) and not value
    of_one = not empty and isinstance(self.each, Kind) and self.each.takes(value)
    return f'({spelling},), with the comma, for a list of one' if of_one else ''


@dataclasses.dataclass(frozen=True)
class Table(Kind):
  """A mapping.

  Attributes:
    usual: a frequent key, for examples in messages.
  """

  key: Kind
  value: Kind
  some: bool = False
  usual: str = 'name'

  @property
  def words(self) -> str:
    of = '' if isinstance(self.value, Anything) else f' of {self.value.many}'
    return f'a dictionary{of}{", with at least one entry" if self.some else ""}'

  @property
  def many(self) -> str:
    return 'dictionaries'

  def inner(self) -> tuple[Kind, ...]:
    return (self.value,)

  def takes(self, value: Any) -> bool:
    return isinstance(value, Mapping)

  def checked(self, value: Any, where: str) -> Mapping:
    if self.some and not value:
      raise self.refusal(value, where)
    read = {
      self.key.read(key, f'a key of {where}'): self.value.read(inner, f'{where}[{shown(key)}]')
      for key, inner in value.items()
    }
    unchanged = all(new is old for new, old in zip(read.values(), value.values(), strict=True))
    return value if unchanged else read

  def wrapped(self, value: Any, spelling: str) -> str:
    of_one = not isinstance(self.value, Anything) and self.value.takes(value)
    return f"{{'{self.usual}': {spelling}}}" if of_one else ''


@dataclasses.dataclass(frozen=True)
class Either(Kind):
  """One of several kinds."""

  kinds: tuple[Kind, ...]

  @property
  def words(self) -> str:
    return ', or '.join(kind.words for kind in self._ordered)

  @property
  def many(self) -> str:
    return ' or '.join(kind.many for kind in self._ordered)

  @property
  def _ordered(self) -> list[Kind]:
    """None last, since it is the exception."""
    return sorted(self.kinds, key=lambda kind: isinstance(kind, Nothing))

  @property
  def alternatives(self) -> tuple[Kind, ...]:
    return self.kinds

  def inner(self) -> tuple[Kind, ...]:
    return self.kinds

  def takes(self, value: Any) -> bool:
    return any(kind.takes(value) for kind in self.kinds)

  def checked(self, value: Any, where: str) -> Any:
    suiting = [kind for kind in self.kinds if kind.takes(value)]
    for kind in suiting:
      try:
        return kind.checked(value, where)
      except UserError:
        if isinstance(kind, Items | Table):  # their message names the wrong item
          raise
    raise self.refusal(value, where)


def _listed(value: Any) -> Any:
  """NumPy's arrays as lists."""
  return value.tolist() if hasattr(value, 'tolist') and getattr(value, 'ndim', 0) else value
