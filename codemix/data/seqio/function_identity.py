"""What a function of a SeqIO task is, as plain data: its definition, and the values that it reads.

A SeqIO task is made of functions: its preprocessors, and the source that reads its files. What they
give depends on their code, and on default values, the variables of the function around them, the
object that they are bound to, global variables, and files that they name. Values that cannot be
compared between runs are named in `Described.unknown`.
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
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from codemix.data.corpus.identity import definition, is_users
from codemix.identity import digest, file_digest

_MOST_DEPTH = 8  # values within values, functions within functions
_PLAIN = (type(None), bool, int, float, complex, str, bytes, range, Path)


@dataclasses.dataclass
class Described:
  """What was found out about functions.

  Attributes:
    fingerprint: gives what identifies a file: its digest or, where that takes too long, its size.
    define: describes a function or class by itself.
    files: those that values and texts of the functions name, with their fingerprints.
    unknown: values that cannot be compared between runs, by where they stand.
  """

  fingerprint: Callable[[Path], object] = file_digest
  define: Callable[[object], dict] = definition
  files: dict[str, object] = dataclasses.field(default_factory=dict)
  unknown: list[str] = dataclasses.field(default_factory=list)
  _within: list[int] = dataclasses.field(default_factory=list)

  def function(self, step: Callable, where: str = '') -> dict:
    """The definition of a function, partial, bound method or callable object, and what it reads.

    `where` says how it is reached, for `unknown`; '' for the outermost.
    """
    where = where or _name(step.func if isinstance(step, functools.partial) else step)
    with self._entered(step) as is_new:
      if not is_new:
        return {'name': _name(step)}
      if isinstance(step, functools.partial):
        arguments = {**dict(enumerate(step.args)), **step.keywords}
        return {**self.function(step.func, where), 'arguments': self._values(arguments, where)}
      if not inspect.isroutine(step):  # an object that is called
        return {**self.define(type(step)), 'fields': self._values(_state(step) or {}, where)}
      bound = getattr(step, '__self__', None)
      step = getattr(step, '__func__', step)
      about = self.define(inspect.unwrap(step, stop=lambda each: 'version' in getattr(each, '__dict__', {})))
      values = {} if bound is None or inspect.ismodule(bound) else {'self': bound}
      step = inspect.unwrap(step)
      if isinstance(step, types.FunctionType) and is_users(step):
        values |= _bound_values(step)
        if 'version' not in about:
          values |= self._code_values(step)
      return {**about, **({'reads': self._values(values, where)} if values else {})}

  def _code_values(self, function: types.FunctionType) -> dict:
    """The global variables that a function reads, and the constants of a lambda, of which one line may have several.

    Notes the files that its constants name.
    """
    codes = list(_codes(function.__code__))
    constants = [constant for code in codes for constant in code.co_consts if not inspect.iscode(constant)]
    for constant in constants:
      self._note_files(constant)
    names = {name for code in codes for name in code.co_names}
    reads = {name: value for name, value in function.__globals__.items() if name in names and not inspect.ismodule(value)}
    return {**reads, **({'constants': constants} if function.__name__ == '<lambda>' else {})}

  @contextlib.contextmanager
  def _entered(self, value: object) -> Iterator[bool]:
    """Whether a value is neither one of those that are being described, nor too deep within them."""
    is_new = id(value) not in self._within and len(self._within) < _MOST_DEPTH
    self._within.append(id(value))
    try:
      yield is_new
    finally:
      self._within.pop()

  def _values(self, values: Mapping, where: str) -> dict:
    return {str(name): self._value(value, f'{where}: {name}') for name, value in sorted(values.items(), key=lambda item: str(item[0]))}

  def _value(self, value: object, where: str) -> object:
    self._note_files(value if isinstance(value, _PLAIN) else getattr(value, 'name', None))  # the name of an open file
    if isinstance(value, _PLAIN):
      return repr(value)
    if isinstance(value, re.Pattern):
      return [repr(value.pattern), value.flags]
    if inspect.isclass(value):
      return definition(value)
    if inspect.isroutine(value) or isinstance(value, functools.partial):
      return self.function(value, where)
    with self._entered(value) as is_new:
      return self._structure(value, where) if is_new else f'a {_name(value)}'

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
    if (fields := _state(value)) is not None:
      return {**definition(type(value)), 'fields': self._values(fields, where)}
    shown = repr(value)
    if ' at 0x' not in shown and not hasattr(value, '__next__'):
      return shown
    self.unknown.append(f'{where} ({_name(value)})')
    # The plain attributes can still be compared: a vocabulary, for example, keeps the name of its file.
    seen = {name: inner for name, inner in getattr(value, '__dict__', {}).items() if isinstance(inner, _PLAIN)}
    return {'kind': _name(value), 'fields': self._values(seen, where)}

  def _note_files(self, value: object) -> None:
    """Notes the files that a text names, or that match it as a pattern."""
    for path in _named_files(value):
      if path not in self.files:
        with contextlib.suppress(OSError):
          self.files[path] = self.fingerprint(Path(path))


def has_functions(identity: Mapping) -> bool:
  """Whether a prepared task is made of functions of a user, or holds values that cannot be compared, by its store's identity."""
  names = [step.get('name', '') for step in identity.get('preprocessors', ())]
  return 'unknown' in identity or 'function' in identity.get('source', {}) or any(not name.startswith(('seqio.', 'codemix.')) for name in names)


def stream_definition(thing: object) -> dict:
  """`definition` of a class or function; what belongs to a library as an older codemix described it.

  The digest of a streamed source is in the hashes of stages, which stay valid so.
  """
  if is_users(thing):
    return definition(thing)
  source = 'built in'
  with contextlib.suppress(OSError, TypeError):
    source = digest(inspect.getsource(thing))
  return {'name': _name(thing), 'source': source}


def same_task(then: Mapping, now: Mapping) -> bool:
  """Whether the store of an older codemix is of the same task, by the identities of both.

  Functions were described by their source then: their names and arguments alone are compared.
  """
  is_older = any('source' in step for step in then.get('preprocessors', ()))
  return is_older and _comparable(then) == _comparable(now)


def _comparable(identity: Mapping) -> dict:
  kept = {key: value for key, value in identity.items() if key != 'unknown'}
  kept['preprocessors'] = [(step['name'].rpartition('.')[2], step.get('arguments')) for step in identity['preprocessors']]
  source = identity['source']  # the settings of a corpus are compared by the corpus
  kept['source'] = 'a function' if 'function' in source else source.get('files', source)
  return kept


def _bound_values(function: types.FunctionType) -> dict:
  """The default values of a function, and the variables of the function around it, by their names."""
  parameters = inspect.signature(function).parameters.values()
  values = {each.name: each.default for each in parameters if each.default is not inspect.Parameter.empty}
  for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
    with contextlib.suppress(ValueError):  # an empty cell
      values[name] = cell.cell_contents
  return values


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
  """The code of a function and of those that are defined in it."""
  yield code
  for constant in code.co_consts:
    if isinstance(constant, types.CodeType):
      yield from _codes(constant)


def _named_files(value: object) -> list[str]:
  text = value.decode(errors='ignore') if isinstance(value, bytes) else str(value) if isinstance(value, str | Path) else ''
  if os.sep not in text and '.' not in text:
    return []  # a word, such as the name of a split
  with contextlib.suppress(OSError, ValueError):  # not a path
    if os.path.isfile(text):
      return [text]
    if glob.has_magic(text) and os.sep in text:
      return [path for path in sorted(glob.glob(text)) if os.path.isfile(path)]
  return []


def _state(value: object) -> Mapping[str, object] | None:
  """The fields of a dataclass or of an object of a user's class; None where its state cannot be seen."""
  if dataclasses.is_dataclass(value):
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
  return vars(value) if is_users(type(value)) and hasattr(value, '__dict__') and not hasattr(value, '__next__') else None


def _name(thing: object) -> str:
  named = thing if hasattr(thing, '__qualname__') else type(thing)
  return f'{getattr(named, "__module__", None)}.{named.__qualname__}'
