"""The map in docs/development.md is true: each room stands on its level, and loads no library but those named there."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import codemix

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'codemix'

# What a library is called in the map; others, such as rich, may be imported anywhere.
LIBRARIES = {
  'numpy': ('numpy',),
  'pandas': ('pandas', 'scipy', 'matplotlib', 'jinja2'),
  'raw files': ('fsspec', 'pyarrow', 'zstandard'),
  'tokenizers': ('tokenizers', 'sentencepiece'),
  'JAX': ('jax', 'flax', 'optax', 'orbax', 'grain', 'tensorstore'),
  'TensorFlow': ('tensorflow', 'seqio', 'tensorflow_datasets', 'apache_beam'),
  'gin': ('gin',),
}
LIBRARY = {package: name for name, packages in LIBRARIES.items() for package in packages}


class Room(NamedTuple):
  """A row of the map.

  Attributes:
    level: it imports from rooms of lower levels only.
    loads: libraries that importing the room loads, through other rooms too.
    later: those that are loaded besides when its own functions import something.
  """

  level: int
  loads: frozenset[str]
  later: frozenset[str]


@functools.cache
def the_map() -> dict[str, Room]:
  """The rooms by name, as docs/development.md has them: `data/store`, or a module such as `errors`."""
  rooms = {}
  text = (ROOT / 'docs' / 'development.md').read_text()
  for level, names, loads, later in re.findall(r'^\| (\d+) \| (`.*?`) \|.*\| (.*?) \| (.*?) \|$', text, re.MULTILINE):
    for name in re.findall('`(.*?)`', names):
      assert name not in rooms, f'the map has {name} twice'
      rooms[name] = Room(int(level), _libraries(loads), _libraries(later))
  return rooms


def _libraries(cell: str) -> frozenset[str]:
  names = frozenset(filter(None, cell.split(', ')))
  assert names <= LIBRARIES.keys(), f'not in LIBRARIES: {names - LIBRARIES.keys()}'
  return names


@functools.cache
def room_of(module: str) -> str:
  """The room of a module: the longest name in the map that its path begins with."""
  parts = module.split('.')[1:] or ['__init__']
  for length in range(len(parts), 0, -1):
    if (name := '/'.join(parts[:length])) in the_map():
      return name
  raise AssertionError(f'{module} is in no room of the map in docs/development.md')


@functools.cache
def modules() -> dict[str, Path]:
  """The modules by name, without packages whose `__init__.py` is empty."""
  named = {}
  for path in (path for path in PACKAGE.rglob('*.py') if path.stat().st_size):
    parts = path.relative_to(ROOT).with_suffix('').parts
    named['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
  return named


class Import(NamedTuple):
  line: int
  name: str  # of the module
  later: bool  # inside a function


@functools.cache
def imports(module: str) -> tuple[Import, ...]:
  """What a module imports, at any depth; a package that is imported from counts as its modules."""
  return tuple(_imports(ast.parse(modules()[module].read_text()), later=False))


def _imports(node: ast.AST, later: bool):
  for child in ast.iter_child_nodes(node):
    inside = later or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    if isinstance(child, ast.Import):
      yield from (Import(child.lineno, alias.name, later) for alias in child.names)
    elif isinstance(child, ast.ImportFrom):
      for alias in child.names:
        full = f'{child.module}.{alias.name}'
        yield Import(child.lineno, full if full in modules() else child.module, later)
    else:
      yield from _imports(child, inside)


def _library(name: str) -> frozenset[str]:
  """What importing `name` loads: a module of codemix, or a library."""
  if name in modules():
    return loaded(name)
  return frozenset(filter(None, [LIBRARY.get(name.split('.')[0])]))


@functools.cache
def loaded(module: str) -> frozenset[str]:
  """The libraries that importing a module loads, through the modules of codemix that it imports."""
  reached, todo = set(), [module]
  libraries = set()
  while todo:
    if (name := todo.pop()) in reached:
      continue
    reached.add(name)
    parents = ['.'.join(name.split('.')[:n]) for n in range(1, name.count('.') + 1)]
    todo += [parent for parent in parents if parent in modules()]  # importing a module runs its packages
    for found in imports(name):
      if found.later:
        continue
      if found.name in modules():
        todo.append(found.name)
      else:
        libraries |= _library(found.name)
  return frozenset(libraries)


@pytest.mark.parametrize('module', sorted(modules()))
def test_a_module_imports_from_lower_levels_only(module):
  rooms, own = the_map(), room_of(module)
  upward = [
    f'line {found.line}: {found.name} (level {rooms[room_of(found.name)].level})'
    for found in imports(module)
    if found.name in modules() and room_of(found.name) != own and rooms[room_of(found.name)].level >= rooms[own].level
  ]
  assert not upward, f'{own} is on level {rooms[own].level}'


def test_a_room_loads_the_libraries_that_the_map_names():
  rows = {}
  for room, (level, _, _) in the_map().items():
    inside = [module for module in modules() if room_of(module) == room]
    assert inside, f'the map has {room}, which does not exist'
    loads = frozenset().union(*map(loaded, inside))
    later = frozenset().union(*(_library(found.name) for module in inside for found in imports(module) if found.later))
    rows[room] = Room(level, loads, later - loads)
  assert rows == the_map()


def _modules_after(code: str) -> set[str]:
  """Names of the packages loaded by a fresh Python that runs `code`."""
  script = f'{code}\nimport sys; print(" ".join({{name.split(".")[0] for name in sys.modules}}))'
  ran = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True, cwd=ROOT)
  return set(ran.stdout.split())


def test_importing_codemix_loads_none_of_the_heavy_packages():
  assert not _modules_after('import codemix') & {'jax', 'tensorflow', 'seqio', 'gin', 'numpy', 'pandas'}


def test_no_public_name_is_that_of_a_module():
  # Importing the module would put it in the name's place.
  assert not {f'codemix.{name}' for name in codemix.__all__} & modules().keys()


def test_help_loads_none_of_the_heavy_packages():
  code = 'from codemix.cli import main; import io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()): main(["--help"])'
  assert not _modules_after(code) & {'jax', 'tensorflow', 'seqio', 'gin', 'numpy', 'pandas'}


def test_training_evaluating_and_generating_load_neither_tensorflow_nor_seqio_nor_gin():
  folders = ('checkpoints', 'models', 'parallel', 'training', 'evaluation', 'data/batches')
  names = [module for module in modules() if room_of(module).startswith(folders)] + ['codemix.studies.runner']
  code = '\n'.join(f'import {name}' for name in names)
  assert not _modules_after(code) & {'tensorflow', 'seqio', 'gin', 'tensorflow_datasets', 'torch'}
