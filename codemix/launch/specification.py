"""A run on machines that this one cannot see into: what launchers share."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from codemix.errors import UserError
from codemix.launch.accelerators import Gpus, Tpus

BUCKETS = ('gs://', 's3://')
PORT = 9911  # of process 0
_NAME = re.compile(r'[a-z]([-a-z0-9]{0,38}[a-z0-9])?')
_VARIABLE = re.compile(r'[A-Za-z_][A-Za-z0-9_]*')
MOST_BYTES = 64_000  # of gin files: XPK takes the script as one argument, of at most 128 KiB, in base64


@dataclasses.dataclass(frozen=True)
class Specification:
  """A run, whatever starts it.

  Attributes:
    name: of the machines and jobs that are made for it.
    accelerators: what it trains on.
    gin_arguments: its gin flags; files are named from the working folder.
    files: the user's gin files: text by path from the working folder.
    environment: variables of every process; no secrets.
    secrets: names of variables whose values no command line, manifest or log shows.
    restarts: how often it is started again, at most.
    spot: whether the machines may be taken away at any time, at a lower price.
  """

  name: str
  accelerators: Tpus | Gpus
  gin_arguments: Sequence[str]
  files: Mapping[str, str] = dataclasses.field(default_factory=dict)
  environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
  secrets: Sequence[str] = ()
  restarts: int = 20
  spot: bool = False

  def __post_init__(self):
    if not _NAME.fullmatch(self.name):
      raise UserError(f"--name is '{self.name}'; it has at most 40 lower-case letters, digits and hyphens, begins with a letter, and does not end with a hyphen.")
    for secret in self.secrets:
      if not _VARIABLE.fullmatch(secret):
        raise UserError(f"--secret is '{secret.partition('=')[0]}...'; it is the name of a variable, such as --secret=HF_TOKEN, without its value.")
    if (size := sum(map(len, self.files.values()))) > MOST_BYTES:
      raise UserError(f"the run's gin files have {size:,} characters, and are sent with the job if they have at most {MOST_BYTES:,}: put some into the image or the package.")

  def script(self, processes: str = '', before: Sequence[str] = ()) -> str:
    """The program of each process: writes the gin files, sets the variables, and becomes `codemix study`.

    Args:
      processes: flags that say which process it is, in words of a shell; '' if JAX finds the others by itself.
      before: lines that come first.
    """
    return '\n'.join(
      [
        '#!/bin/bash',
        '# Written by `codemix launch`: what each process of the run runs.',
        'set -eu',
        *before,
        'cd "${CODEMIX_FOLDER:-$(mktemp -d)}"',
        *(line for path, text in sorted(self.files.items()) for line in _written(path, text)),
        *(f'export {name}={shlex.quote(value)}' for name, value in self.environment.items()),
        # So that signals reach it, and its exit code is that of the script.
        f'exec python3 -m codemix study {shlex.join(self.gin_arguments)} {processes}'.rstrip(),
        '',
      ]
    )


def _written(path: str, text: str) -> list[str]:
  """The lines that write a file."""
  end = 'END_OF_FILE'
  while end in text.splitlines():
    end += '_'
  folder = str(PurePosixPath(path).parent)
  made = [f'mkdir -p {shlex.quote(folder)}'] if folder != '.' else []
  return [*made, f"cat > {shlex.quote(path)} <<'{end}'", *text.splitlines(), end]


def peers(coordinator: str, count: str, number: str) -> str:
  """Flags of a process that is told who the others are, in words of a shell."""
  return f'--coordinator_address={coordinator}:{PORT} --num_processes={count} --process_id={number}'


def require_bucket(name: str, value: str | None) -> None:
  """Raises UserError if a folder is on this machine only."""
  if value is None or not value.startswith(BUCKETS):
    what = 'is not bound' if value is None else f"is '{value}', a folder of this machine"
    raise UserError(f"{name} {what}; the machines that train do not see it. Bind a bucket: --gin.{name}=\"'gs://BUCKET/FOLDER'\".")


def name_of(study: str) -> str:
  """A name for the machines of a study."""
  plain = re.sub(r'[^a-z0-9]+', '-', study.lower()).strip('-')
  return (plain if plain[:1].isalpha() else f'codemix-{plain}')[:40].strip('-')


def own_files(paths: Sequence[str]) -> dict[str, str]:
  """Text of the user's gin files by their paths from the working folder, where the machines look for them.

  Raises UserError if one is elsewhere.
  """
  files = {}
  for path in paths:
    inside = _inside(path)
    if inside is None:
      raise UserError(f"{path} is outside of the working folder, {Path.cwd()}, and cannot be sent with the job: start from a folder that has all gin files of the run.")
    files[inside] = Path(path).read_text(encoding='utf-8')
  return files


def from_working_folder(arguments: Sequence[str]) -> list[str]:
  """gin flags in which files and search paths of the working folder are named from there."""
  named = []
  for argument in arguments:
    flag, _, value = argument.partition('=')
    if flag == '--gin_file':
      value = _relative(value)
    elif flag == '--gin_search_paths':
      value = ','.join(_relative(path) for path in value.split(','))
    named.append(f'{flag}={value}')
  return named


def _relative(path: str) -> str:
  return (_inside(path) or path) if os.path.isabs(os.path.expanduser(path)) else path


def _inside(path: str) -> str | None:
  """A path from the working folder; None if it is not inside."""
  absolute = Path(os.path.normpath(Path.cwd() / Path(path).expanduser()))
  return absolute.relative_to(Path.cwd()).as_posix() if absolute.is_relative_to(Path.cwd()) else None
