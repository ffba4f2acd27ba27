"""The kinds of values that an annotation can ask for: each reads a value, and says in words what it accepts."""

from __future__ import annotations

import collections.abc
import dataclasses
import math
import numbers
import os
from collections.abc import Iterator, Mapping
from typing import Any

from codemix.checked.annotations import Bound, ReadBy, in_words
from codemix.checked.messages import hint, shown
from codemix.errors import UserError


class Kind:
  """What a value may be.

  Attributes:
    words: for a person: 'a whole number of rows, at least 1'.
    many: the same for several: 'whole numbers of rows, each at least 1'.
  """

  words: str
  many: str

  def takes(self, value: Any) -> bool:
    """Whether the value is of this kind, whatever may be wrong in it."""
    raise NotImplementedError

  def checked(self, value: Any, where: str) -> Any:
    """The value in its one form; raises UserError where it is out of range."""
    return value

  def read(self, value: Any, where: str) -> Any:
    """The value in its one form.

    Args:
      value: as the user wrote it.
      where: what to call it: 'Stage.batch'.

    Raises:
      UserError: it is of another kind, or out of range.
    """
    if not self.takes(value):
      raise self.refusal(value, where)
    return self.checked(value, where)

  def refusal(self, value: Any, where: str, because: str = '') -> UserError:
    return UserError(f'{where} is {shown(value)}; it is {self.words}.{because or hint(self.alternatives, value)}')

  @property
  def alternatives(self) -> tuple[Kind, ...]:
    """The kinds of which a value needs to be one."""
    return (self,)

  def inner(self) -> tuple[Kind, ...]:
    """The kinds of the values that it holds."""
    return ()

  def within(self) -> Iterator[Kind]:
    """Itself, and the kinds of the values that it holds, at any depth."""
    yield self
    for kind in self.inner():
      yield from kind.within()

  def spells(self, text: str) -> bool:
    """Whether a text is a value of this kind between quotes; never for text itself."""
    return False

  def names(self) -> tuple[str, ...]:
    """The texts that it takes, where they are few."""
    return ()

  def wrapped(self, value: Any, spelling: str) -> str:
    """How to write a value that should have stood in a list or a dictionary; '' where that is not what is wrong."""
    return ''


@dataclasses.dataclass(frozen=True)
class Number(Kind):
  """A whole number, or any finite one."""

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
class Items(Kind):
  """Several values in order; a tuple.

  Attributes:
    each: of them; or one for each place, where their number is fixed.
  """

  each: Kind | tuple[Kind, ...]
  some: bool = False
  unit: str = ''  # what stands at each place: '(where, mixture)'

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
    usual: a key that it often has, for an example.
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
    """None last: it is the exception."""
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
        if isinstance(kind, Items | Table):  # their message names the item that is wrong
          raise
    raise self.refusal(value, where)


@dataclasses.dataclass(frozen=True)
class Anything(Kind):
  words = many = 'anything'

  def takes(self, value: Any) -> bool:
    return True


@dataclasses.dataclass(frozen=True)
class Read(Kind):
  """What a function reads, perhaps between bounds."""

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


def _listed(value: Any) -> Any:
  """NumPy's arrays as lists."""
  return value.tolist() if hasattr(value, 'tolist') and getattr(value, 'ndim', 0) else value


def _of(unit: str) -> str:
  return f' of {unit}' if unit else ''
