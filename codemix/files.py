"""Files that are either whole or absent, and errors that name the path and the mend."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from codemix.errors import UserError

_MEND = {
  errno.ENOSPC: 'the disk is full',
  errno.EDQUOT: 'the disk quota is used up',
  errno.EROFS: 'the file system is read-only',
  errno.EACCES: 'permission is denied',
  errno.EPERM: 'permission is denied',
}

# Only where a folder is to be made: at any other time these would be faults of ours.
_NO_FOLDER = {
  errno.ENOENT: 'the system makes no folder there',
  errno.ENOTDIR: 'a part of the path is a file and no folder',
  errno.EEXIST: 'a file of that name is in the way',
  errno.ENAMETOOLONG: 'a name in it is too long',
  errno.ELOOP: 'its links lead in a circle',
}


@contextlib.contextmanager
def writing(path: Path, needed_bytes: int | None = None) -> Iterator[None]:
  """Turns "no room" and "not allowed" below into a UserError that names `path`.

  Args:
    path: what is being written.
    needed_bytes: the room it wants, if that is known.
  """
  try:
    yield
  except OSError as error:
    raise write_error(error, path, needed_bytes) from error


def write_error(error: OSError, path: Path, needed_bytes: int | None = None) -> Exception:
  """The UserError for a failed write, or `error` itself where the user cannot mend it."""
  if error.errno not in _MEND:
    return error
  message = f'cannot write {path}: {_MEND[error.errno]}'
  if error.errno in (errno.ENOSPC, errno.EDQUOT):
    if needed_bytes:
      message += f'; about {needed_bytes / 2**20:,.0f} MiB are needed'
    with contextlib.suppress(OSError):
      message += f', {shutil.disk_usage(_existing(path)).free / 2**20:,.0f} MiB are free'
    return UserError(message + '. Free some space and run the same command again; nothing saved before is lost.')
  return UserError(message + '. Choose another folder, or change its permissions.')


def make_folder(folder: Path) -> None:
  """Makes a folder and those above it, where they are not there.

  Raises:
    UserError: there can be none, or this user may not make it.
  """
  with writing(folder):
    try:
      folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      if error.errno not in _NO_FOLDER:
        raise
      raise UserError(f'cannot write {folder}: {_NO_FOLDER[error.errno]}. Choose another folder.') from None


def require_writable(folder: Path, needed_bytes: int) -> None:
  """Creates `folder`, writes a probe into it, and checks that there is room.

  Raises:
    UserError: it cannot be written, or has less than `needed_bytes` free.
  """
  make_folder(folder)
  with writing(folder, needed_bytes), tempfile.TemporaryFile(dir=folder) as probe:
    probe.write(b'codemix')
    probe.flush()
  free = shutil.disk_usage(folder).free
  if free < needed_bytes:
    raise UserError(
      f'{folder} has {free / 2**20:,.0f} MiB free, and about {needed_bytes / 2**20:,.0f} MiB are needed. '
      'Free some space, or choose another folder.'
    )


def write_bytes(path: Path, data: bytes) -> None:
  """Writes a file whole or not at all: to a neighbour, synced, then renamed over `path`."""
  path = Path(path)
  neighbour = path.with_name(f'.{path.name}.{os.getpid()}.part')
  make_folder(path.parent)
  with writing(path, len(data)):
    try:
      with open(neighbour, 'wb') as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
      os.replace(neighbour, path)
    finally:
      neighbour.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
  """`write_bytes` of UTF-8 text."""
  write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
  """`write_bytes` of indented JSON; keys keep their order, so that a person can read it."""
  write_text(path, json.dumps(value, indent=1, allow_nan=False) + '\n')


def read_json(path: Path) -> dict:
  """Reads a JSON file.

  Raises:
    UserError: it is missing or is no JSON.
  """
  try:
    return json.loads(Path(path).read_text())
  except FileNotFoundError:
    raise UserError(f'{path} does not exist.') from None
  except (json.JSONDecodeError, UnicodeDecodeError) as error:
    raise UserError(f'{path} is damaged: {error}.') from None


@contextlib.contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
  """Holds `folder` for this process; the lock goes with the process, however it ends.

  Raises:
    UserError: another live process holds it.
  """
  make_folder(folder)
  with writing(folder):
    file = open(folder / '.lock', 'w')  # noqa: SIM115 (held open for as long as the lock)
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise UserError(
        f'another process is {doing} in {folder}. Wait for it, or choose another folder.'
      ) from None
    yield


@functools.cache
def warn_once(message: str) -> None:
  """Says something to stderr, the first time that it is to be said; the processes that this one starts leave it to this one."""
  if multiprocessing.parent_process() is None:
    print(f'warning: {message}', file=sys.stderr, flush=True)


def _existing(path: Path) -> Path:
  """The nearest folder above `path` that exists."""
  path = Path(path).absolute()
  return path if path.is_dir() else _existing(path.parent)
