"""Reads gin files and flags, and builds what they configure."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gin
from codemix.config.errors import build_error
from codemix.config.places import IMPORTS, NAMED, PLACES, last_name, spelled
from codemix.config.reach import without_reference
from codemix.config.reading import Reading, require_no_quoted_references
from codemix.errors import UserError
from codemix.storage import local_path


def gin_directory() -> Path:
  """The folder of codemix's gin files: inside the installed package, or beside it in a checkout."""
  package = Path(__file__).resolve().parents[1]
  shipped = package / 'gin_files'
  return shipped if shipped.is_dir() else package.parent / 'gin'


_read: list[str] = []  # the files of the last `parse`


def files_read() -> list[str]:
  """The user's own gin files that `parse` has read, with the files that they include; not those of codemix."""
  shipped = gin_directory().resolve()
  return [path for path in dict.fromkeys(_read) if not Path(path).resolve().is_relative_to(shipped)]


def parse(files: Sequence[str], bindings: Sequence[str], search_paths: Sequence[str] = ()) -> list[str]:
  """Reads gin files and bindings into gin's global configuration, which it clears first.

  Raises UserError: a file is not found, a line does not parse, or a name does not exist; with the
  nearest name.

  Args:
    files: paths, relative to the working folder or a search path; later ones win.
    bindings: such as 'Stage.batch = 8'; they win over the files.
    search_paths: folders to search before codemix's own.

  Returns:
    Warnings, a line each: names that a file binds twice, and bindings that nothing refers to.
  """
  from codemix import configurables  # noqa: F401 (registers what may be bound)

  for path in search_paths:
    if not local_path(path, 'a folder of --gin_search_paths').is_dir():
      raise UserError(f"'{path}' of --gin_search_paths is not a folder.")
  gin.clear_config()
  PLACES.clear()
  reading = Reading([Path(), *map(Path, search_paths), gin_directory()])
  shipped = str(gin_directory())
  NAMED[:] = [path for path in map(reading.file, files) if not path.startswith(f'{shipped}/')]
  _read[:] = reading.files
  IMPORTS[:] = dict.fromkeys(reading.imports)
  for binding in bindings:
    reading.flag(binding)
  require_no_quoted_references()
  twice = [f'{second}: {spelled(key)} was bound in line {first.line} already; this one counts.' for key, first, second in reading.repeated]
  return [*twice, *without_reference(shipped)]


def build(name: str, /, **given: Any) -> Any:
  """Builds the configured object of a registered name, such as 'Study'.

  Raises UserError: an argument is missing or invalid.

  Args:
    given: arguments that gin does not bind.
  """
  try:
    return gin.config._REGISTRY.get_match(name).wrapper(**given)
  except Exception as error:
    raise build_error(error) from error


def bindings_of(name: str) -> list[str]:
  """The parameters of a name: 'seed' -> ['Recipe.seed'], 'Stage.batch' -> ['Stage.batch']."""
  from codemix import configurables  # noqa: F401 (registers what may be bound)

  configurable, _, parameter = name.replace('-', '_').rpartition('.')
  return [
    f'{last_name(selector)}.{parameter}'
    for selector, entry in gin.config._REGISTRY.items()
    if selector.startswith('codemix.') and configurable in ('', last_name(selector))
    and parameter in inspect.signature(entry.wrapped).parameters
  ]


def is_bound(name: str, parameter: str) -> bool:
  """Whether a file or flag binds a parameter of `name` outside any scope."""
  selector = gin.config._REGISTRY.get_match(name).selector
  return parameter in gin.config._CONFIG.get(('', selector), {})


def scopes_of(name: str, parameter: str) -> list[str]:
  """The scopes in which a file or flag binds a parameter of `name`, in order."""
  selector = gin.config._REGISTRY.get_match(name).selector
  return [scope for scope, *rest in PLACES if scope and rest == [selector, parameter]]
