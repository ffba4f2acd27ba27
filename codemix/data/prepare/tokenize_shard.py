"""The step of `prepare`: one shard's pieces of a corpus are read, filtered, tokenized and written."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from codemix.data.corpus.bad_share import BadShare, merged
from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.record import BadRecord, Record
from codemix.data.filters import Filter, is_corpus_wide
from codemix.data.prepare.duplicates import DigestWriter
from codemix.data.prepare.progress import progress_file
from codemix.data.prepare.quarantine import Quarantine
from codemix.data.prepare.shards import Shard
from codemix.data.store import record_counts, token_store
from codemix.data.store.record_counts import Accounts
from codemix.data.store.shard_writer import ShardWriter, shard_file, writing_shard
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.files import writing

# Text encoded at a time: enough to keep the tokenizer's threads busy; its memory is about 100 times this.
BATCH_CHARACTERS = 2**20
BATCH_DOCUMENTS = 4096
JUDGED_TOGETHER = 64  # documents, by a filter that can judge several
REPORT_S = 1.0
SURELY = 2  # times as many records as are expected of a corpus, so that no error comes too early

Item = TypeVar('Item')


@dataclasses.dataclass(frozen=True)
class TokenizeShard:
  """Writes a shard, unless it is there.

  Attributes:
    folder: where the shard goes.
    finished: the folder of the store; a shard that is there is not written again.
    corpus, split, tokenizer: what is written.
    drafts: whether duplicates are dropped later: the shard then holds, beside
      each document, what the accounts need, and its digest.
    sizes: of all shards by name, as `Shard.size`.
  """

  folder: Path
  finished: Path
  corpus: Corpus
  split: str
  tokenizer: Tokenizer
  drafts: bool
  sizes: Mapping[str, int]

  def __call__(self, shard: Shard) -> None:
    if any(token_store.shard_is_complete(folder, shard.name) for folder in (self.finished, self.folder)):
      return
    dtype = token_store.token_dtype(self.tokenizer.vocab_size)
    with writing_shard(self.folder, shard.name, dtype, columns=4 if self.drafts else 2) as writer:
      _ShardInWork(self, shard, writer, dtype).write()


Batch = list[tuple[Record, int, str]]  # a document, the number of the filter that drops it or -1, its reason


class _ShardInWork:
  """What is known of a shard while it is written."""

  def __init__(self, step: TokenizeShard, shard: Shard, writer: ShardWriter, dtype: np.dtype):
    self.step, self.shard, self.writer, self.dtype = step, shard, writer, dtype
    self.filters = [f for f in step.corpus.filters if not is_corpus_wide(f)]
    self.accounts = Accounts([filter.name for filter in self.filters])
    self.read = BadShare()
    self.languages, self.sources = _Names(), _Names()
    self.golden: dict | None = None
    self.quarantine = Quarantine(step.finished, shard.name)
    self.digests = DigestWriter(step.folder, shard.name) if step.drafts else None
    self.reporter = Reporter(step.folder, shard)

  def write(self) -> None:
    try:
      for batch, encoded in _encoded(
        _batches(self._documents()), self.step.tokenizer, self.step.corpus.count_dropped_tokens
      ):
        self._add(batch, encoded)
        self.reporter.update(self.accounts.documents, self.accounts.bytes)
      self._finish()
    finally:
      self.quarantine.discard()
      self.reporter.close()
      if self.digests:
        self.digests.discard()

  def _documents(self) -> Iterator[tuple[Record, int, str]]:
    """(record, number of the filter that drops it or -1, its reason)."""
    return _judged(self._records(), self.filters)

  def _records(self) -> Iterator[Record]:
    """The documents of the shard; what is none of them is booked."""
    for piece, size in zip(self.shard.pieces, self.shard.size, strict=True):
      for item in self.step.corpus.records(piece, self.step.split, self.read):
        self.accounts.records += 1
        if isinstance(item, BadRecord):
          self._set_aside(item)
        elif not item.text:
          self.accounts.empty += 1
        else:
          self.accounts.with_nul += '\0' in item.text
          yield item
      self.reporter.read += size

  def _set_aside(self, bad: BadRecord) -> None:
    counted = self.accounts.passed_over if bad.expected else self.accounts.bad
    counted[bad.reason] = counted.get(bad.reason, 0) + 1
    self.quarantine.add(bad)

  def _add(self, batch: Batch, encoded: list[list[int] | None]) -> None:
    """Writes the documents that are kept, and books all."""
    eos = self.step.tokenizer.eos_id
    streams, rows, digests = [], [], []
    booked: dict[tuple, record_counts.Amount] = {}
    for (record, dropped_by, reason), ids in zip(batch, encoded, strict=True):
      if ids is not None:
        ids.append(eos)
      text = record.text
      size = len(text) if text.isascii() else len(text.encode('utf-8', 'surrogatepass'))
      key = (dropped_by, reason, '') if dropped_by >= 0 else (-1, record.language, record.source)
      this = record_counts.amount(1, size, None if ids is None else len(ids))
      booked[key] = record_counts.plus(booked[key], this) if key in booked else this
      if dropped_by < 0:
        streams.append(np.array(ids, self.dtype))
        rows.append(self._row(record, size))
        if self.digests:
          digests.append(self.step.corpus.filters[-1].key(record))
        self.golden = self.golden or self._golden(text, ids)
    if streams:
      self.writer.add(streams, np.array(rows, np.int64))
    if self.digests:
      self.digests.add(digests)
    for (dropped_by, one, other), documents in booked.items():
      if dropped_by >= 0:
        self.accounts.drop(dropped_by, one, documents)
      else:
        self.accounts.keep(one, other, documents)

  def _row(self, record: Record, size: int) -> tuple[int, ...]:
    if not self.digests:
      return (size,)
    return size, self.languages.number(record.language), self.sources.number(record.source)

  def _golden(self, text: str, ids: Sequence[int]) -> dict:
    beginning = text[: token_store.GOLDEN_CHARACTERS]
    return token_store.golden(ids, beginning, self.step.tokenizer.encode(beginning))

  def _finish(self) -> None:
    quarantine = self.quarantine.finish()
    self._check_bad_share()
    about: dict = {'golden': self.golden, 'accounts': {**self.accounts.summary(), 'read': self.read.summary()}}
    if quarantine:
      about['quarantine'] = quarantine
    if self.digests:
      self.digests.finish()
      about['names'] = {'languages': self.languages.names, 'sources': self.sources.names}
    self.writer.finish(**about)


  def _check_bad_share(self) -> None:
    """Ends `prepare` before all shards are written, where what is broken so far is too much of the whole corpus.

    Whether that is so is judged once more when all are: the division into shards decides only when
    it is said. Losses of unknown size are counted only then.
    """
    corpus, sizes = self.step.corpus, self.step.sizes
    if self.read.bad <= corpus.max_bad_share * self.read.records:
      return
    names = [self.shard.name, *(name for name in sizes if shard_file(self.step.folder, name).exists())]
    others = [token_store.read_shard(self.step.folder, name)['accounts'] for name in names[1:]]
    read = merged([self.read.summary(), *(counts['read'] for counts in others)])
    whole = SURELY * read.records * sum(sizes.values()) / max(sum(sizes[name] for name in names), 1)
    if read.bad > corpus.max_bad_share * max(whole, read.records):
      raise read.error(corpus, len(names) == len(sizes), str(self.quarantine.path))


class Reporter:
  """Leaves beside the store how far a shard is, for the process that shows the progress.

  Attributes:
    read: size of the pieces that are done.
  """

  def __init__(self, folder: Path, shard: Shard):
    self.read = 0
    self._path = progress_file(folder, shard.name)
    self._last = time.monotonic()

  def update(self, documents: int, bytes: int) -> None:
    now = time.monotonic()
    if now - self._last >= REPORT_S:
      self._last = now
      with writing(self._path):
        self._path.write_text(f'{documents} {bytes} {self.read}')

  def close(self) -> None:
    self._path.unlink(missing_ok=True)


class _Names:
  """Numbers for names, in the order in which they come; what comes after the first many is one."""

  def __init__(self):
    self._numbers: dict[str, int] = {}

  @property
  def names(self) -> list[str]:
    return list(self._numbers)

  def number(self, name: str) -> int:
    if name not in self._numbers and len(self._numbers) >= record_counts.MOST_NAMES:
      name = record_counts.OTHERS
    return self._numbers.setdefault(name, len(self._numbers))


def _judged(records: Iterable[Record], filters: Sequence[Filter]) -> Iterator[tuple[Record, int, str]]:
  """Each record with the number of the first filter that drops it, or -1, and its reason.

  A filter with `reasons` judges several records together: one that runs
  programs keeps all cores busy with them.
  """
  together = JUDGED_TOGETHER if any(hasattr(filter, 'reasons') for filter in filters) else 1
  for block in _blocks(records, lambda record: len(record.text), together):
    verdicts = [(-1, '')] * len(block)
    for index, filter in enumerate(filters):
      left = [at for at, (dropped_by, _) in enumerate(verdicts) if dropped_by < 0]
      for at, reason in zip(left, _reasons(filter, [block[at] for at in left]), strict=True):
        if reason is not None:
          verdicts[at] = (index, reason)
    for record, verdict in zip(block, verdicts, strict=True):
      yield record, *verdict


def _reasons(filter: Filter, records: list[Record]) -> list[str | None]:
  return filter.reasons(records) if hasattr(filter, 'reasons') else [filter.reason(record) for record in records]


def _batches(documents: Iterable[tuple[Record, int, str]]) -> Iterator[Batch]:
  return _blocks(documents, lambda document: len(document[0].text), BATCH_DOCUMENTS)


def _blocks(items: Iterable[Item], characters_of: Callable[[Item], int], most: int) -> Iterator[list[Item]]:
  """Items in their order, together as long as they are few and short."""
  block, characters = [], 0
  for item in items:
    block.append(item)
    characters += characters_of(item)
    if characters >= BATCH_CHARACTERS or len(block) >= most:
      yield block
      block, characters = [], 0
  if block:
    yield block


def _encoded(
  batches: Iterable[Batch], tokenizer: Tokenizer, count_dropped: bool
) -> Iterator[tuple[Batch, list[list[int] | None]]]:
  """Each batch with its ids, None for what is dropped and not counted; while one is encoded, the next is read and the last one written.

  The tokenizer's threads hold no lock of Python's, and on many cores would
  wait for the reading most of the time.
  """
  def encode(batch: Batch) -> list[list[int] | None]:
    counted = [record.text for record, dropped_by, _ in batch if dropped_by < 0 or count_dropped]
    ids = iter(tokenizer.encode_batch(counted))
    return [next(ids) if dropped_by < 0 or count_dropped else None for _, dropped_by, _ in batch]

  with concurrent.futures.ThreadPoolExecutor(1) as thread:
    before = None
    for batch in batches:
      now = batch, thread.submit(encode, batch)
      if before:
        yield before[0], before[1].result()
      before = now
    if before:
      yield before[0], before[1].result()
