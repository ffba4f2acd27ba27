"""The table of a shard's documents, int64 [documents, 2]: where each ends in the shard (tokens), and its bytes before tokenization.

On a disk the file is mapped. Of a bucket its blocks are fetched as they are needed and kept: ends grow about evenly, so the place of a
token is guessed by proportion and found in one block or two.
"""

from __future__ import annotations

import bisect
import functools
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from codemix.data.store.damage import damaged
from codemix.errors import UserError
from codemix.storage import is_remote
from codemix.storage.outages import naming_outages
from codemix.storage.ranges import BLOCK_BYTES, CACHE, open_ranges

BLOCK_ROWS = 2**20  # 16 MiB
ROW = np.dtype(('<i8', 2))
_TOGETHER = BLOCK_BYTES // ROW.itemsize  # rows that one search reads
_HEADER_BYTES = 128  # of the .npy files that `ShardWriter` and NumPy write for such a table


class DocumentTable:
  """The table of a shard.

  Attributes:
    path: of its `.npy` file.
    documents: its rows.
    tokens: of the shard, at which the last document ends.
  """

  def __init__(self, path: Path, documents: int, tokens: int, cache_bytes: int):
    """`cache_bytes`: of this process's whole cache; see `storage.ranges`."""
    self.path, self.documents, self.tokens = path, documents, tokens
    self._cache_bytes = cache_bytes
    self._remote = is_remote(path)  # asked for several times a row

  def __len__(self) -> int:
    return self.documents

  def rows(self, begin: int = 0, end: int | None = None) -> np.ndarray:
    """Rows [begin, end), int64 [n, 2]."""
    end = self.documents if end is None else min(end, self.documents)
    if not self._remote:
      return self._mapped[begin:end]
    read = self._file.read(_HEADER_BYTES + begin * ROW.itemsize, (end - begin) * ROW.itemsize)
    return np.frombuffer(read, '<i8').reshape(-1, 2)

  def search(self, token: int, side: str = 'left') -> int:
    """How many documents end before `token` (side 'left'), or at or before it ('right')."""
    if not self._remote:
      # Not NumPy's searchsorted, which copies a column first.
      return (bisect.bisect_left if side == 'left' else bisect.bisect_right)(self._mapped[:, 0], token)
    low, high, guess, width = 0, self.documents, self._guess(token), _TOGETHER
    while low < high:  # the documents before `low` are counted, those from `high` on are not
      begin = min(max(guess - _TOGETHER // 2, low), max(high - _TOGETHER, low))
      ends = self.rows(begin, min(begin + _TOGETHER, high))[:, 0]
      place = int(np.searchsorted(ends, token, side))
      if 0 < place < len(ends):
        return begin + place
      low, high = (low, begin) if place == 0 else (begin + len(ends), high)
      width *= 4  # in steps that grow: the guess was far off
      guess = max(high - width, low) if place == 0 else min(low + width, high)
    return low

  def will_search(self, token: int) -> None:
    """Starts to fetch what `search` probably reads."""
    if self._remote and self.documents:
      begin = max(0, min(self._guess(token) - _TOGETHER // 2, self.documents - _TOGETHER))
      self._file.will_read(_HEADER_BYTES + begin * ROW.itemsize, _TOGETHER * ROW.itemsize)

  def _guess(self, token: int) -> int:
    return int(max(token, 0) * self.documents // max(self.tokens, 1))

  @functools.cached_property
  def _mapped(self) -> np.ndarray:
    with self.path.open('rb') as file:
      begin = self._check(file)
    if (size := self.path.stat().st_size) != begin + self.documents * ROW.itemsize:
      raise damaged(self.path, f'it has {size} bytes, and its header says {self.documents} documents')
    # An empty array cannot be mapped.
    return np.asarray(np.memmap(self.path, '<i8', 'r', begin, (self.documents, 2))) if self.documents else np.zeros((0, 2), '<i8')

  def _check(self, file: IO[bytes]) -> int:
    """Checks the header of the file; returns where the rows begin (bytes). Raises UserError if it is not that of the shard's table."""
    documents, columns = _read_header(file, self.path)
    if columns != 2:
      raise damaged(self.path, f'it has {columns} columns, not 2')
    if documents != self.documents:
      raise damaged(self.path, f'it has {documents} documents, and the manifest says {self.documents}')
    return file.tell()

  @functools.cached_property
  def _file(self):
    size = _HEADER_BYTES + self.documents * ROW.itemsize
    file = open_ranges(self.path, size, self._cache_bytes)
    if not file.kept:
      raise UserError(
        f'the tables of documents do not fit into the cache: {self.path} has {size / 2**20:,.0f} MiB, and {CACHE.promised / 2**20:,.0f} MiB of '
        f'{self._cache_bytes / 2**20:,.0f} are taken. Set Data.cache_bytes higher.'
      )
    if self._check(io.BytesIO(file.read(0, _HEADER_BYTES))) != _HEADER_BYTES:
      raise damaged(self.path, f'its header is not one of {_HEADER_BYTES} bytes')
    return file


def table_blocks(path: Path, rows: int | None = None) -> Iterator[np.ndarray]:
  """Yields a table in blocks of `rows` rows (None: BLOCK_ROWS), int64 [n, columns], each row once and in order.

  Raises UserError: it is not a whole table.
  """
  with path.open('rb') as file:
    documents, columns = _read_header(file, path)
    if file.tell() + documents * columns * 8 != (size := path.stat().st_size):
      raise damaged(path, f'it has {size} bytes, and its header says {documents} documents')
    rows = rows or BLOCK_ROWS
    for begin in range(0, documents, rows):
      yield np.frombuffer(file.read(min(rows, documents - begin) * columns * 8), '<i8').reshape(-1, columns)


def _read_header(file: IO[bytes], path: Path) -> tuple[int, int]:
  """Rows and columns of a `.npy` file of int64. Raises UserError if it is none."""
  try:
    with naming_outages(path):
      if (version := np.lib.format.read_magic(file)) != (1, 0):
        raise damaged(path, f'it is a .npy file of version {version}, not (1, 0)')
      shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
  except (ValueError, OSError, tokenize.TokenError, SyntaxError, TypeError) as error:  # numpy lets those of Python's tokenizer through
    raise damaged(path, f'its header cannot be read ({" ".join(str(error).split())})') from None
  if len(shape) != 2 or by_columns or dtype != np.dtype('<i8') or min(shape) < 0:
    raise damaged(path, f'it has {dtype} {list(shape)}, not int64 [documents, columns]')
  return shape
