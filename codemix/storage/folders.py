"""Folders that can be written, and errors of storage that say what to do."""

from __future__ import annotations

import contextlib
import errno
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from codemix.errors import FolderUnavailable, UserError
from codemix.storage.outages import naming_outages
from codemix.storage.paths import as_path, is_remote

_FIXES = {
  errno.ENOSPC: 'the disk is full',
  errno.EDQUOT: 'the disk quota is used up',
  errno.EROFS: 'the file system is read-only',
  errno.EACCES: 'permission is denied',
  errno.EPERM: 'permission is denied',
}

# Only when a folder is made: at any other time these are bugs.
_NO_FOLDER = {
  errno.ENOENT: 'the system makes no folder there',
  errno.ENOTDIR: 'a part of the path is a file, not a folder',
  errno.EEXIST: 'a file of that name exists',
  errno.ENAMETOOLONG: 'a name in it is too long',
  errno.ELOOP: 'its links lead in a circle',
}


@contextlib.contextmanager
def writing(path: Path, needed_bytes: int | None = None) -> Iterator[None]:
  """Turns a full disk or a missing permission in this context into a FolderUnavailable, a UserError, that names `path`.

  Raises StorageUnavailable: the bucket of `path` did not answer.

  Args:
    path: what is being written.
    needed_bytes: its size, if known.
  """
  try:
    with naming_outages(path):
      yield
  except OSError as error:
    if error.errno not in _FIXES:
      raise
    message = f'cannot write {path}: {_FIXES[error.errno]}'
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
      raise FolderUnavailable(f'{message}. Choose another folder, or change its permissions.') from error
    if needed_bytes:
      message += f'; about {needed_bytes / 2**20:,.0f} MiB are needed'
    if not is_remote(path):  # else it is the disk of a client's temporary files
      with contextlib.suppress(OSError):
        message += f', {shutil.disk_usage(_existing(path)).free / 2**20:,.0f} MiB are free'
    raise FolderUnavailable(f'{message}. Free some space and run the same command again; nothing saved before is lost.') from error


def make_folder(folder: Path) -> None:
  """Makes a folder and its parents, unless they exist; in a bucket, names have no folders, and nothing is made.

  Raises UserError: the path cannot be a folder, or this user may not make it.
  """
  folder = as_path(folder)
  if is_remote(folder):
    return
  with writing(folder):
    try:
      folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      if error.errno not in _NO_FOLDER:
        raise
      raise UserError(f'cannot write {folder}: {_NO_FOLDER[error.errno]}. Choose another folder.') from None


def require_writable(folder: Path, needed_bytes: int, keep_folders: bool = True) -> None:
  """Makes `folder`, writes a probe into it, and checks the free space, which a bucket always has.

  Raises UserError: it cannot be written, or has less than `needed_bytes` free.

  Args:
    keep_folders: False removes the folders that did not exist before.
  """
  folder = as_path(folder)
  if is_remote(folder):
    with writing(folder):
      path = (folder / f'.probe-{secrets.token_hex(8)}')
      path.fs.pipe_file(path.path, b'codemix')
      path.fs.rm_file(path.path)
    return
  new = [] if keep_folders else [path for path in (folder, *folder.parents) if not path.exists()]
  try:
    make_folder(folder)
    with writing(folder, needed_bytes), tempfile.TemporaryFile(dir=folder) as probe:
      probe.write(b'codemix')
      probe.flush()
    free = shutil.disk_usage(folder).free
  finally:
    with contextlib.suppress(OSError):  # another process may have written into one
      for path in new:
        path.rmdir()
  if free < needed_bytes:
    raise FolderUnavailable(
      f'{folder} has {free / 2**20:,.0f} MiB free, and about {needed_bytes / 2**20:,.0f} MiB are needed. '
      'Free some space, or choose another folder.'
    )


def _existing(path: Path) -> Path:
  """The nearest folder at or above `path` that exists."""
  path = Path(path).absolute()
  return path if path.is_dir() else _existing(path.parent)
