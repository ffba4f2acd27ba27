"""Files that are read at any place: of a disk by `pread`, of a bucket by range requests with a cache on the local disk.

Rows of an epoch are permuted, and each is read once: a cache that keeps what was used last would hold nothing of use when the next
epoch begins. So a file whose bytes all fit into what is left of the cache is kept, block by block, as it is read, and nothing is dropped; of a file
that does not fit, exactly the ranges are read that are asked for. The cache is an unlinked file: it ends with the process.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any, Protocol

from codemix.errors import UserError
from codemix.storage.outages import naming_outages
from codemix.storage.paths import is_remote, key_value_store

BLOCK_BYTES = 2**16  # of one range request of a file that is cached: two rows of 8,192 tokens of four bytes


class Ranges(Protocol):
  """An open file; `kept`: whether what is read stays on this machine."""

  path: Path
  kept: bool

  def read(self, start: int, size: int) -> bytes:
    """Bytes [start, start + size); fewer at the end of the file."""

  def will_read(self, start: int, size: int) -> None:
    """Starts to fetch bytes that are read soon."""


class Cache:
  """How many bytes of this process's cache are promised to files. Bytes that are read are counted in `fetched`, requests in `requests`."""

  def __init__(self):
    self.promised = self.fetched = self.requests = 0
    self._changing = threading.Lock()

  def promise(self, size: int, limit: int) -> bool:
    """Promises `size` bytes, if with them it has at most `limit`; returns whether it does."""
    with self._changing:
      if self.promised + size > limit:
        return False
      self.promised += size
      return True

  def release(self, size: int) -> None:
    """Takes a promise back."""
    with self._changing:
      self.promised -= size

  def count(self, size: int) -> None:
    with self._changing:
      self.requests += 1
      self.fetched += size


CACHE = Cache()


def open_ranges(path: Path, size: int, cache_bytes: int) -> Ranges:
  """Opens a file.

  Args:
    size: of the file (bytes), for a bucket.
    cache_bytes: of this process's whole cache.
  """
  if not is_remote(path):
    return _LocalFile(path)
  return (_Cached if CACHE.promise(size, cache_bytes) else _Uncached)(path, size)


class _LocalFile:
  kept = True

  def __init__(self, path: Path):
    self.path = path
    self._file = open(path, 'rb', buffering=0)  # noqa: SIM115 (closed with this object)

  def read(self, start: int, size: int) -> bytes:
    # Read, not mapped: mapped pages count as this process's memory, up to the whole file.
    return os.pread(self._file.fileno(), size, start)

  def will_read(self, start: int, size: int) -> None:
    pass


class _Uncached:
  """An object of which each range is requested by itself."""

  kept = False

  def __init__(self, path: Path, size: int):
    self.path, self._size = path, size
    self._store, self._key = key_value_store(path)
    self._coming: dict[tuple[int, int], Any] = {}

  def will_read(self, start: int, size: int) -> None:
    if size := self._within(start, size):
      self._coming[start, size] = self._request(start, size)

  def read(self, start: int, size: int) -> bytes:
    if not (size := self._within(start, size)):
      return b''
    return self._result(self._coming.pop((start, size), None) or self._request(start, size))

  def _within(self, start: int, size: int) -> int:
    """The bytes of a range that are in the file."""
    return max(min(size, self._size - start), 0)

  def _request(self, start: int, size: int) -> Any:
    CACHE.count(size)
    return self._store.read(self._key, byte_range=slice(start, start + size))

  def _result(self, request: Any) -> bytes:
    try:
      with naming_outages(self.path):
        found = request.result()
    except ValueError as error:
      if 'OUT_OF_RANGE' not in str(error):
        raise
      raise UserError(f'{self.path} has become shorter while it is read. Restore it.') from error
    if found.state != 'value':
      raise UserError(f'{self.path} is gone while it is read. Restore it.')
    return found.value


class _Cached(_Uncached):
  """An object whose blocks are kept in a file on the local disk."""

  kept = True

  def __init__(self, path: Path, size: int):
    super().__init__(path, size)
    self._there = bytearray(-(-size // BLOCK_BYTES))  # 1: the block is in the file
    self._file = tempfile.TemporaryFile(prefix='codemix-cache-')  # noqa: SIM115 (ends with this object)
    self._lock = threading.Lock()
    weakref.finalize(self, CACHE.release, size)

  def will_read(self, start: int, size: int) -> None:
    with self._lock:
      for block in self._blocks(start, size):
        self._fetch(block)

  def read(self, start: int, size: int) -> bytes:
    size = self._within(start, size)
    with self._lock:
      requests = {block: request for block in self._blocks(start, size) if (request := self._fetch(block)) is not None}
    for block, request in requests.items():
      self._keep(block, self._result(request))
    return os.pread(self._file.fileno(), size, start)

  def _blocks(self, start: int, size: int) -> range:
    return range(start // BLOCK_BYTES, -(-(start + self._within(start, size)) // BLOCK_BYTES))

  def _fetch(self, block: int) -> Any:
    """The request of a block, None if it is kept; the caller holds the lock."""
    if self._there[block]:
      return None
    if (block, 0) not in self._coming:
      start = block * BLOCK_BYTES
      self._coming[block, 0] = self._request(start, min(BLOCK_BYTES, self._size - start))
    return self._coming[block, 0]

  def _keep(self, block: int, data: bytes) -> None:
    if len(data) != min(BLOCK_BYTES, self._size - block * BLOCK_BYTES):
      raise UserError(f'{self.path} has become shorter while it is read. Restore it.')
    try:
      os.pwrite(self._file.fileno(), data, block * BLOCK_BYTES)
    except OSError as error:
      raise UserError(f'the cache of {self.path} in {tempfile.gettempdir()} cannot be written ({error.strerror}): set Data.cache_bytes lower, or TMPDIR to a larger disk.') from error
    with self._lock:
      self._there[block] = 1
      self._coming.pop((block, 0), None)
