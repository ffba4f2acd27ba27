"""gin: where files are found, what is bound, and a refusal of whatever would have no effect."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gin
from codemix.errors import UserError, nearest
from codemix.gin_errors import build_error, registered_names
from codemix.gin_places import MACRO, PLACES, last_name, spelled
from codemix.gin_reach import has_effect, reference_wanted, without_reference
from codemix.gin_reading import Reading, require_no_quoted_references

_NAMED: list[str] = []  # the user's files that the command line named last


def gin_directory() -> Path:
  """The gin files that come with codemix: in the wheel inside the package, in a checkout beside it."""
  package = Path(__file__).resolve().parent
  shipped = package / 'gin_files'
  return shipped if shipped.is_dir() else package.parent / 'gin'


def parse(files: Sequence[str], bindings: Sequence[str], search_paths: Sequence[str] = ()) -> list[str]:
  """Reads gin files and bindings into the global gin configuration, replacing what was there.

  Args:
    files: paths, as they stand or under a search path; later ones win.
    bindings: 'Stage.batch = 8' each, over the files.
    search_paths: folders looked in before codemix's own.

  Returns:
    Warnings, a line each: what a file binds twice, and what nothing refers to.

  Raises:
    UserError: a file that is not found, a line that does not parse, or a
      binding of nothing that exists, with the nearest name that does.
  """
  import codemix.configurables  # noqa: F401 (registers what may be bound)

  for path in search_paths:
    if not Path(path).is_dir():
      raise UserError(f"'{path}' of --gin_search_paths is not a folder.")
  gin.clear_config()
  PLACES.clear()
  reading = Reading([Path(), *map(Path, search_paths), gin_directory()])
  shipped = str(gin_directory())
  _NAMED[:] = [path for path in map(reading.file, files) if not path.startswith(f'{shipped}/')]
  for binding in bindings:
    reading.flag(binding)
  require_no_quoted_references()
  twice = [f'{second}: {spelled(key)} was bound in line {first.line} already; this one counts.' for key, first, second in reading.repeated]
  return [*twice, *without_reference(_NAMED, shipped)]


def build(name: str, /, **given: Any) -> Any:
  """The configured object of a registered name, such as 'Study'.

  Args:
    given: values that gin need not bind.

  Raises:
    UserError: it lacks a value, or one of its values makes no sense.
  """
  with _readable_errors():
    return gin.config._REGISTRY.get_match(name).wrapper(**given)


def bindings_of(name: str) -> list[str]:
  """What may be bound under a name: 'seed' -> ['Recipe.seed'], 'Stage.batch' -> ['Stage.batch']."""
  import codemix.configurables  # noqa: F401 (registers what may be bound)

  configurable, _, parameter = name.replace('-', '_').rpartition('.')
  return [
    f'{last_name(selector)}.{parameter}'
    for selector, entry in gin.config._REGISTRY.items()
    if selector.startswith('codemix.') and configurable in ('', last_name(selector))
    and parameter in inspect.signature(entry.wrapped).parameters
  ]


def is_bound(name: str, parameter: str) -> bool:
  """Whether a file or flag binds a parameter of `name`, outside of any scope."""
  selector = gin.config._REGISTRY.get_match(name).selector
  return parameter in gin.config._CONFIG.get(('', selector), {})


def scopes_of(name: str, parameter: str) -> list[str]:
  """The scopes in which a file or flag binds a parameter of `name`, in their order."""
  selector = gin.config._REGISTRY.get_match(name).selector
  return [scope for scope, *rest in PLACES if scope and rest == [selector, parameter]]


def check_used() -> None:
  """Refuses a command-line binding that changed nothing of what was built, such as one with a mistyped scope.

  Raises:
    UserError: naming the binding and the nearest that would do something.
  """
  for key, place in PLACES.items():
    if place.file or has_effect(key):
      continue
    name = place.flag.rpartition('.')[0].removeprefix('codemix.') or place.flag
    built = _built()
    if key[1] == MACRO and (meant := bindings_of(name)):
      raise UserError(f'{place} has no effect: nothing refers to %{name}. Did you mean --gin.{meant[0]}?')
    if key[1] == MACRO and name in registered_names():
      raise UserError(f'{place} names no parameter: write --gin.{name}.PARAMETER=VALUE.')
    if bind := reference_wanted(key):
      raise UserError(f'{place} has no effect: {bind}')
    if name not in built:
      raise UserError(f"{place} has no effect: this run builds no '{name}'.{nearest(name, built)}")
    closer = sorted(spelled(other) for other in PLACES if other[1:] == key[1:] and has_effect(other))
    instead = f' Bind {" or ".join(closer[:4])}.' if closer else ''
    raise UserError(f"{place} has no effect: each '{name}' that this run builds has a value of its own.{instead}")


def shadowed() -> list[str]:
  """A warning for each line of the named files that changed nothing of what was built, after everything was."""
  return [
    f"{place}: {spelled(key)} has no effect: each '{last_name(key[1])}' that this run builds has a value of its own."
    for key, place in PLACES.items()
    if place.file in _NAMED and key[1] != MACRO and _is_built(*key[:2]) and not has_effect(key)
  ]


def _is_built(scope: str, selector: str) -> bool:
  """Whether something was built that takes its values from this scope."""
  name = f'{scope}/{last_name(selector)}'.lstrip('/')
  return name in _built() if scope else any(called == selector for _, called in gin.config._OPERATIVE_CONFIG)


def _built() -> set[str]:
  """The names of what was built, as bindings spell them."""
  built = set()
  for scope, selector in gin.config._OPERATIVE_CONFIG:
    name = scope if selector == MACRO else f'{scope}/{last_name(selector)}'.lstrip('/')
    # A scope around others is bound alone too.
    parts = name.split('/')
    built |= {name, *('/'.join((*parts[:count], parts[-1])) for count in range(len(parts) - 1))}
  return built


@contextlib.contextmanager
def _readable_errors() -> Iterator[None]:
  try:
    yield
  except Exception as error:
    raise build_error(error) from error
