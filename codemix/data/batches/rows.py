"""Rows: a source's token stream cut every L tokens, with each document kept to itself.

Row r holds tokens [rL, (r+1)L) of the stream as *targets*; the inputs are the
same tokens shifted right inside each document, with BOS where a document
begins. So every token of the stream, EOS included, is predicted exactly once
per epoch, each row holds exactly L loss tokens whatever the length of its
documents, and a share of rows is a share of loss tokens. A document that a
cut divides goes on in the next row with only its previous token as context.
The tail shorter than a row is not trained on; the ledger counts it as cropped.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from codemix.data.store.token_store import TokenStore

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Source:
  """A token store read in rows of one length.

  Attributes:
    name: the SeqIO task's name.
    store: its tokens.
    length: tokens of a row.
    bos_id: the id that stands before each document's first token.
  """

  name: str
  store: TokenStore
  length: int
  bos_id: int

  def __len__(self) -> int:
    """Whole rows of one epoch."""
    return self.store.tokens // self.length

  @property
  def digest(self) -> str:
    """What the tokens are, wherever they lie."""
    return self.store.digest

  @property
  def cropped_tokens(self) -> int:
    """Tokens of the tail that no row holds."""
    return self.store.tokens - len(self) * self.length

  def document_starts(self, rows: np.ndarray) -> int:
    """How many documents begin in these rows, a row counted each time that it is named."""
    return int(self._starts_per_row[rows].sum(dtype=np.int64))

  @functools.cached_property
  def _starts_per_row(self) -> np.ndarray:
    """Documents that begin in each row, and in the tail: a few bytes a row, where the ends of all would be eight a document."""
    counts = np.zeros(len(self) + 1, np.min_scalar_type(self.length))
    start = 0
    for ends in self.store.document_ends_by_shard():
      if len(ends):
        rows = np.append(start, ends[:-1]) // self.length
        per_row = np.bincount(rows - rows[0])
        counts[rows[0] : rows[0] + len(per_row)] += per_row.astype(counts.dtype)
        start = ends[-1]
    return counts

  def row(self, index: int) -> Batch:
    """One row of an epoch: int32 [L] inputs, targets, segment_ids, positions; float32 [L] weights."""
    start = index * self.length
    ends = self.store.ends_within(start, start + self.length) - start
    if start == 0 or (len(ends) and ends[0] == 0):
      previous, targets = None, self.store.read(start, start + self.length)
    else:
      previous, targets = np.split(self.store.read(start - 1, start + self.length), [1])
    return pack_row(targets, ends[ends > 0], previous, self.bos_id)


def pack_row(
  targets: np.ndarray, ends: np.ndarray, previous: np.ndarray | None, bos_id: int
) -> Batch:
  """One row from its targets.

  Args:
    targets: int32 [L].
    ends: positions in the row where a document has ended and the next begins,
      each in (0, L).
    previous: the one token before the row where a document continues into it,
      else None.
    bos_id: the input at the first token of a document.

  Returns:
    inputs, targets, segment_ids (from 1), positions: int32 [L]; weights:
    float32 [L], all one.
  """
  length = len(targets)
  bounds = np.concatenate([[0], ends, [length]]).astype(np.int64)
  sizes = np.diff(bounds)
  inputs = np.empty(length, np.int32)
  inputs[1:] = targets[:-1]
  inputs[bounds[1:-1]] = bos_id
  inputs[0] = bos_id if previous is None else previous[0]
  return {
    'inputs': inputs,
    'targets': targets.astype(np.int32),
    'segment_ids': np.repeat(np.arange(1, len(sizes) + 1, dtype=np.int32), sizes),
    'positions': (np.arange(length) - np.repeat(bounds[:-1], sizes)).astype(np.int32),
    'weights': np.ones(length, np.float32),
  }


def stack_rows(rows: Sequence[Batch]) -> Batch:
  """Rows as one batch: [L] arrays become [B, L]."""
  return {key: np.stack([row[key] for row in rows]) for key in rows[0]}
