"""Bounds and other remarks in annotations, and types that several configurables share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any


@dataclasses.dataclass(frozen=True)
class Bound:
  """A limit of a number."""

  limit: float

  def holds(self, value: Any) -> bool:
    raise NotImplementedError


class From(Bound):
  """At least this."""

  def holds(self, value: Any) -> bool:
    return value >= self.limit


class Above(Bound):
  """More than this."""

  def holds(self, value: Any) -> bool:
    return value > self.limit


class UpTo(Bound):
  """At most this."""

  def holds(self, value: Any) -> bool:
    return value <= self.limit


class Below(Bound):
  """Less than this."""

  def holds(self, value: Any) -> bool:
    return value < self.limit


@dataclasses.dataclass(frozen=True)
class ReadBy:
  """Read by a function of the value and its name in messages, which may raise UserError."""

  function: Callable[[Any, str], Any]
  such_as: str


class NotEmpty:
  """At least one letter, item or entry."""


@dataclasses.dataclass(frozen=True)
class Usually:
  """A frequent key of a dictionary, for examples in messages."""

  key: str


class AnyPath:
  """A path or URL, as text or `os.PathLike`; a leading ~ is the user's home."""


Share = Annotated[float, From(0), UpTo(1)]
Path = Annotated[str, AnyPath()]
Name = Annotated[str, NotEmpty(), 'name']
Tokens = Annotated[int, From(1), 'tokens']
# JAX keys use the lower 32 bits: seeds that are equal in these give the same initial weights.
Seed = Annotated[int, From(0), UpTo(2**32 - 1)]


def in_words(bounds: tuple[Bound, ...]) -> str:
  """' from 0 to 1', ', at least 1', ' above 0'."""
  low = next((bound for bound in reversed(bounds) if isinstance(bound, From | Above)), None)
  high = next((bound for bound in reversed(bounds) if isinstance(bound, UpTo | Below)), None)
  match low, high:
    case None, None:
      return ''
    case From(least), None:
      return f', at least {_figure(least)}'
    case None, UpTo(most):
      return f', at most {_figure(most)}'
    case From(least), UpTo(most):
      return f' from {_figure(least)} to {_figure(most)}'
    case From(least), Below(end):
      return f' from {_figure(least)} up to, and not including, {_figure(end)}'
  words = {Above: 'above', UpTo: 'at most', Below: 'below'}
  return ' ' + ' and '.join(f'{words[type(bound)]} {_figure(bound.limit)}' for bound in (low, high) if bound)


def _figure(number: float) -> str:
  return f'{number:,}' if isinstance(number, int) else f'{number:g}'
