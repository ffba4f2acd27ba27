"""What a reader, row parser or filter is, as plain data: its name, its version and its arguments.

Each class of codemix declares `stable_name` and `version`, so that it can be moved and reworded
without a new identity; `tests/data/test_golden_documents.py` shows what comes out of each version. A
class or function of a user may declare them too. Where it declares no version, a digest of its
module, and of the user's modules that this imports, stands in its place.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from codemix.errors import UserError
from codemix.identity import digest

_INSTALLED = ('site-packages', 'dist-packages')


def described(part: object) -> dict:
  """A reader, row parser or filter as plain data: `definition` of its class, and its arguments.

  Raises UserError: an argument is neither plain data nor a dataclass or function.
  """
  return describe(part, definition)


def describe(part: object, define: Callable[[object], dict]) -> dict:
  """As `described`; `define` describes the classes and functions."""
  kind = type(part)
  if not dataclasses.is_dataclass(part):
    return define(kind)
  arguments = {
    field.name: _plain(getattr(part, field.name), f'{kind.__name__}.{field.name}', define)
    for field in dataclasses.fields(part)
  }
  return {**define(kind), 'arguments': arguments}


def definition(thing: type | Callable) -> dict:
  """Name and version of a class or function.

  Returns:
    'name': `stable_name` where it is declared, else the name in the module; with 'codemix.' before
      what is codemix's own, and the module's name before what another library has.
    'version': as declared by `thing` itself. Without it, of what is not part of a library:
    'code': a digest of its module.
    'extends': the same of the classes that it inherits from, as far as they are a user's or declare a version.
  """
  said = {'name': _declared(thing, 'stable_name') or thing.__qualname__}
  if is_own(thing):
    said['name'] = f'codemix.{said["name"]}'
  if (version := _declared(thing, 'version')) is not None:
    said['version'] = version
  elif is_users(thing):
    said['code'] = module_digest(thing.__module__) or _own_digest(thing)
  elif not is_own(thing):
    said['name'] = f'{thing.__module__}.{said["name"]}'
  bases = thing.__mro__[1:] if inspect.isclass(thing) and not is_own(thing) else ()
  inherited = [definition(base) for base in bases if _declared(base, 'version') is not None or is_users(base)]
  return {**said, **({'extends': inherited} if inherited else {})}


def is_own(thing: object) -> bool:
  """Whether a class or function is codemix's."""
  return _module_name(thing).split('.')[0] == 'codemix'


def is_users(thing: object) -> bool:
  """Whether a class, function or module belongs to no library, whose releases say what it does."""
  name = _module_name(thing)
  if name.split('.')[0] in sys.stdlib_module_names - {'__main__'} | {'codemix'}:
    return False
  path = getattr(sys.modules.get(name), '__file__', None) or ''
  return not set(_INSTALLED) & set(Path(path).parts)


def _module_name(thing: object) -> str:
  return thing.__name__ if inspect.ismodule(thing) else getattr(thing, '__module__', None) or ''


def _declared(thing: object, name: str) -> object:
  """An attribute of a class or function itself; not what a class inherits, which describes another class, nor a field."""
  if inspect.isclass(thing) and dataclasses.is_dataclass(thing) and name in {field.name for field in dataclasses.fields(thing)}:
    return None
  found = getattr(thing, '__dict__', {}).get(name)
  if found is not None and (isinstance(found, bool) or not isinstance(found, int | str)):
    raise UserError(f'{thing.__qualname__}.{name} is {found!r}; write a number or a string.')
  return found


@functools.cache
def module_digest(name: str) -> str:
  """sha256 over the files of a module and of the user's modules that it imports; '' where it has no file."""
  digests, waiting, known = [], [name], {name}
  while waiting:
    name = waiting.pop()
    try:
      source = Path(sys.modules[name].__file__).read_bytes()
    except (OSError, AttributeError, TypeError, KeyError):
      continue
    digests.append(hashlib.sha256(source).hexdigest())
    new = {imported for imported in _imported(source, name) if is_users(sys.modules[imported])} - known
    known |= new
    waiting += new
  return digest(sorted(digests)) if digests else ''


def _imported(source: bytes, name: str) -> Iterator[str]:
  """The modules that a module imports at its top, as far as they are loaded."""
  package = getattr(sys.modules[name], '__package__', None) or ''
  try:
    statements = ast.parse(source).body
  except (SyntaxError, ValueError):  # a compiled module
    return
  for node in statements:
    names = []
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      above = importlib.util.resolve_name('.' * node.level + (node.module or ''), package) if node.level else node.module
      names = [above, *(f'{above}.{alias.name}' for alias in node.names)]
    yield from (imported for imported in names if imported in sys.modules)


def _own_digest(thing: object) -> str:
  """Of what was typed at a prompt: a digest of its source, or of the code of its functions."""
  try:
    return digest(inspect.getsource(thing))
  except (OSError, TypeError):
    functions = [thing, *vars(thing).values()] if inspect.isclass(thing) else [thing]
    codes = [f.__code__ for f in functions if inspect.isfunction(f)]
    return digest([[c.co_code.hex(), c.co_names, [repr(k) for k in c.co_consts if not inspect.iscode(k)]] for c in codes])


def _plain(value: object, where: str, define: Callable[[object], dict]) -> object:
  if value is None or isinstance(value, bool | int | str):
    return value
  if isinstance(value, float):
    return value if math.isfinite(value) else repr(value)  # JSON has no infinity
  if isinstance(value, Mapping):
    return {str(key): _plain(inner, where, define) for key, inner in value.items()}
  if isinstance(value, set | frozenset):
    return sorted((_plain(inner, where, define) for inner in value), key=str)
  if isinstance(value, list | tuple):
    return [_plain(inner, where, define) for inner in value]
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return describe(value, define)
  if inspect.isfunction(value):
    return define(value)
  raise UserError(
    f'{where} is {value!r}, which cannot be compared between runs. Give plain data, a function or a dataclass.'
  )
