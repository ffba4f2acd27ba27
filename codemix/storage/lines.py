"""Append-only files of lines.

On a disk, one file. An object of a bucket cannot be appended to: there, `metrics.jsonl` is a row of numbered parts,
`metrics.jsonl.000000`, `.000001`, ... of whole lines. The last part is put again with each flush until it has `PART_BYTES`.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from codemix.storage.folders import make_folder, writing
from codemix.storage.paths import is_remote
from codemix.storage.whole import remove, sync, write_bytes

PART_BYTES = 2**20
TAIL_BYTES = 2**16
PUT_EVERY_S = 10.0  # lines that come faster are put together; GCS takes one write of an object a second

Keep = Callable[[bytes, str], bool]  # (a whole line, its place as FILE:NUMBER) -> whether it stays, and those after it are looked at


class Lines(Protocol):
  """An open append-only file."""

  def append(self, lines: Iterable[str]) -> None:
    """Adds lines without their ends; readers of a disk see them at once, those of a bucket within `PUT_EVERY_S`."""

  def flush(self) -> None:
    """Makes all lines durable."""

  def close(self) -> None:
    """Flushes, and closes the file also where that fails."""


def open_lines(path: Path, keep: Keep = lambda line, place: True) -> Lines:
  """Opens a file to append to it, without half a line that a killed process left at its end.

  Args:
    keep: the first line for which it is False is removed with all that follow.
  """
  with writing(path):
    return _Parts(path, keep) if is_remote(path) else _File(path, keep)


def read_lines(path: Path) -> bytes | None:
  """All that was appended; None: there is no such file. The last line may be cut off on a disk."""
  if not is_remote(path):
    return path.read_bytes() if path.exists() else None
  parts = [part.read_bytes() for part in _parts(path)]
  return b''.join(parts) if parts else None


def read_tail(path: Path, size: int = TAIL_BYTES) -> list[bytes]:
  """The last whole lines of what was appended, about `size` bytes of them, without their ends; [] without a file."""
  if is_remote(path):
    content = b''.join(part.read_bytes() for part in _parts(path)[-2:])
    cut = False
  else:
    try:
      with open(path, 'rb') as file:
        end = file.seek(0, os.SEEK_END)
        begin = max(end - size, 0)
        file.seek(begin)
        content, cut = file.read(), begin > 0
    except FileNotFoundError:
      return []
  lines = content.split(b'\n')[:-1]  # what follows the last end is still being written
  return lines[1:] if cut else lines


class _File:
  def __init__(self, path: Path, keep: Keep):
    self._path = path
    make_folder(path.parent)
    if path.exists():
      with open(path, 'rb') as file:
        length = sum(map(len, _kept(file, path, keep)))
      os.truncate(path, length)
    self._file = open(path, 'a', encoding='utf-8')  # noqa: SIM115 (closed by close)

  def append(self, lines: Iterable[str]) -> None:
    with writing(self._path):
      self._file.writelines(f'{line}\n' for line in lines)
      self._file.flush()

  def flush(self) -> None:
    with writing(self._path):
      sync(self._file)

  def close(self) -> None:
    with writing(self._path), self._file:
      self.flush()


class _Parts:
  def __init__(self, path: Path, keep: Keep):
    self._path = path
    self._number, self._part, self._whole, self._put = 0, b'', True, time.monotonic()
    stale = []
    for part in _parts(path):
      if stale:
        stale.append(part)
        continue
      self._number, data = int(part.name.rpartition('.')[2]), part.read_bytes()
      self._part = b''.join(_kept(data.splitlines(keepends=True), path, keep))
      if self._part != data:
        stale.append(part)
        self._whole = False
    for part in reversed(stale[1:]):  # from the last on: whenever this is interrupted, a row of parts without a gap is left
      remove(part)
    self.flush()

  def append(self, lines: Iterable[str]) -> None:
    before = self._part, self._whole
    self._part += ''.join(f'{line}\n' for line in lines).encode()
    self._whole = False
    try:
      if len(self._part) >= PART_BYTES or time.monotonic() - self._put > PUT_EVERY_S:
        self.flush()
    except BaseException:
      self._part, self._whole = before  # as on a disk, whose caller appends the lines again
      raise

  def flush(self) -> None:
    if self._whole:
      return
    self._put = time.monotonic()
    write_bytes(self._path.with_name(f'{self._path.name}.{self._number:06d}'), self._part)
    self._whole = True
    if len(self._part) >= PART_BYTES:
      self._number, self._part = self._number + 1, b''

  def close(self) -> None:
    self.flush()


def _kept(lines: Iterable[bytes], path: Path, keep: Keep) -> Iterator[bytes]:
  for number, line in enumerate(lines, 1):
    if not line.endswith(b'\n') or not keep(line, f'{path}:{number}'):
      return
    yield line


def _parts(path: Path) -> list[Path]:
  """The parts of a file, in order."""
  named = re.compile(re.escape(path.name) + r'\.\d{6}')
  with contextlib.suppress(FileNotFoundError, NotADirectoryError):
    return sorted(part for part in path.parent.iterdir() if named.fullmatch(part.name))
  return []
