"""What a function of the user does, as plain data: its code, and whatever values it reads that can be known.

A SeqIO task is made of functions: its preprocessors, and the source that reads its files. What they
give may hang on more than their text: default values, the variables of the function around them, the
object they are bound to, global variables, and files that they name. All of that is described here,
and what cannot be is named.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import glob
import hashlib
import inspect
import os
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from codemix.identity import digest, file_digest

_MOST_DEPTH = 8  # values within values, functions within functions
_PLAIN = (type(None), bool, int, float, complex, str, bytes, range, Path)


@dataclasses.dataclass
class Described:
  """What was found out about functions.

  Attributes:
    fingerprint: what a file is known by: its digest, or where that takes too long its size.
    files: those that values and texts of the functions name, with their fingerprints.
    unknown: values that cannot be compared between runs, by where they stand.
  """

  fingerprint: Callable[[Path], object] = file_digest
  files: dict[str, object] = dataclasses.field(default_factory=dict)
  unknown: list[str] = dataclasses.field(default_factory=list)
  _within: list[int] = dataclasses.field(default_factory=list)

  def function(self, step: Callable, where: str = '') -> dict:
    """A function, partial, bound method or object that is called: an edit of what it does changes this.

    Args:
      step: what is described.
      where: how it is reached, for `unknown`; '' where it is the first.
    """
    with self._entered(step) as is_new:
      if not is_new:
        return {'name': _name(step)}
      where = where or _name(step.func if isinstance(step, functools.partial) else step)
      if isinstance(step, functools.partial):
        arguments = {**{str(index): value for index, value in enumerate(step.args)}, **step.keywords}
        return {**self.function(step.func, where), 'arguments': self._values(arguments, where)}
      if not inspect.isroutine(step):  # an object that is called
        kind = type(step)
        return {'name': _name(kind), 'source': _source(kind), 'fields': self._values(_state(step) or {}, where)}
      function = inspect.unwrap(step)
      description = {'name': _name(function), 'source': _source(function)}
      bound = getattr(function, '__self__', None)
      if bound is not None and not inspect.ismodule(bound):
        description['bound'] = self._value(bound, f'{where}: the object that it is bound to')
      plain = getattr(function, '__func__', function)
      return {**description, **(self._reads(plain, where) if isinstance(plain, types.FunctionType) and _is_users(plain) else {})}

  @contextlib.contextmanager
  def _entered(self, value: object) -> Iterator[bool]:
    """Whether a value is not one of those that are being described, nor too deep within them."""
    is_new = id(value) not in self._within and len(self._within) < _MOST_DEPTH
    self._within.append(id(value))
    try:
      yield is_new
    finally:
      self._within.pop()

  def _reads(self, function: types.FunctionType, where: str) -> dict:
    """The values that a function reads beside its arguments, of the kinds that it has."""
    parameters = inspect.signature(function).parameters
    defaults = {name: each.default for name, each in parameters.items() if each.default is not inspect.Parameter.empty}
    closure, names = {}, set()
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
      with contextlib.suppress(ValueError):  # an empty cell
        closure[name] = cell.cell_contents
    for code in _codes(function.__code__):
      names.update(code.co_names)
      for constant in code.co_consts:
        self._note_files(constant)
    outside = {name: function.__globals__[name] for name in names if name in function.__globals__}
    reads = {'defaults': defaults, 'closure': closure, 'globals': outside}
    if function.__name__ == '<lambda>':  # several may stand in one line, which is all that there is of their source
      reads['constants'] = dict(enumerate(constant for constant in function.__code__.co_consts if not inspect.iscode(constant)))
    return {kind: self._values(values, where) for kind, values in reads.items() if values}

  def _values(self, values: Mapping, where: str) -> dict:
    return {str(name): self._value(value, f'{where}: {name}') for name, value in sorted(values.items(), key=lambda item: str(item[0]))}

  def _value(self, value: object, where: str) -> object:
    if isinstance(value, _PLAIN):
      self._note_files(value)
      return repr(value)
    if inspect.ismodule(value):
      return f'module {value.__name__}' + (f' {_file_of(value)}' if _is_users(value) else '')
    if isinstance(value, re.Pattern):
      return [repr(value.pattern), value.flags]
    if inspect.isclass(value):
      return {'name': _name(value), 'source': _source(value) if _is_users(value) else ''}
    if inspect.isroutine(value) or isinstance(value, functools.partial):
      return self.function(value, where)
    with self._entered(value) as is_new:
      return self._structure(value, where) if is_new else f'a {_name(type(value))}'

  def _structure(self, value: object, where: str) -> object:
    if isinstance(value, Mapping):
      return self._values({repr(key): inner for key, inner in value.items()}, where)
    if isinstance(value, list | tuple):
      return [self._value(inner, f'{where}[{index}]') for index, inner in enumerate(value)]
    if isinstance(value, set | frozenset):
      return sorted(str(self._value(inner, where)) for inner in value)
    if callable(numpy := getattr(value, 'numpy', None)):  # an eager tensor
      value = numpy()
    if isinstance(value, np.ndarray | np.generic):
      content = repr(value.tolist()).encode() if value.dtype.hasobject else np.ascontiguousarray(value).tobytes()
      return {'array': [str(value.dtype), list(value.shape)], 'content': hashlib.sha256(content).hexdigest()}
    self._note_files(getattr(value, 'name', None))  # of an open file
    fields = _state(value)
    if fields is not None:
      kind = type(value)
      return {'kind': _name(kind), 'source': _source(kind) if _is_users(kind) else '', 'fields': self._values(fields, where)}
    said = repr(value)
    if ' at 0x' not in said and not hasattr(value, '__next__'):
      return said
    self.unknown.append(f'{where} ({_name(type(value))})')
    # What can be seen of it: a vocabulary, for example, keeps the name of its file.
    seen = {name: inner for name, inner in getattr(value, '__dict__', {}).items() if isinstance(inner, _PLAIN)}
    return {'kind': _name(type(value)), 'fields': self._values(seen, where)}

  def _note_files(self, value: object) -> None:
    """Notes the files that a text names, or that match it as a pattern."""
    for path in _named_files(value):
      if path not in self.files:
        with contextlib.suppress(OSError):
          self.files[path] = self.fingerprint(Path(path))


def _named_files(value: object) -> list[str]:
  text = value.decode(errors='ignore') if isinstance(value, bytes) else str(value) if isinstance(value, str | Path) else ''
  if os.sep not in text and '.' not in text:
    return []  # a word, such as the name of a split
  with contextlib.suppress(OSError, ValueError):  # no path at all
    if os.path.isfile(text):
      return [text]
    if glob.has_magic(text) and os.sep in text:
      return [path for path in sorted(glob.glob(text)) if os.path.isfile(path)]
  return []


def _state(value: object) -> Mapping[str, object] | None:
  """The fields of a dataclass or of an object of a user's class; None where it keeps its state out of sight."""
  if dataclasses.is_dataclass(value):
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
  return vars(value) if _is_users(type(value)) and hasattr(value, '__dict__') and not hasattr(value, '__next__') else None


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
  """The code of a function and of those that are defined in it."""
  yield code
  for constant in code.co_consts:
    if isinstance(constant, types.CodeType):
      yield from _codes(constant)


def _is_users(value: object) -> bool:
  """Whether a function, class or module is part of no library, whose releases say what it does."""
  name = value.__name__ if inspect.ismodule(value) else getattr(value, '__module__', None) or ''
  if name.split('.')[0] in sys.stdlib_module_names - {'__main__'} | {'codemix'}:
    return False
  path = getattr(sys.modules.get(name), '__file__', None) or ''
  return not {'site-packages', 'dist-packages'} & set(Path(path).parts)


def _file_of(module: types.ModuleType) -> str:
  try:
    return file_digest(Path(module.__file__))
  except (OSError, TypeError, AttributeError):
    return ''


def _name(function: object) -> str:
  named = function if hasattr(function, '__qualname__') else type(function)
  return f'{getattr(named, "__module__", None)}.{named.__qualname__}'


def _source(function: object) -> str:
  try:
    return digest(inspect.getsource(function))
  except (OSError, TypeError):
    code = getattr(function, '__code__', None)  # of a function that was typed at a prompt
    return digest([code.co_code.hex(), code.co_names, [repr(c) for c in code.co_consts if not inspect.iscode(c)]]) if code else 'built in'


def has_functions(identity: Mapping) -> bool:
  """Whether a prepared task is made of functions of a user, or holds values that cannot be known, by its store's identity."""
  names = [step.get('name', '') for step in identity.get('preprocessors', ())]
  return 'unknown' in identity or 'function' in identity.get('source', {}) or any(not name.startswith(('seqio.', 'codemix.')) for name in names)
