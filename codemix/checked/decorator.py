"""`checked`: the decorator of dataclasses and functions that checks their values against the annotations."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from codemix.checked.kind_of import kind_of
from codemix.checked.kinds import Kind

T = TypeVar('T')


def checked(definition: T) -> T:
  """Checks the fields of a dataclass (as its inner decorator) or the arguments of a function.

  The class's own `__post_init__` is called afterwards, for checks of several fields.
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
      return function(*args, **kwargs)  # Python's own error names the missing argument
    kinds = argument_kinds(function)
    for name, value in bound.arguments.items():
      bound.arguments[name] = kinds[name].read(value, f'{function.__name__}.{name}')
    return function(*bound.args, **bound.kwargs)

  call.__signature__ = signature
  call.__checked__ = True
  return call


@functools.cache
def field_kinds(cls: type) -> dict[str, Kind]:
  """The kind of each field that a dataclass's constructor takes."""
  hints = typing.get_type_hints(cls, include_extras=True)
  return {field.name: kind_of(hints[field.name]) for field in dataclasses.fields(cls) if field.init}


@functools.cache
def argument_kinds(function: Callable) -> dict[str, Kind]:
  """The kind of each argument of a function."""
  hints = typing.get_type_hints(function, include_extras=True)
  return {name: kind_of(hints[name]) for name in inspect.signature(function).parameters}


def kinds_of(definition: Any) -> dict[str, Kind]:
  """The kind of each field of a checked class, or of each argument of a checked function."""
  return field_kinds(definition) if isinstance(definition, type) else argument_kinds(inspect.unwrap(definition))
