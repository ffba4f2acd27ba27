"""Cuts the work of a scan into independent pieces of rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from codemix.data.batches.prepared_source import PreparedSource

PIECE_TOKENS = 2**24  # tokens of a piece: a few seconds of work
# A window that begins in a piece or block is found if it ends at most this many tokens after it. 30 units
# of code take about 100 tokens, or 300 as single bytes.
AHEAD_TOKENS = 2**12
# Tokens read before it, to see whether its first word is a whole word.
BEHIND_TOKENS = 2**6


@dataclasses.dataclass(frozen=True)
class Piece:
  """Rows of one source.

  Attributes:
    source: name of the source.
    folder, digest: those of its token store.
    length: tokens of a row.
    first, stop: only windows that begin in rows [first, stop) count.
    low: the first row of `bits`; rows before `first` and from `stop` on are context.
    bits: uint8 [rows, ceil(columns / 8)], the row sets of each row.
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
  """The pieces of a source, of `tokens` each, that have a consumed row; `bits` is from `consumed_rows`."""
  size = max(tokens // source.length, 1)
  behind, ahead = (-(-count // source.length) for count in (BEHIND_TOKENS, AHEAD_TOKENS))
  for first in range(0, len(source), size):
    stop = min(first + size, len(source))
    if bits[first:stop].any():
      low = max(first - behind, 0)
      store, seen = source.store, bits[low : stop + ahead]
      yield Piece(source.name, str(store.folder), store.digest, source.length, first, stop, low, seen)
