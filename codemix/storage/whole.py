"""Files that are either whole or absent."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from codemix.storage.folders import make_folder, writing
from codemix.storage.held import is_held, require_held, write_held
from codemix.storage.paths import as_path, is_remote


def write_bytes(path: Path, data: bytes) -> None:
  """Writes a file atomically.

  On a disk: to a temporary file beside it, synced, then renamed to `path`. In a bucket: as one put, below a folder that is locked
  on condition that this process still has the lock (`held`).
  """
  path = as_path(path)
  if is_remote(path):
    with writing(path, len(data)):
      write_held(path, data) if is_held(path) else path.fs.pipe_file(path.path, data)
    return
  # Processes of several machines may write one file at once, and have equal numbers.
  part = path.with_name(f'.{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part')
  make_folder(path.parent)
  with writing(path, len(data)):
    try:
      with open(part, 'wb') as file:
        file.write(data)
        sync(file)
      os.replace(part, path)
    finally:
      part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
  """`write_bytes` of UTF-8 text."""
  write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
  """`write_bytes` of JSON, indented for people; keys keep their order."""
  write_text(path, json.dumps(value, indent=1, allow_nan=False) + '\n')


def put(local: Path, path: Path) -> None:
  """Uploads a local file to a bucket, where it is whole or absent."""
  with writing(path, local.stat().st_size):
    require_held(path)
    path.fs.put_file(str(local), path.path)


def put_folder(local: Path, folder: Path, last: str) -> None:
  """Uploads the files below a local folder to a folder of a bucket, which is removed again if that fails.

  Args:
    last: the file that is put after all others: a reader that finds it finds a whole folder.
  """
  files = sorted(path.relative_to(local).as_posix() for path in local.rglob('*') if path.is_file())
  try:
    for name in sorted(files, key=lambda name: name == last):
      put(local / name, folder / name)
  except BaseException:
    with contextlib.suppress(Exception):  # of a bucket that does not answer
      remove(folder)
    raise


def move(path: Path, to: Path) -> None:
  """Moves a file within a disk or a bucket; in a bucket `to` is there before `path` is gone."""
  if is_remote(path):
    require_held(path)
    path.fs.mv(path.path, to.path)
  else:
    os.replace(path, to)


def sync(file: IO) -> None:
  """Flushes an open file to the disk, if its file system can."""
  file.flush()
  try:
    os.fsync(file.fileno())
  except OSError as error:
    if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
      raise


def remove(path: Path) -> None:
  """Removes a file or a folder with its contents, if it exists."""
  if is_remote(path):
    require_held(path)
    with contextlib.suppress(FileNotFoundError):
      path.fs.rm(path.path, recursive=True)
  elif path.is_dir() and not path.is_symlink():
    shutil.rmtree(path)
  else:
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def local_copy(path: Path) -> Iterator[Path]:
  """A file for libraries that open local files alone: `path` itself, or a temporary copy of an object of a bucket."""
  if not is_remote(path):
    yield path
    return
  with tempfile.TemporaryDirectory(prefix='codemix-') as folder:
    copy = Path(folder) / path.name
    copy.write_bytes(path.read_bytes())
    yield copy
