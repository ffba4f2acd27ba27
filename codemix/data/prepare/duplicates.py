"""Drops exact duplicates over a whole corpus, in bounded memory and on any workers.

Three steps, of which the first is part of tokenizing a shard:

  1. Each shard is written as a draft with a file of its documents' digests,
     in blocks of BLOCK documents sorted by BUCKETS buckets (the first bits of the digest).
  2. A range of buckets at a time, the digests of all shards are sorted. Equal
     ones are neighbours; all but the first by (shard, document) are repeats.
  3. Each draft is copied without its repeats.

Shards are runs of pieces in order, so the first by (shard, document) is the
first by (piece, record), however many workers there were.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from codemix.data.store import record_counts, token_store
from codemix.data.store.shard_writer import (
  NewFile,
  documents_file,
  tokens_file,
  writing_shard,
)

BUCKETS = 1024
BLOCK = 2**18  # documents sorted at a time: 6 MiB of digests
RANGE = 2**20  # documents whose digests are compared at a time, if there are not more in one bucket
COPY_DOCUMENTS = 2**16
COPY_TOKENS = 2**20

# 128 bits of sha256: with 10^10 documents, two different ones are taken for the same with a chance of 10^-19.
_ENTRY = np.dtype([('key', '>u8', 2), ('document', '<i8')])
_BUCKET_SHIFT = np.uint64(64 - (BUCKETS - 1).bit_length())


class DigestWriter:
  """A shard's digests, in the order of its documents, written in sorted blocks."""

  def __init__(self, folder: Path, name: str):
    self._documents = 0
    self._waiting: list[bytes] = []
    self._entries = NewFile(folder / _entries_file(name))
    self._index = NewFile(folder / _index_file(name))

  def add(self, digests: Sequence[bytes]) -> None:
    self._waiting += [digest[:16] for digest in digests]
    while len(self._waiting) >= BLOCK:
      self._write(self._waiting[:BLOCK])
      del self._waiting[:BLOCK]

  def finish(self) -> None:
    self._write(self._waiting)
    self._entries.finish()
    self._index.finish()

  def discard(self) -> None:
    self._entries.discard()
    self._index.discard()

  def _write(self, digests: list[bytes]) -> None:
    if not digests:
      return
    entries = np.empty(len(digests), _ENTRY)
    entries['key'] = np.frombuffer(b''.join(digests), '>u8').reshape(-1, 2)
    entries['document'] = np.arange(self._documents, self._documents + len(digests))
    self._documents += len(digests)
    buckets = _buckets(entries)
    self._entries.write(entries[np.argsort(buckets, kind='stable')].tobytes())
    self._index.write(np.bincount(buckets, minlength=BUCKETS).astype('<i8').tobytes())


def _buckets(entries: np.ndarray) -> np.ndarray:
  return (entries['key'][:, 0].astype(np.uint64) >> _BUCKET_SHIFT).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class BucketRange:
  """Buckets [first, last)."""

  first: int
  last: int

  def __str__(self) -> str:
    return f'digests {self.first} to {self.last - 1} of {BUCKETS}'


def bucket_ranges(drafts: Path, names: Sequence[str]) -> list[BucketRange]:
  """Divides the buckets into ranges of about RANGE documents."""
  sizes = sum((_index(drafts, name).sum(axis=0) for name in names), np.zeros(BUCKETS, np.int64))
  ranges, first, documents = [], 0, 0
  for bucket, size in enumerate(sizes.tolist()):
    if documents and documents + size > RANGE:
      ranges.append(BucketRange(first, bucket))
      first, documents = bucket, 0
    documents += size
  return [*ranges, BucketRange(first, BUCKETS)]


@dataclasses.dataclass(frozen=True)
class FindRepeats:
  """Writes which documents of each shard repeat an earlier one, for a range of buckets.

  Attributes:
    drafts: the folder of the drafts.
    names: of the shards, in order.
  """

  drafts: Path
  names: tuple[str, ...]

  def __call__(self, buckets: BucketRange) -> None:
    path = self.drafts / _repeats_file(buckets)
    if path.exists():
      return
    parts, shards = [], []
    for number, name in enumerate(self.names):
      for part in _entries(self.drafts, name, buckets):
        parts.append(part)
        shards.append(np.full(len(part), number, np.int32))
    repeats = self._repeats(np.concatenate(parts), np.concatenate(shards)) if parts else [np.zeros(0, np.int64)] * len(self.names)
    file = NewFile(path)
    try:
      begins = np.cumsum([0, *map(len, repeats)])
      file.write(np.concatenate([begins, *repeats]).astype('<i8').tobytes())
      file.finish()
    finally:
      file.discard()

  def _repeats(self, entries: np.ndarray, shards: np.ndarray) -> list[np.ndarray]:
    """The documents to drop, by shard, sorted."""
    keys = entries['key'].astype(np.uint64)
    # Stable, and within a bucket the entries stand in the order of the corpus: so do equal ones after it.
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    repeated = np.zeros(len(order), bool)
    repeated[1:] = (keys[order[1:]] == keys[order[:-1]]).all(axis=1)
    dropped = order[repeated]
    return [np.sort(entries['document'][dropped[shards[dropped] == n]]) for n in range(len(self.names))]


@dataclasses.dataclass(frozen=True)
class CopyWithoutRepeats:
  """Writes a shard of the store from its draft, unless it is there.

  Attributes:
    drafts: the folder of the drafts.
    folder: the store's.
    names: of the shards, in order.
    ranges: those of `FindRepeats`.
    filter: how the accounts call this.
    dtype: of the tokens, as a string.
  """

  drafts: Path
  folder: Path
  names: tuple[str, ...]
  ranges: tuple[BucketRange, ...]
  filter: str
  dtype: str

  def __call__(self, name: str) -> None:
    if not token_store.shard_is_complete(self.folder, name):
      self._copy(name)
    # Its record stays: it says that the shard need not be tokenized again.
    for file in (tokens_file(name), documents_file(name)):
      (self.drafts / file).unlink(missing_ok=True)

  def _copy(self, name: str) -> None:
    draft = token_store.read_shard(self.drafts, name)
    repeats = self._repeats_of(name)
    names, books = draft['names'], {'languages': {}, 'sources': {}}
    dropped, first = record_counts.amount(), None
    with writing_shard(self.folder, name, np.dtype(self.dtype)) as writer, open(self.drafts / tokens_file(name), 'rb') as tokens:
      for begin, rows in _tables(self.drafts / documents_file(name), draft['documents']):
        keep = np.ones(len(rows), bool)
        keep[repeats[np.searchsorted(repeats, begin) : np.searchsorted(repeats, begin + len(rows))] - begin] = False
        for ids in _kept(tokens, rows, keep, np.dtype(self.dtype)):
          first = ids[: token_store.GOLDEN_TOKENS].tolist() if first is None else first
          writer.add_stream(ids)
        writer.add_rows(rows[keep, 0], rows[keep, 1:2])
        dropped = record_counts.plus(dropped, _amount(rows[~keep]))
        for column, kind in ((2, 'languages'), (3, 'sources')):
          for number in np.unique(rows[keep, column]).tolist():
            of_name = _amount(rows[keep & (rows[:, column] == number)])
            book = books[kind]
            book[names[kind][number]] = record_counts.plus(book.get(names[kind][number], record_counts.amount()), of_name)
      writer.finish(**self._about(draft, first, len(repeats) and repeats[0] == 0, dropped, books))

  def _about(self, draft: dict, first, first_is_dropped: bool, dropped: dict, books: dict) -> dict:
    said = draft['accounts']
    before = said['kept']
    after = {key: before[key] - dropped[key] for key in before}
    step = {'name': self.filter, 'before': before, 'after': after, 'dropped': {'duplicate': dropped} if dropped['documents'] else {}}
    # The text of a document that is not the draft's first is not at hand.
    golden = {'tokens': first[: token_store.GOLDEN_TOKENS]} if first_is_dropped and first else draft['golden']
    return {
      'golden': golden if first else None,
      'accounts': {
        **said,
        'filters': [*said['filters'], step],
        'kept': after,
        **{kind: dict(sorted(book.items())) for kind, book in books.items()},
      },
      **({'quarantine': draft['quarantine']} if 'quarantine' in draft else {}),
    }

  def _repeats_of(self, name: str) -> np.ndarray:
    """The shard's documents to drop, sorted."""
    number = self.names.index(name)
    parts = []
    for buckets in self.ranges:
      path = self.drafts / _repeats_file(buckets)
      begin, end = np.fromfile(path, '<i8', 2, offset=8 * number).tolist()
      parts.append(np.fromfile(path, '<i8', end - begin, offset=8 * (len(self.names) + 1 + begin)))
    return np.sort(np.concatenate(parts))


def _amount(rows: np.ndarray) -> dict:
  return record_counts.amount(len(rows), rows[:, 1].sum(), rows[:, 0].sum())


def _tables(path: Path, documents: int) -> Iterator[tuple[int, np.ndarray]]:
  """(first document, rows whose first column is the document's length) a block at a time."""
  with open(path, 'rb') as file:
    np.lib.format.read_magic(file)
    shape, _, _ = np.lib.format.read_array_header_1_0(file)
    end = 0
    for begin in range(0, documents, COPY_DOCUMENTS):
      rows = np.fromfile(file, '<i8', min(COPY_DOCUMENTS, documents - begin) * shape[1]).reshape(-1, shape[1])
      ends = rows[:, 0].copy()
      rows[:, 0] = np.diff(ends, prepend=end)
      end = ends[-1]
      yield begin, rows


def _kept(tokens, rows: np.ndarray, keep: np.ndarray, dtype: np.dtype) -> Iterator[np.ndarray]:
  """The tokens of the documents that are kept, of a file that stands at the first of them."""
  edges = np.flatnonzero(np.diff(keep, prepend=~keep[:1])).tolist()
  for begin, end in itertools.pairwise([*edges, len(keep)]):
    left = int(rows[begin:end, 0].sum())
    if not keep[begin]:
      tokens.seek(left * dtype.itemsize, 1)
      continue
    while left:
      ids = np.fromfile(tokens, dtype, min(left, COPY_TOKENS))
      left -= len(ids)
      yield ids


def _entries(drafts: Path, name: str, buckets: BucketRange) -> Iterator[np.ndarray]:
  """A shard's digests of a range, block by block."""
  start = 0
  with open(drafts / _entries_file(name), 'rb') as file:
    for sizes in _index(drafts, name):
      before, count = sizes[: buckets.first].sum(), sizes[buckets.first : buckets.last].sum()
      file.seek((start + int(before)) * _ENTRY.itemsize)
      if count:
        yield np.fromfile(file, _ENTRY, int(count))
      start += int(sizes.sum())


def _index(drafts: Path, name: str) -> np.ndarray:
  """int64 [blocks, BUCKETS]: the documents of each block in each bucket."""
  return np.fromfile(drafts / _index_file(name), '<i8').reshape(-1, BUCKETS)


def _entries_file(name: str) -> str:
  return f'digests-{name}.bin'


def _index_file(name: str) -> str:
  return f'digests-{name}.index'


def _repeats_file(buckets: BucketRange) -> str:
  return f'repeats-{buckets.first:04d}-{buckets.last:04d}.bin'
