"""Files that are either whole or absent, and errors that name the path and the fix."""

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
from types import UnionType
from typing import IO, Any, get_args

from codemix.errors import UserError

_FIXES = {
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
  """The UserError for a failed write, or `error` itself where the user cannot fix it."""
  if error.errno not in _FIXES:
    return error
  message = f'cannot write {path}: {_FIXES[error.errno]}'
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


def require_writable(folder: Path, needed_bytes: int, keep_folders: bool = True) -> None:
  """Creates `folder`, writes a probe into it, and checks that there is room.

  Args:
    keep_folders: False removes again what folders there were not before.

  Raises:
    UserError: it cannot be written, or has less than `needed_bytes` free.
  """
  new = [] if keep_folders else [path for path in (folder, *folder.parents) if not path.exists()]
  try:
    make_folder(folder)
    with writing(folder, needed_bytes), tempfile.TemporaryFile(dir=folder) as probe:
      probe.write(b'codemix')
      probe.flush()
    free = shutil.disk_usage(folder).free
  finally:
    with contextlib.suppress(OSError):  # one that holds something by now stays
      for path in new:
        path.rmdir()
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
        sync(file)
      os.replace(neighbour, path)
    finally:
      neighbour.unlink(missing_ok=True)


def sync(file: IO) -> None:
  """Returns when what was written is on the disk, as far as the file system knows."""
  file.flush()
  try:
    os.fsync(file.fileno())
  except OSError as error:
    if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
      raise


def write_text(path: Path, text: str) -> None:
  """`write_bytes` of UTF-8 text."""
  write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
  """`write_bytes` of indented JSON; keys keep their order, so that a person can read it."""
  write_text(path, json.dumps(value, indent=1, allow_nan=False) + '\n')


def read_json(path: Path, form: object = dict, fix: str = 'Restore it.') -> Any:
  """Reads a JSON file, and checks that it is of the form that its readers count on.

  Args:
    form: as of `require_form`.
    fix: what the user should do where it is not.

  Raises:
    UserError: it is missing, may not be read, is not JSON, or is of another form.
  """
  try:
    value = json.loads(Path(path).read_text(encoding='utf-8'))
  except FileNotFoundError:
    raise UserError(f'{path} does not exist.') from None
  except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
    raise UserError(f'{path} cannot be read: {error.strerror}.') from None
  except (ValueError, RecursionError) as error:
    raise UserError(f'{path} is damaged: {error}. {fix}') from None
  require_form(value, form, path, fix)
  return value


def require_form(value: object, form: object, path: Path, fix: str = 'Restore it.') -> None:
  """Checks plain data that were read.

  Args:
    form: a type, or several joined by |; {key: form} for an object that has these keys and may have
      more, {...: form} for one whose values are all of a form; [form] for a list of such.
    path: where they come from, for the error.
    fix: what the user should do.

  Raises:
    UserError: naming the first place that is of another form.
  """
  if misfit := next(_misfits(value, form, ''), None):
    raise UserError(f'{path} is damaged: {misfit}. {fix}')


def _misfits(value: object, form: object, where: str) -> Iterator[str]:
  kind = type(form) if isinstance(form, dict | list) else form
  if not _is_of(value, kind):
    yield f'{where or "it"} is {_NAMES.get(type(value), "null")}, not {" or ".join(_NAMES[k] for k in get_args(kind) or [kind])}'
  elif isinstance(form, list):
    for number, inner in enumerate(value):
      yield from _misfits(inner, form[0], f'{where}[{number}]')
  elif isinstance(form, dict):
    for key, below in form.items():
      for name in value if key is ... else [key]:
        at = f'{where}.{name}' if where else str(name)
        yield from _misfits(value[name], below, at) if name in value else [f'{at} is missing']


def _is_of(value: object, kind: type | UnionType) -> bool:
  if isinstance(value, bool):  # which Python takes for a number
    return bool in (get_args(kind) or [kind])
  return isinstance(value, int | float) if kind is float else isinstance(value, kind)


_NAMES = {dict: 'an object', list: 'a list', str: 'a string', int: 'a whole number', float: 'a number', bool: 'true or false', type(None): 'null'}

# What `flock` says on file systems that have none: NFS without its lock daemon, some of Lustre, FUSE and 9p.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


@contextlib.contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
  """Holds `folder` for this process; the lock goes with the process, however it ends.

  Where the file system has no locks, it warns and goes on: files are whole all the same, and whoever
  has such a disk alone could run nothing there.

  Raises:
    UserError: another live process holds it.
  """
  make_folder(folder)
  with writing(folder):
    file = open(folder / '.lock', 'w')  # noqa: SIM115 (held open for as long as the lock)
  with file:
    try:
      held = _is_held(file, fcntl.LOCK_EX)
    except OSError as error:
      if error.errno not in _NO_LOCKS:
        raise
      held = False
      warn_once(f'the file system of {folder} has no locks ({error.strerror}): nothing keeps a second process from {doing} there. Start only one')
    if held:
      raise _is_locked(folder, doing)
    yield


def require_unlocked(folder: Path, doing: str) -> None:
  """Says in advance what `locked` would raise; changes nothing.

  Raises:
    UserError: another live process holds it.
  """
  with contextlib.suppress(OSError), open(folder / '.lock') as file:
    if _is_held(file, fcntl.LOCK_SH):  # else it is ours, and goes with the file
      raise _is_locked(folder, doing)


def _is_held(file: IO, kind: int) -> bool:
  """Takes a lock on an open file, unless another process holds one. Raises OSError where there are no locks."""
  try:
    fcntl.flock(file, kind | fcntl.LOCK_NB)
  except OSError as error:
    if error.errno in (errno.EWOULDBLOCK, errno.EACCES):  # EACCES: on NFS
      return True
    raise
  return False


def _is_locked(folder: Path, doing: str) -> UserError:
  return UserError(f'another process is {doing} in {folder}. Wait for it, or choose another folder.')


@functools.cache
def warn_once(message: str) -> None:
  """Prints a warning to stderr, once per message; worker processes print none, since their parent does."""
  if multiprocessing.parent_process() is None:
    print(f'warning: {message}', file=sys.stderr, flush=True)


def _existing(path: Path) -> Path:
  """The nearest folder above `path` that exists."""
  path = Path(path).absolute()
  return path if path.is_dir() else _existing(path.parent)
