"""Kinds of single values: each reads a value, and describes in words what it accepts."""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
from collections.abc import Iterator
from typing import Any

from codemix.checked.annotations import Bound, ReadBy, in_words
from codemix.checked.messages import hint, shown
from codemix.errors import UserError


class Kind:
  """The values that a field accepts.

  Attributes:
    words: its description: 'a whole number of rows, at least 1'.
    many: its plural: 'whole numbers of rows, each at least 1'.
  """

  words: str
  many: str

  def takes(self, value: Any) -> bool:
    """Whether the value is of this kind, perhaps out of range."""
    raise NotImplementedError

  def checked(self, value: Any, where: str) -> Any:
    """The value in its canonical form; raises UserError if it is out of range."""
    return value

  def read(self, value: Any, where: str) -> Any:
    """The value in its canonical form.

    Raises UserError: it is of another kind, or out of range.

    Args:
      value: as the user wrote it.
      where: its name in messages: 'Stage.batch'.
    """
    if not self.takes(value):
      raise self.refusal(value, where)
    return self.checked(value, where)

  def refusal(self, value: Any, where: str, because: str = '') -> UserError:
    return UserError(f'{where} is {shown(value)}; it is {self.words}.{because or hint(self.alternatives, value)}')

  @property
  def alternatives(self) -> tuple[Kind, ...]:
    """The kinds, one of which the value must be."""
    return (self,)

  def inner(self) -> tuple[Kind, ...]:
    """The kinds of the values inside."""
    return ()

  def within(self) -> Iterator[Kind]:
    """Itself, and the kinds of the values inside, at any depth."""
    yield self
    for kind in self.inner():
      yield from kind.within()

  def spells(self, text: str) -> bool:
    """Whether a text is a value of this kind in quotes; False for text itself."""
    return False

  def names(self) -> tuple[str, ...]:
    """The texts that it accepts, if they are few."""
    return ()

  def wrapped(self, value: Any, spelling: str) -> str:
    """How to put a value into a list or a dictionary, if only that is missing; else ''."""
    return ''


@dataclasses.dataclass(frozen=True)
class Number(Kind):
  """A finite number, perhaps whole."""

  whole: bool
  bounds: tuple[Bound, ...] = ()
  unit: str = ''

  @property
  def words(self) -> str:
    return f'a {self._noun}{_of(self.unit)}{in_words(self.bounds)}'

  @property
  def many(self) -> str:
    return f'{self._noun}s{_of(self.unit)}{in_words(self.bounds)}'

  @property
  def _noun(self) -> str:
    return 'whole number' if self.whole else 'number'

  def takes(self, value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)

  def checked(self, value: Any, where: str) -> Any:
    try:
      number = float(value)
    except OverflowError:  # a whole number beyond 1e308
      number = math.inf
    if not math.isfinite(number) or not all(bound.holds(value) for bound in self.bounds):
      raise self.refusal(value, where)
    if not self.whole:
      return number
    if value != int(value):
      raise self.refusal(value, where)
    return int(value)

  def spells(self, text: str) -> bool:
    try:
      return math.isfinite(float(text))
    except ValueError:
      return False


@dataclasses.dataclass(frozen=True)
class Flag(Kind):
  words = many = 'True or False'

  def takes(self, value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ('bool_', 'bool') and hasattr(value, 'dtype')

  def checked(self, value: Any, where: str) -> bool:
    return bool(value)

  def spells(self, text: str) -> bool:
    return text in ('True', 'False')


@dataclasses.dataclass(frozen=True)
class Text(Kind):
  """Text, or a path."""

  path: bool = False
  some: bool = False
  unit: str = ''  # what it is: 'name'

  @property
  def words(self) -> str:
    return f'a {self.unit}' if self.unit else f'{"a path" if self.path else "text"}{", and not empty" if self.some else ""}'

  @property
  def many(self) -> str:
    return f'{self.unit or ("path" if self.path else "text")}s'

  def takes(self, value: Any) -> bool:
    return isinstance(value, str) or (self.path and isinstance(value, os.PathLike))

  def checked(self, value: Any, where: str) -> str:
    text = os.fspath(value)
    if not isinstance(text, str) or (self.some and not text.strip()) or (self.path and '\0' in text):
      raise self.refusal(value, where)
    if self.path:
      return os.path.expanduser(text)
    try:
      text.encode()
    except UnicodeEncodeError:
      raise self.refusal(value, where, ' It has half of a surrogate pair, which UTF-8 cannot hold.') from None
    return str(text)


@dataclasses.dataclass(frozen=True)
class Nothing(Kind):
  words = many = 'None'

  def takes(self, value: Any) -> bool:
    return value is None

  def spells(self, text: str) -> bool:
    return text == 'None'


@dataclasses.dataclass(frozen=True)
class Choice(Kind):
  """One of some names, or of some numbers."""

  choices: tuple[str | int, ...]

  @property
  def words(self) -> str:
    return f'{"one of " if len(self.choices) > 1 else ""}{", ".join(map(str, self.choices))}'

  @property
  def many(self) -> str:
    return f'names among {", ".join(map(str, self.choices))}'

  def takes(self, value: Any) -> bool:
    return isinstance(value, str) or (Number(whole=True).takes(value) and value in self.choices)

  def checked(self, value: Any, where: str) -> str | int:
    if value not in self.choices:
      raise self.refusal(value, where)
    return self.choices[self.choices.index(value)]

  def names(self) -> tuple[str, ...]:
    return tuple(map(str, self.choices))


@dataclasses.dataclass(frozen=True)
class Instance(Kind):
  """An object of a class, or one that has what a protocol asks for."""

  cls: type

  @property
  def words(self) -> str:
    name = self.cls.__name__
    return f'{"an" if name[0] in "AEIOU" else "a"} {name}'

  @property
  def many(self) -> str:
    name = self.cls.__name__
    return name if name.endswith('s') else f'{name}s'

  def takes(self, value: Any) -> bool:
    return isinstance(value, self.cls) and not isinstance(value, type)


@dataclasses.dataclass(frozen=True)
class Anything(Kind):
  words = many = 'anything'

  def takes(self, value: Any) -> bool:
    return True


@dataclasses.dataclass(frozen=True)
class Read(Kind):
  """A value that a function reads, perhaps between bounds."""

  how: ReadBy
  bounds: tuple[Bound, ...] = ()

  @property
  def words(self) -> str:
    return f'a number{in_words(self.bounds)}, such as {self.how.such_as}'

  @property
  def many(self) -> str:
    return f'numbers{in_words(self.bounds)}, such as {self.how.such_as}'

  def takes(self, value: Any) -> bool:
    return True

  def checked(self, value: Any, where: str) -> Any:
    read = self.how.function(value, where)
    if not all(bound.holds(read) for bound in self.bounds):
      raise self.refusal(value, where)
    return read


def _of(unit: str) -> str:
  return f' of {unit}' if unit else ''
