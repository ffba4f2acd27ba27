"""The work of a scan, cut into pieces of rows that need nothing of each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from codemix.data.batches.prepared_source import PreparedSource

PIECE_TOKENS = 2**24  # of one piece: a few seconds' work
# A window that begins in a piece or block is found if it ends within this many tokens behind it: 30
# units of code take about a hundred tokens, and as single bytes three hundred.
AHEAD_TOKENS = 2**12
# Looked at before it, so that its first word is seen to be a whole one.
BEHIND_TOKENS = 2**6


@dataclasses.dataclass(frozen=True)
class Piece:
  """Rows of one source.

  Attributes:
    source: its name.
    folder, digest: of its token store.
    length: tokens of a row.
    first, stop: the rows in which windows begin that count.
    low: the row of the first of `bits`; those before `first` and from `stop` on are looked at only.
    bits: uint8 [rows, ceil(columns / 8)], in which row sets each row is.
  """

  source: str
  folder: str
  digest: str
  length: int
  first: int
  stop: int
  low: int
  bits: np.ndarray

  def __str__(self) -> str:
    return f"rows {self.first:,} to {self.stop:,} of '{self.source}'"

  @property
  def high(self) -> int:
    return self.low + len(self.bits)


def cut(source: PreparedSource, bits: np.ndarray, tokens: int = PIECE_TOKENS) -> Iterator[Piece]:
  """The pieces of a source in which there is a consumed row.

  Args:
    source: the rows.
    bits: uint8 [rows, bytes] from `consumed_rows`.
    tokens: of one piece.
  """
  size = max(tokens // source.length, 1)
  behind, ahead = (-(-count // source.length) for count in (BEHIND_TOKENS, AHEAD_TOKENS))
  for first in range(0, len(source), size):
    stop = min(first + size, len(source))
    if bits[first:stop].any():
      low = max(first - behind, 0)
      store, seen = source.store, bits[low : stop + ahead]
      yield Piece(source.name, str(store.folder), store.digest, source.length, first, stop, low, seen)
