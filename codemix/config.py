"""gin: where files are found, what is bound, and a refusal of whatever would have no effect."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gin
from codemix.errors import UserError, nearest
from codemix.gin_errors import user_error


def gin_directory() -> Path:
  """The gin files that come with codemix: in the wheel inside the package, in a checkout beside it."""
  package = Path(__file__).resolve().parent
  shipped = package / 'gin_files'
  return shipped if shipped.is_dir() else package.parent / 'gin'


def parse(files: Sequence[str], bindings: Sequence[str], search_paths: Sequence[str] = ()) -> None:
  """Reads gin files and bindings into the global gin configuration, replacing what was there.

  Args:
    files: paths, as they stand or under a search path; later ones win.
    bindings: 'Stage.batch = 8' each, over the files.
    search_paths: folders looked in before codemix's own.

  Raises:
    UserError: a file that is not found, a line that does not parse, or a
      binding of nothing that exists, with the nearest name that does.
  """
  import codemix.configurables  # noqa: F401 (registers what may be bound)

  gin.clear_config()
  gin.config._LOCATION_PREFIXES[:] = ['', *map(str, search_paths), str(gin_directory())]
  for name in files:
    with _readable_errors():
      gin.parse_config_file(_find(name, search_paths))
  for binding in bindings:
    with _readable_errors(binding.split('=')[0].strip()):
      gin.parse_config(binding)


def build(name: str, /, **given: Any) -> Any:
  """The configured object of a registered name, such as 'Study'.

  Args:
    given: values that gin need not bind.

  Raises:
    UserError: it lacks a value, or one of its values makes no sense.
  """
  with _readable_errors():
    return gin.config._REGISTRY.get_match(name).wrapper(**given)


def is_bound(name: str, parameter: str) -> bool:
  """Whether a file or flag binds a parameter of `name`, outside of any scope."""
  selector = gin.config._REGISTRY.get_match(name).selector
  return parameter in gin.config._CONFIG.get(('', selector), {})


def check_used(bindings: Sequence[str]) -> None:
  """Refuses a command-line binding that changed nothing, such as one with a mistyped scope.

  Args:
    bindings: those of the command line, after everything was built.

  Raises:
    UserError: naming the binding and the nearest that would do something.
  """
  used = set()
  for scope, selector in gin.config._OPERATIVE_CONFIG:
    used.add(scope if selector == 'gin.macro' else f'{scope}/{selector.rsplit(".", 1)[-1]}'.lstrip('/'))
  # A scope within scopes is bound by its last part: text_only/text/Stage by text/Stage.
  used |= {'/'.join(name.split('/')[first:]) for name in used for first in range(name.count('/') + 1)}
  for binding in bindings:
    target = binding.split('=')[0].strip()
    name = target.rpartition('.')[0].removeprefix('codemix.') or target
    if name not in used:
      raise UserError(f"--gin.{target} has no effect: this run builds no '{name}'.{nearest(name, used)}")


@contextlib.contextmanager
def _readable_errors(flag: str | None = None) -> Iterator[None]:
  try:
    yield
  except Exception as error:
    raise user_error(error, flag) from error


def _find(name: str, search_paths: Sequence[str]) -> str:
  folders = [Path(), *map(Path, search_paths), gin_directory()]
  for folder in folders:
    if (folder / name).is_file():
      return str(folder / name)
  shipped = [str(path.relative_to(gin_directory())) for path in gin_directory().rglob('*.gin')]
  raise UserError(
    f"the gin file '{name}' is not found in {', '.join(map(str, folders))}.{nearest(name, shipped, '.gin')}"
  )
