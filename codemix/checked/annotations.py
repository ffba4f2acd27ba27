"""What an annotation may say beside the type: bounds, a unit, and the types that several configurables share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any


@dataclasses.dataclass(frozen=True)
class From:
  """At least this."""

  least: float

  def holds(self, value: Any) -> bool:
    return value >= self.least


@dataclasses.dataclass(frozen=True)
class Above:
  """More than this."""

  bound: float

  def holds(self, value: Any) -> bool:
    return value > self.bound


@dataclasses.dataclass(frozen=True)
class UpTo:
  """At most this."""

  most: float

  def holds(self, value: Any) -> bool:
    return value <= self.most


@dataclasses.dataclass(frozen=True)
class Below:
  """Less than this."""

  bound: float

  def holds(self, value: Any) -> bool:
    return value < self.bound


@dataclasses.dataclass(frozen=True)
class ReadBy:
  """Read by a function of the value and of what to call it in an error; it raises UserError."""

  function: Callable[[Any, str], Any]
  such_as: str


class NotEmpty:
  """At least one: of letters, items or entries."""


@dataclasses.dataclass(frozen=True)
class Usually:
  """The key that a dictionary often has, for an example in a message."""

  key: str


class AnyPath:
  """A path or URL, as text or `os.PathLike`; a leading ~ is the user's home."""


Bound = From | Above | UpTo | Below

Share = Annotated[float, From(0), UpTo(1)]
Path = Annotated[str, AnyPath()]
Name = Annotated[str, NotEmpty(), 'name']
Tokens = Annotated[int, From(1), 'tokens']
# JAX makes its keys of the lower 32 bits: seeds that are equal in them begin with the same weights.
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
    case From(least), UpTo(most):
      return f' from {_figure(least)} to {_figure(most)}'
    case From(least), Below(bound):
      return f' from {_figure(least)} up to, and not including, {_figure(bound)}'
    case Above(bound), None:
      return f' above {_figure(bound)}'
    case Above(bound), UpTo(most):
      return f' above {_figure(bound)} and at most {_figure(most)}'
    case Above(bound), Below(end):
      return f' above {_figure(bound)} and below {_figure(end)}'
    case _, UpTo(most):
      return f', at most {_figure(most)}'
    case _:
      return f' below {_figure(high.bound)}'


def _figure(number: float) -> str:
  return f'{number:,}' if isinstance(number, int) else f'{number:g}'
