"""Drops exact duplicates over a whole corpus, in bounded memory and on any workers.

Three steps, of which the first is part of tokenizing a shard:

  1. Each shard is written as a draft, with a file of its documents' digests in
     blocks of BLOCK documents, each block sorted by digest.
  2. For a range of digests at a time, those of all shards are sorted. Equal ones
     are neighbours; all but the first by (shard, document) are repeats.
  3. Each draft is copied without its repeats.

Shards are runs of pieces in order, so the first by (shard, document) is the
first by (piece, record), however many workers there were.
"""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from codemix.data.store import record_counts, token_store
from codemix.data.store.document_table import table_blocks
from codemix.data.store.record_counts import RecordCounts
from codemix.data.store.shard_writer import (
  NewFile,
  documents_file,
  loss_file,
  tokens_file,
  writing_shard,
)
from codemix.data.store.verify import LOSS_TOKENS
from codemix.storage import remove

BLOCK = 2**18  # documents sorted at a time: 6 MiB of digests
RANGE = 2**20  # documents whose digests are compared at a time, as many texts differ
COPY_DOCUMENTS = 2**16
COPY_TOKENS = 2**20

# 128 bits of sha256: two of 10^10 different documents have the same key with a probability of 10^-19.
_ENTRY = np.dtype([('key', '>u8', 2), ('document', '<i8')])


class DigestWriter:
  """Writes a shard's digests, which come in the order of its documents."""

  def __init__(self, folder: Path, name: str):
    self._documents = 0
    self._waiting: list[bytes] = []
    self._file = NewFile(folder / _digests_file(name))

  def add(self, digests: Sequence[bytes]) -> None:
    self._waiting += [digest[:16] for digest in digests]
    while len(self._waiting) >= BLOCK:
      self._write(self._waiting[:BLOCK])
      del self._waiting[:BLOCK]

  def finish(self) -> None:
    if self._waiting:
      self._write(self._waiting)
    self._file.finish()

  def discard(self) -> None:
    self._file.discard()

  def _write(self, digests: list[bytes]) -> None:
    entries = np.empty(len(digests), _ENTRY)
    entries['key'] = np.frombuffer(b''.join(digests), '>u8').reshape(-1, 2)
    entries['document'] = np.arange(self._documents, self._documents + len(digests))
    self._documents += len(digests)
    self._file.write(entries[np.argsort(entries['key'][:, 0], kind='stable')].tobytes())


@dataclasses.dataclass(frozen=True)
class DigestRange:
  """Range `number` of `count` equal ranges of digests."""

  number: int
  count: int

  def __str__(self) -> str:
    return f'digests {self.number + 1} of {self.count}'

  def of(self, block: np.ndarray) -> np.ndarray:
    """The entries of a sorted block that are in this range."""
    edges = (self.number * 2**64 // self.count, (self.number + 1) * 2**64 // self.count)
    begin, end = (bisect.bisect_left(block, edge, key=lambda entry: int(entry['key'][0])) for edge in edges)
    return block[begin:end]


def digest_ranges(drafts: Path, names: Sequence[str]) -> tuple[DigestRange, ...]:
  """Divides the digests into ranges of about RANGE documents."""
  documents = sum((drafts / _digests_file(name)).stat().st_size for name in names) // _ENTRY.itemsize
  count = documents // RANGE + 1
  return tuple(DigestRange(number, count) for number in range(count))


@dataclasses.dataclass(frozen=True)
class FindRepeats:
  """Writes which documents of each shard in `drafts` repeat an earlier one, by range of digests."""

  drafts: Path
  names: tuple[str, ...]

  def __call__(self, digests: DigestRange) -> None:
    path = self.drafts / _repeats_file(digests)
    if path.exists():
      return
    parts = [self._entries(name, digests) for name in self.names]
    repeats = self._repeats(np.concatenate(parts), np.repeat(np.arange(len(parts)), list(map(len, parts))))
    file = NewFile(path)
    try:
      begins = np.cumsum([0, *map(len, repeats)])
      file.write(np.concatenate([begins, *repeats]).astype('<i8').tobytes())
      file.finish()
    finally:
      file.discard()

  def _entries(self, name: str, digests: DigestRange) -> np.ndarray:
    """A shard's entries of a range, in the order of the documents within each block."""
    path = self.drafts / _digests_file(name)
    documents, parts = path.stat().st_size // _ENTRY.itemsize, [np.zeros(0, _ENTRY)]
    with path.open('rb') as file:
      for begin in range(0, documents, BLOCK):
        block = np.frombuffer(file.read(min(BLOCK, documents - begin) * _ENTRY.itemsize), _ENTRY)
        parts.append(digests.of(block).copy())
    return np.concatenate(parts)

  def _repeats(self, entries: np.ndarray, shards: np.ndarray) -> list[np.ndarray]:
    """The documents to drop, by shard, sorted."""
    keys = entries['key'].astype(np.uint64)
    # Stable: entries with the same key are in the order of the corpus before it, and stay so.
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    repeated = np.zeros(len(order), bool)
    repeated[1:] = (keys[order[1:]] == keys[order[:-1]]).all(axis=1)
    dropped = order[repeated]
    return [np.sort(entries['document'][dropped[shards[dropped] == n]]) for n in range(len(self.names))]


@dataclasses.dataclass(frozen=True)
class CopyWithoutRepeats:
  """Writes a shard of the store in `folder` from its draft, unless it is there.

  Attributes:
    ranges: those of `FindRepeats`.
    filter: the name under which the dropped documents are counted.
  """

  drafts: Path
  folder: Path
  names: tuple[str, ...]
  ranges: tuple[DigestRange, ...]
  filter: str
  dtype: str

  def __call__(self, name: str) -> None:
    if not token_store.shard_is_complete(self.folder, name):
      self._copy(name)
    # The draft's record stays: the shard need not be tokenized again.
    for file in (tokens_file(name), documents_file(name), loss_file(name)):
      remove(self.drafts / file)

  def repeats(self, name: str) -> np.ndarray:
    """The documents of a shard to drop, int64, sorted."""
    number = self.names.index(name)
    parts = []
    for digests in self.ranges:
      with (self.drafts / _repeats_file(digests)).open('rb') as file:
        file.seek(8 * number)
        begin, end = np.frombuffer(file.read(16), '<i8').tolist()
        file.seek(8 * (len(self.names) + 1 + begin))
        parts.append(np.frombuffer(file.read(8 * (end - begin)), '<i8'))
    return np.sort(np.concatenate(parts))

  def _copy(self, name: str) -> None:
    draft = token_store.read_shard(self.drafts, name)
    repeats = self.repeats(name)
    counts, first = RecordCounts([self.filter]), None
    with_loss = LOSS_TOKENS in draft
    with (
      writing_shard(self.folder, name, np.dtype(self.dtype), with_loss=with_loss) as writer,
      (self.drafts / tokens_file(name)).open('rb') as tokens,
      (self.drafts / loss_file(name)).open('rb') if with_loss else contextlib.nullcontext() as loss,
    ):
      for begin, rows in _tables(self.drafts / documents_file(name)):
        keep = np.ones(len(rows), bool)
        keep[repeats[slice(*np.searchsorted(repeats, [begin, begin + len(rows)]))] - begin] = False
        for ids in _kept(tokens, rows, keep, np.dtype(self.dtype)):
          first = ids[: token_store.GOLDEN_TOKENS].tolist() if first is None else first
          writer.add_stream(ids)
        for counted in _kept(loss, rows, keep, np.dtype(np.uint8)) if with_loss else ():
          writer.add_loss(counted)
        writer.add_rows(rows[keep, 0], rows[keep, 1:2])
        _count(counts, rows, keep, draft['names'])
      first_is_dropped = len(repeats) and repeats[0] == 0
      # The text of a document is only stored of the draft's first one.
      golden = {'tokens': first} if first_is_dropped and first else draft['golden']
      copied = counts.summary()
      kept = {key: copied[key] for key in ('kept', 'languages', 'sources')}
      applied = draft['accounts']['filters'] + copied['filters']
      writer.finish(
        golden=golden if first else None,
        accounts={**draft['accounts'], **kept, 'filters': applied},
        **({'quarantine': draft['quarantine']} if 'quarantine' in draft else {}),
      )


def _count(counts: RecordCounts, rows: np.ndarray, keep: np.ndarray, names: dict[str, list[str]]) -> None:
  if not keep.all():
    tokens, size = rows[~keep, :2].sum(axis=0)
    counts.drop(0, 'duplicate', record_counts.amount((~keep).sum(), size, tokens))
  pairs, numbers = np.unique(rows[keep, 2:], axis=0, return_inverse=True)
  sums = np.zeros((len(pairs), 3), np.int64)
  np.add.at(sums, numbers.ravel(), np.insert(rows[keep, :2], 0, 1, axis=1))
  for (language, source), (documents, tokens, size) in zip(pairs.tolist(), sums.tolist(), strict=True):
    counts.keep(names['languages'][language], names['sources'][source], record_counts.amount(documents, size, tokens))


def _tables(path: Path) -> Iterator[tuple[int, np.ndarray]]:
  """(first document, rows whose first column is the document's length) a block at a time."""
  begin = end = 0
  for block in table_blocks(path, COPY_DOCUMENTS):
    rows, ends = block.copy(), block[:, 0]
    rows[:, 0] = np.diff(ends, prepend=end)
    yield begin, rows
    begin, end = begin + len(rows), ends[-1]


def _kept(tokens, rows: np.ndarray, keep: np.ndarray, dtype: np.dtype) -> Iterator[np.ndarray]:
  """The values of the documents that are kept, one a token, from a file whose position is at the first document."""
  edges = np.flatnonzero(np.diff(keep, prepend=~keep[:1])).tolist()
  for begin, end in itertools.pairwise([*edges, len(keep)]):
    left = int(rows[begin:end, 0].sum())
    if not keep[begin]:
      tokens.seek(left * dtype.itemsize, 1)
      continue
    while left:
      ids = np.frombuffer(tokens.read(min(left, COPY_TOKENS) * dtype.itemsize), dtype)
      left -= len(ids)
      yield ids


def _digests_file(name: str) -> str:
  return f'sorted-digests-{name}.bin'


def _repeats_file(digests: DigestRange) -> str:
  return f'repeats-{digests.number}-of-{digests.count}.bin'
