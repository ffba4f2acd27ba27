"""What other machines install to run the codemix of this one."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

from codemix.errors import CodemixError, UserError

ROOT = Path(__file__).resolve().parents[2]


def package(given: str | None, extras: str, into: Path, build: bool = True) -> tuple[str, Path | None]:
  """What pip installs in a folder that has the returned wheel, if there is one.

  Raises UserError if `given` is a wheel that does not exist, and CodemixError if no wheel can be built.

  Args:
    given: a wheel, or a requirement such as 'codemix[tpu,gcs]==0.1.0'; None for this codemix: a wheel of the checkout, or the
      version that is installed.
    extras: of codemix, for a wheel: 'tpu,gcs'.
    into: a folder for a wheel that is built.
    build: False only names it.
  """
  if given is None:
    if not (ROOT / 'pyproject.toml').is_file():
      return f'codemix[{extras}]=={importlib.metadata.version("codemix")}', None
    wheel = _built(into) if build else into / f'codemix-{importlib.metadata.version("codemix")}-py3-none-any.whl'
  elif not given.endswith('.whl'):
    return given, None
  elif not (wheel := Path(given)).is_file():
    raise UserError(f'--package={given} does not exist.')
  return f'./{wheel.name}[{extras}]', wheel


def _built(into: Path) -> Path:
  words = [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', f'--wheel-dir={into}', str(ROOT)]
  ran = subprocess.run(words, capture_output=True, text=True, check=False)
  if ran.returncode:
    raise CodemixError(f'no wheel of codemix can be built from {ROOT}: {ran.stderr.strip().splitlines()[-1]}')
  return next(into.glob('codemix-*.whl'))


def constraints() -> str:
  """The versions of this machine's libraries, for `pip install --constraint`: the others then have the same."""
  found = {each.metadata['Name']: each.version for each in importlib.metadata.distributions()}
  # A version with a '+' is of one machine's own build.
  return ''.join(f'{name}=={version}\n' for name, version in sorted(found.items()) if name.lower() != 'codemix' and '+' not in version)


def python_version() -> str:
  """This Python's, such as '3.12': the constraints are for it."""
  return f'{sys.version_info.major}.{sys.version_info.minor}'
