"""Which documents of a held-out split are scored, where not all are."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from codemix.data.store.token_store import TokenStore

BLOCK = 2**22  # tokens read at a time


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOut:
  """What of a held-out split is scored.

  Attributes:
    store: the split.
    documents: the numbers of those that are scored, ascending, int64 [n].
  """

  store: TokenStore
  documents: np.ndarray

  @property
  def whole(self) -> bool:
    """Whether every document of the split is scored."""
    return len(self.documents) == self.store.documents

  def __str__(self) -> str:
    total = f'{self.store.documents:,} document{"s"[: self.store.documents != 1]}'
    return total if self.whole else f'{len(self.documents):,} of {total}'


def choose(store: TokenStore, limit: int | None) -> HeldOut:
  """Chooses the documents of a split to score.

  A document is chosen for what it says: those whose digests are the lowest. So it is the same
  documents for every stage and recipe, whatever their order in the store, and a higher limit adds
  documents to those of a lower one.

  Args:
    limit: how many documents at most; None for all.
  """
  if limit is None or limit >= store.documents:
    return HeldOut(store, np.arange(store.documents))
  return HeldOut(store, np.sort(np.argsort(_digests(store), kind='stable')[:limit]))


def _digests(store: TokenStore) -> np.ndarray:
  """uint64 [documents], of each document's tokens."""
  ends = store.document_ends
  starts = np.append(0, ends[:-1])
  digests = np.empty(len(ends), np.uint64)
  first = 0
  while first < len(ends):
    last = max(int(np.searchsorted(ends, starts[first] + BLOCK, side='right')), first + 1)
    tokens = store.read(int(starts[first]), int(ends[last - 1])).astype('<i4')
    for number in range(first, last):
      begin, end = starts[number] - starts[first], ends[number] - starts[first]
      content = tokens[begin:end].tobytes()
      digests[number] = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), 'little')
    first = last
  return digests
