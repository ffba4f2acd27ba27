"""Fields that check themselves: what a value may be stands at the field, and is checked when it is built.

    @dataclasses.dataclass(frozen=True)
    @checked
    class Optimizer:
      name: Literal['adamw', 'lion'] = 'adamw'
      b1: Annotated[float, From(0), Below(1)] = 0.9

    Optimizer(b1=1.5)  # UserError: Optimizer.b1 is 1.5; it is a number from 0 up to, and not including, 1.

An annotation is read as Python's own: `int`, `float`, `bool`, `str`, `None`, `Literal`, unions, `tuple[X, ...]`,
`Sequence[X]`, `Mapping[K, V]`, and classes. Bounds, and a unit in words, stand in `Annotated`. Functions are
decorated alike, and their arguments are checked.

A value is stored in one form, so that what is equal has one identity: a whole number as int (8.0 is 8, and 200e9
is a whole number), another as float, NumPy's scalars as Python's, lists as tuples. What has another type is
refused: True is no number, '8' is text, and text is not a list of its letters.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import fractions
import functools
import inspect
import math
import numbers
import os
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

from codemix.errors import UserError, nearest

T = TypeVar('T')

_LONGEST = 80  # characters of a value in a message
_REFERENCE = re.compile(r'[%@][\w./]+(\(\))?$')


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


Share = Annotated[float, From(0), UpTo(1)]
Path = Annotated[str, AnyPath()]
Name = Annotated[str, NotEmpty(), 'name']
Tokens = Annotated[int, From(1), 'tokens']
# JAX makes its keys of the lower 32 bits: seeds that are equal in them begin with the same weights.
Seed = Annotated[int, From(0), UpTo(2**32 - 1)]


def checked(definition: T) -> T:
  """Checks the fields of a dataclass (of which it is the inner decorator) or the arguments of a function.

  A class's own `__post_init__` is called afterwards, for what concerns several fields.
  """
  return _checked_class(definition) if isinstance(definition, type) else _checked_function(definition)


def _checked_class(cls):
  also = getattr(cls, '__post_init__', None)

  def __post_init__(self):
    for name, kind in field_kinds(type(self)).items():
      value = getattr(self, name)
      read = kind.read(value, f'{type(self).__name__}.{name}')
      if read is not value:
        object.__setattr__(self, name, read)
    if also:
      also(self)

  cls.__post_init__ = __post_init__
  cls.__checked__ = True
  return cls


def _checked_function(function):
  signature = inspect.signature(function)

  @functools.wraps(function)
  def call(*args, **kwargs):
    try:
      bound = signature.bind(*args, **kwargs)
    except TypeError:
      return function(*args, **kwargs)  # Python says best what is missing
    kinds = argument_kinds(function)
    for name, value in bound.arguments.items():
      bound.arguments[name] = kinds[name].read(value, f'{function.__name__}.{name}')
    return function(*bound.args, **bound.kwargs)

  call.__signature__ = signature
  call.__checked__ = True
  return call


@functools.cache
def field_kinds(cls: type) -> dict[str, Kind]:
  """What each field of a dataclass that its constructor takes may be."""
  hints = typing.get_type_hints(cls, include_extras=True)
  return {field.name: kind_of(hints[field.name]) for field in dataclasses.fields(cls) if field.init}


@functools.cache
def argument_kinds(function: Callable) -> dict[str, Kind]:
  """What each argument of a function may be."""
  hints = typing.get_type_hints(function, include_extras=True)
  return {name: kind_of(hints[name]) for name in inspect.signature(function).parameters}


def kinds_of(definition: Any) -> dict[str, Kind]:
  """What each field of a checked class, or each argument of a checked function, may be."""
  return field_kinds(definition) if isinstance(definition, type) else argument_kinds(inspect.unwrap(definition))


def within(kind: Kind) -> Iterator[Kind]:
  """A kind, and those of the values that it holds."""
  yield kind
  inner = getattr(kind, 'kinds', ()) or getattr(kind, 'each', ()) or getattr(kind, 'value', ())
  for each in inner if isinstance(inner, tuple) else (inner,):
    yield from within(each)


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

  def refusal(self, value: Any, where: str, hint: str = '') -> UserError:
    return UserError(f'{where} is {shown(value)}; it is {self.words}.{hint or _hint(self, value)}')


@dataclasses.dataclass(frozen=True)
class Number(Kind):
  """A whole number, or any finite one."""

  whole: bool
  bounds: tuple[From | Above | UpTo | Below, ...] = ()
  unit: str = ''

  @property
  def words(self) -> str:
    return f'a {self._noun}{_of(self.unit)}{_range(self.bounds)}'

  @property
  def many(self) -> str:
    return f'{self._noun}s{_of(self.unit)}{_range(self.bounds)}'

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


@dataclasses.dataclass(frozen=True)
class Flag(Kind):
  words = many = 'True or False'

  def takes(self, value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ('bool_', 'bool') and hasattr(value, 'dtype')

  def checked(self, value: Any, where: str) -> bool:
    return bool(value)


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
    """None is said last, as the exception that it is."""
    return sorted(self.kinds, key=lambda kind: isinstance(kind, Nothing))

  def takes(self, value: Any) -> bool:
    return any(kind.takes(value) for kind in self.kinds)

  def checked(self, value: Any, where: str) -> Any:
    suiting = [kind for kind in self.kinds if kind.takes(value)]
    for kind in suiting:
      try:
        return kind.checked(value, where)
      except UserError:
        if isinstance(kind, Items | Table):  # which know what in it is wrong
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
  bounds: tuple[From | Above | UpTo | Below, ...] = ()

  @property
  def words(self) -> str:
    return f'a number{_range(self.bounds)}, such as {self.how.such_as}'

  @property
  def many(self) -> str:
    return f'numbers{_range(self.bounds)}, such as {self.how.such_as}'

  def takes(self, value: Any) -> bool:
    return True

  def checked(self, value: Any, where: str) -> Any:
    read = self.how.function(value, where)
    if not all(bound.holds(read) for bound in self.bounds):
      raise self.refusal(value, where)
    return read


_PLAIN: Mapping[Any, Kind] = {
  int: Number(whole=True),
  float: Number(whole=False),
  bool: Flag(),
  str: Text(),
  None: Nothing(),
  type(None): Nothing(),
  Any: Anything(),
  object: Anything(),
}


def kind_of(annotation: Any) -> Kind:
  """The kind that an annotation stands for.

  Raises:
    TypeError: it is none that can be checked.
  """
  if annotation in _PLAIN:
    return _PLAIN[annotation]
  origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
  if origin is Annotated:
    return _annotated(kind_of(arguments[0]), arguments[1:])
  if origin is Literal:
    return Choice(arguments)
  if origin in (typing.Union, types.UnionType):
    return Either(tuple(map(kind_of, arguments)))
  if origin is tuple and arguments[-1] is not ...:
    return Items(tuple(map(kind_of, arguments)))
  if origin in (tuple, collections.abc.Sequence):
    return Items(kind_of(arguments[0]))
  if origin is collections.abc.Mapping:
    return Table(*map(kind_of, arguments))
  if isinstance(annotation, type):
    return Instance(annotation)
  raise TypeError(f'{annotation!r} cannot be checked.')


def _annotated(kind: Kind, remarks: tuple) -> Kind:
  for remark in remarks:
    if isinstance(remark, ReadBy):
      kind = Read(remark, kind.bounds)
    elif isinstance(remark, str):
      kind = dataclasses.replace(kind, unit=remark)
    elif isinstance(remark, AnyPath):
      kind = dataclasses.replace(kind, path=True)
    elif isinstance(remark, Usually):
      kind = dataclasses.replace(kind, usual=remark.key)
    elif isinstance(remark, NotEmpty):
      kind = dataclasses.replace(kind, some=True)
    else:
      kind = dataclasses.replace(kind, bounds=(*kind.bounds, remark))
  return kind


def shown(value: Any) -> str:
  """A value as a message spells it: as it is written, and not at great length."""
  if isinstance(value, type):
    return f'the class {value.__name__}'
  if inspect.isroutine(value):
    return f'the function {value.__name__}'
  if isinstance(value, numbers.Real) and hasattr(value, 'dtype'):  # NumPy's would be np.float64(0.5)
    value = value.item()
  if isinstance(value, fractions.Fraction):
    return str(value)
  try:
    text = repr(value)
  except ValueError:  # a whole number of more digits than Python prints
    return 'a number of thousands of digits'
  text = ' '.join(text.split())
  return text if len(text) <= _LONGEST else f'{text[: _LONGEST - 4]} ...'


def _hint(kind: Kind, value: Any) -> str:
  """What to write instead, where that can be guessed."""
  kinds = kind.kinds if isinstance(kind, Either) else (kind,)
  if isinstance(value, type) or inspect.isroutine(value):
    name = value.__name__
    return f' In gin write @{name}() with the brackets, in Python {name}().'
  if isinstance(value, str):
    if _REFERENCE.match(value):
      return f' In gin write {value} without quotes.'
    if any(_spells(each, value.strip()) for each in kinds):
      return f' Write {value.strip()} without quotes.'
    choices = [str(choice) for each in kinds if isinstance(each, Choice) for choice in each.choices]
    if choices:
      return nearest(value, choices)
  empty = isinstance(value, tuple | list | Mapping) and not value
  one = shown(value) if isinstance(value, str | numbers.Real | tuple | list | Mapping) else f'@{type(value).__name__}()'
  for each in kinds:
    if not empty and isinstance(each, Items) and isinstance(each.each, Kind) and each.each.takes(value):
      return f' Write ({one},), with the comma, for a list of one.'
    if isinstance(each, Table) and not isinstance(each.value, Anything) and each.value.takes(value):
      return f" Write {{'{each.usual}': {one}}}."
  return ''


def _spells(kind: Kind, text: str) -> bool:
  """Whether the text is a value of another type between quotes."""
  if isinstance(kind, Number):
    try:
      return math.isfinite(float(text))
    except ValueError:
      return False
  return text in ('True', 'False') if isinstance(kind, Flag) else text == 'None' and isinstance(kind, Nothing)


def _listed(value: Any) -> Any:
  """NumPy's arrays as lists."""
  return value.tolist() if hasattr(value, 'tolist') and getattr(value, 'ndim', 0) else value


def _of(unit: str) -> str:
  return f' of {unit}' if unit else ''


def _range(bounds: tuple[From | Above | UpTo | Below, ...]) -> str:
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
