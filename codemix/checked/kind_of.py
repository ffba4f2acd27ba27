"""The kind of value that an annotation stands for."""

from __future__ import annotations

import collections.abc
import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from codemix.checked.annotations import AnyPath, NotEmpty, ReadBy, Usually
from codemix.checked.containers import Either, Items, Table
from codemix.checked.kinds import (
  Anything,
  Choice,
  Flag,
  Instance,
  Kind,
  Nothing,
  Number,
  Read,
  Text,
)

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

  Raises TypeError: it cannot be checked.
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
      kind = Read(remark, getattr(kind, 'bounds', ()))
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
