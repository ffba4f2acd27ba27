"""One process per folder: locks that end with the process, leases in a bucket."""

from __future__ import annotations

import contextlib
import errno
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from codemix.errors import UserError
from codemix.storage.folders import make_folder, writing
from codemix.storage.paths import as_path, is_remote
from codemix.terminal import warn_once

LOCK_FILES = ('.lock', '.lease')

# `flock` fails with these on file systems without locks: NFS without its lock daemon, some of Lustre, FUSE and 9p.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


@contextlib.contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
  """Locks `folder` for this process; the lock ends with the process, however it ends.

  If the file system has no locks, it warns and continues: files are still whole, and some users have no
  other disk.

  Raises UserError: another live process holds it.

  Args:
    doing: what this process does there, for the messages, such as 'training'.
  """
  folder = as_path(folder)
  if is_remote(folder):
    from codemix.storage.lease import leased

    with leased(folder, doing):
      yield
    return
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
  """Raises what `locked` would raise, without taking the lock.

  Raises UserError: another live process holds it.
  """
  folder = as_path(folder)
  if is_remote(folder):
    from codemix.storage.lease import require_unleased

    return require_unleased(folder, doing)
  with contextlib.suppress(OSError), open(folder / '.lock') as file:
    if _is_held(file, fcntl.LOCK_SH):  # a lock that it takes ends with the file
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
