"""Files that are either whole or absent."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import IO

from codemix.files.folders import make_folder, writing


def write_bytes(path: Path, data: bytes) -> None:
  """Writes a file atomically: to a temporary file beside it, synced, then renamed to `path`."""
  path = Path(path)
  part = path.with_name(f'.{path.name}.{os.getpid()}.part')
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
  if path.is_dir() and not path.is_symlink():
    shutil.rmtree(path)
  else:
    path.unlink(missing_ok=True)
