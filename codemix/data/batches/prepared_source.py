"""A source whose tokens were prepared: a token store, of which any row can be read."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import ClassVar

import numpy as np

from codemix.data.batches.rows import Batch, pack_row
from codemix.data.batches.source import DRAWS_TOGETHER, Cursor, Source
from codemix.data.order.permutation import permute, round_keys
from codemix.data.store.token_store import TokenStore
from codemix.identity import digest
from codemix.storage import is_remote

_TOKENS_TOGETHER = 2**24  # whose loss is counted at a time


@dataclasses.dataclass(frozen=True)
class PreparedSource(Source):
  """A token store read in rows of one length; attributes as of `Source`, and

  Attributes:
    store: its tokens.
    most_rows: of an epoch; the rows behind them are never read. None for all.
  """

  name: str
  store: TokenStore
  length: int
  bos_id: int
  most_rows: int | None = None
  streamed: ClassVar[bool] = False

  identity = property(lambda self: self.store.manifest['identity'])
  tokens = property(lambda self: self.store.tokens)
  documents = property(lambda self: self.store.documents)
  epoch_rows = property(len)
  has_prompts = property(lambda self: self.store.has_prompts)

  @property
  def fingerprint(self) -> str:
    """The store's digest; of a store that is not read to its end also how far it is, which decides the order of rows."""
    return self.store.digest if len(self) == self.stored_rows else digest({'tokens': self.store.digest, 'rows': len(self)})

  @property
  def stored_rows(self) -> int:
    """Whole rows of the store."""
    return self.tokens // self.length

  def __len__(self) -> int:
    """Whole rows of one epoch."""
    return self.stored_rows if self.most_rows is None else min(self.stored_rows, self.most_rows)

  def will_read(self, rows: Sequence[int]) -> None:
    """Starts to fetch rows that are read next, if the store is in a bucket."""
    for index in rows if is_remote(self.store.folder) else ():
      self.store.will_read(*self._span(index))

  def _span(self, index: int) -> tuple[int, int]:
    """The tokens of a row and, if there is one, the token before it."""
    return max(index * self.length - 1, 0), (index + 1) * self.length

  def row(self, index: int) -> Batch:
    """One row of an epoch, as `pack_row` returns it."""
    start = index * self.length
    ends = self.store.ends_within(start, start + self.length) - start
    read = self.store.read(*self._span(index))
    previous, targets = np.split(read, [len(read) - self.length])
    if start == 0 or (len(ends) and ends[0] == 0):
      previous = None
    counts = self.store.counts_in_loss(start, start + self.length) if self.has_prompts else None
    return pack_row(targets, ends[ends > 0], previous, self.bos_id, counts)

  def counts(self, before: Cursor, after: Cursor, seed: int) -> dict[str, int | float]:
    size = len(self)
    return {
      'source_rows': size,
      'unique_tokens': self._unique_rows(before.cursor, after.cursor, seed) * self.length,
      'unique_tokens_cumulative': min(after.furthest, size) * self.length,
      'epochs': (after.drawn - before.drawn) / size,
      'epochs_cumulative': after.drawn / size,
      'cropped_tokens': self.tokens - size * self.length,
    }

  def document_starts(self, rows: np.ndarray) -> int:
    """How many documents begin in these rows; a row counts each time that it is named."""
    return int(self._starts_per_row[rows].sum(dtype=np.int64))

  @functools.cached_property
  def _starts_per_row(self) -> np.ndarray:
    """Documents that begin in each row and in the tail: a few bytes a row, not eight a document."""
    counts = np.zeros(self.stored_rows + 1, np.min_scalar_type(self.length))
    start = 0
    for ends in self.store.document_ends_by_shard():
      if len(ends):
        rows = np.append(start, ends[:-1]) // self.length
        per_row = np.bincount(rows - rows[0])
        counts[rows[0] : rows[0] + len(per_row)] += per_row.astype(counts.dtype)
        start = ends[-1]
    return counts

  def documents_drawn(self, start: int, stop: int, seed: int) -> int:
    """As of `Source`; a whole epoch is summed once."""
    whole = functools.cache(lambda: self.document_starts(np.arange(len(self))))
    epochs = self.rows_of_draws(start, stop, seed)
    return sum(whole() if len(rows) == len(self) else self.document_starts(rows) for rows in epochs)

  def loss_of_draws(self, start: int, stop: int, seed: int) -> Iterator[np.ndarray]:
    if not self.has_prompts:
      yield from super().loss_of_draws(start, stop, seed)
      return
    size = len(self)
    while start < stop:
      epoch, first = divmod(start, size)
      count = min(size - first, stop - start, DRAWS_TOGETHER)
      yield self._loss_per_row[permute(np.arange(first, first + count), size, round_keys(seed, self.name, epoch))].astype(np.int64)
      start += count

  @functools.cached_property
  def _loss_per_row(self) -> np.ndarray:
    """Loss tokens of each row of an epoch, a few bytes a row."""
    counts = np.zeros(len(self), np.min_scalar_type(self.length))
    together = max(_TOKENS_TOGETHER // self.length, 1)
    for first in range(0, len(self), together):
      last = min(first + together, len(self))
      found = self.store.counts_in_loss(first * self.length, last * self.length)
      counts[first:last] = found.reshape(-1, self.length).sum(axis=1)
    return counts

  @property
  def loss_tokens_per_document(self) -> Fraction | None:
    return Fraction(self.store.loss_tokens, self.documents) if self.documents else None

  def _unique_rows(self, start: int, stop: int, seed: int) -> int:
    """Distinct rows among draws [start, stop); one epoch's end may share rows with the next one's beginning."""
    size = len(self)
    left = size - start % size  # of the epoch that the first draw falls into
    if stop - start <= left:
      return stop - start
    if left == size or stop - start - left >= size:
      return size  # a whole epoch is among them
    return len(np.unique(np.concatenate(list(self.rows_of_draws(start, stop, seed)))))

  def rows_of_draws(self, start: int, stop: int, seed: int) -> Iterator[np.ndarray]:
    """Yields the rows of draws [start, stop), int64, epoch by epoch; a whole epoch is in order, not permuted."""
    size = len(self)
    while start < stop:
      epoch, first = divmod(start, size)
      count = min(size - first, stop - start)
      rows = np.arange(first, first + count)
      yield rows if count == size else permute(rows, size, round_keys(seed, self.name, epoch))
      start += count
