"""gin: where files are found, what is bound, and errors that a person can act on."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gin

from codemix.errors import UserError, nearest


def gin_directory() -> Path:
  """The gin files that come with codemix: in the wheel inside the package, in a checkout beside it."""
  package = Path(__file__).resolve().parent
  shipped = package / 'gin_files'
  return shipped if shipped.is_dir() else package.parent / 'gin'


def parse(
  files: Sequence[str], bindings: Sequence[str], search_paths: Sequence[str] = ()
) -> None:
  """Reads gin files and bindings into the global gin configuration, replacing what was there.

  Args:
    files: paths, as they stand or under a search path, later ones win.
    bindings: 'Stage.batch = 8' each, over the files.
    search_paths: folders looked in before codemix's own.

  Raises:
    UserError: a file that is not found, a line that does not parse, or a
      binding of nothing that exists, with the nearest name that does.
  """
  import codemix.configurables  # noqa: F401 (registers what may be bound)

  gin.clear_config()
  gin.config._LOCATION_PREFIXES[:] = [*map(str, search_paths), '', str(gin_directory())]
  with readable_errors():
    gin.parse_config_files_and_bindings(
      [_existing(name, search_paths) for name in files], list(bindings), finalize_config=False
    )


def build(name: str, **given: Any) -> Any:
  """The configured object of a registered name, such as 'Study'.

  Args:
    given: values that gin need not bind.

  Raises:
    UserError: it lacks a value, or one of its values makes no sense.
  """
  with readable_errors():
    return gin.config._REGISTRY[_selector(name)].wrapper(**given)


def is_bound(name: str, parameter: str) -> bool:
  """Whether a file or flag binds a parameter of `name`, outside of any scope."""
  return parameter in gin.config._CONFIG.get(('', _selector(name)), {})


def check_used(bindings: Sequence[str]) -> None:
  """Refuses a command-line binding that changed nothing, such as one with a mistyped scope.

  Args:
    bindings: those of the command line, after everything was built.

  Raises:
    UserError: naming the binding and the nearest that would do something.
  """
  used = {
    f'{scope}/{selector.rsplit(".", 1)[-1]}'.lstrip('/') for scope, selector in gin.config._OPERATIVE_CONFIG
  }
  for binding in bindings:
    target = binding.split('=')[0].strip()
    name = target.rpartition('.')[0]
    if name and name.replace('codemix.', '') not in used:
      raise UserError(f"--gin.{target} has no effect: this run builds no '{name}'.{nearest(name, used)}")


@contextlib.contextmanager
def readable_errors() -> Iterator[None]:
  """Turns gin's errors into one line with the place and the nearest name."""
  try:
    yield
  except UserError:
    raise
  except (ValueError, TypeError, RuntimeError, SyntaxError, OSError, AttributeError, ImportError) as error:
    if cause := _user_error_within(error):
      raise cause from None
    raise UserError(_explain(error)) from error


def _user_error_within(error: BaseException | None) -> UserError | None:
  """gin re-raises what a constructor raised as a class of its own, keeping the cause."""
  while error is not None:
    if isinstance(error, UserError):
      return error
    error = error.__cause__ or error.__context__
  return None


def _explain(error: Exception) -> str:
  text = ' '.join(str(error).split())
  place = re.search(r'In (?:file|bindings string) "?([^"]*?)"?, line (\d+)', text)
  where = f'{place[1]}, line {place[2]}: ' if place else ''
  if found := re.search(r"No configurable matching '([^']+)'", text):
    names = [selector.rsplit('.', 1)[-1] for selector in _registered()]
    return f"{where}gin knows no '{found[1]}'.{nearest(found[1].rsplit('.', 1)[-1], names)}"
  if found := re.search(r"Configurable '([^']+)' doesn't have a parameter(?: named)? '([^']+)'", text):
    owner, parameter = found[1], found[2]
    return f"{where}{owner.rsplit('.', 1)[-1]} has no parameter '{parameter}'.{nearest(parameter, _parameters(owner))}"
  if found := re.search(r"missing \d+ required (?:positional |keyword-only )?arguments?: (.+?)(?: No values| In call|$)", text):
    owner = re.search(r"In call to configurable '(\w+)'", text)
    scope = re.search(r"in scope '([\w/]+)'", text)
    name = f'{scope[1] + "/" if scope else ""}{owner[1]}' if owner else 'a configurable'
    return f'{name} lacks a value for {found[1].strip()}. Bind it in a gin file, or with --gin.{name}.NAME=VALUE.'
  if found := re.search(r"[Uu]nable to open file: (\S+)", text):
    return f'{where}the gin file {found[1].rstrip(".")} is not found.'
  return f'gin: {text}'


def _existing(name: str, search_paths: Sequence[str]) -> str:
  folders = [*map(Path, search_paths), Path(), gin_directory()]
  for folder in folders:
    if (folder / name).is_file():
      return str(folder / name)
  shipped = [str(path.relative_to(gin_directory())) for path in gin_directory().rglob('*.gin')]
  raise UserError(
    f"the gin file '{name}' is not found in {', '.join(map(str, folders))}.{nearest(name, shipped)}"
  )


def _parameters(selector: str) -> list[str]:
  return list(inspect.signature(gin.config._REGISTRY[_selector(selector)].wrapped).parameters)


def _registered() -> list[str]:
  return [selector for selector, _ in gin.config._REGISTRY.items() if not selector.startswith('gin.')]


def _selector(name: str) -> str:
  return gin.config._REGISTRY.get_match(name).selector
