"""One process per folder: locks that end with the process, leases in a bucket."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from codemix.errors import FolderUnavailable
from codemix.storage.folders import make_folder, writing
from codemix.storage.holder import Holder
from codemix.storage.paths import as_path, is_remote
from codemix.terminal import warn_once

LOCK_FILES = ('.lock', '.lease')

# A process that asks who holds a lock (`holder`) holds it for an instant, which is not to be taken for another's work.
_TRIES, _PAUSE_S = 5, 0.05

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
    file = open(folder / '.lock', 'a')  # noqa: SIM115 (held open for as long as the lock); not emptied while another one holds it
  with file:
    try:
      held = _is_held_by_another(file)
    except OSError as error:
      if error.errno not in _NO_LOCKS:
        raise
      held = False
      warn_once(f'the file system of {folder} has no locks ({error.strerror}): nothing keeps a second process from {doing} there. Start only one')
    if held:
      raise _is_locked(folder, doing)
    _sign(file, doing)
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


def holder(folder: Path) -> Holder | None:
  """The process that works in a folder; None if none does, or if the file system has no locks. It only reads."""
  folder = as_path(folder)
  if is_remote(folder):
    from codemix.storage.lease import lease_holder

    return lease_holder(folder)
  with contextlib.suppress(OSError), open(folder / '.lock', encoding='utf-8', errors='replace') as file:
    if _is_held(file, fcntl.LOCK_SH):
      return _signed(file.read())
  return None


def _sign(file: IO, doing: str) -> None:
  """Writes who holds a lock into its file, for those who ask; on a full disk the lock holds without it."""
  from codemix.storage.lease import this_process

  with contextlib.suppress(OSError):
    os.ftruncate(file.fileno(), 0)
    os.write(file.fileno(), json.dumps({**this_process(), 'doing': doing}).encode())


def _signed(text: str) -> Holder:
  from codemix.storage.lease import named

  with contextlib.suppress(ValueError, RecursionError):
    if isinstance(owner := json.loads(text), dict):
      return Holder(str(owner.get('doing', '')), named(owner))
  return Holder('', '')  # of an earlier codemix, or just being written


def _is_held_by_another(file: IO) -> bool:
  """Takes the lock of an open file; returns whether another process holds it. Raises OSError where there are no locks."""
  for _ in range(_TRIES):
    if not _is_held(file, fcntl.LOCK_EX):
      return False
    time.sleep(_PAUSE_S)
  return True


def _is_held(file: IO, kind: int) -> bool:
  """Takes a lock on an open file, unless another process holds one. Raises OSError where there are no locks."""
  try:
    fcntl.flock(file, kind | fcntl.LOCK_NB)
  except OSError as error:
    if error.errno in (errno.EWOULDBLOCK, errno.EACCES):  # EACCES: on NFS
      return True
    raise
  return False


def _is_locked(folder: Path, doing: str) -> FolderUnavailable:
  return FolderUnavailable(f'another process is {doing} in {folder}. Wait for it, or choose another folder.')
