"""The step of `prepare`: reads, filters, tokenizes and writes one shard's pieces of a corpus."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from codemix.data.corpus.bad_share import BadShare, merged
from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.outcomes import Dropped, blocks
from codemix.data.prepare.duplicates import DigestWriter
from codemix.data.prepare.progress import ShardReporter
from codemix.data.prepare.quarantine import Quarantine
from codemix.data.prepare.shards import Shard
from codemix.data.raw.record import BadRecord, Record, TransformedRecord
from codemix.data.store import record_counts, token_store
from codemix.data.store.record_counts import RecordCounts
from codemix.data.store.shard_writer import ShardWriter, shard_file, writing_shard
from codemix.data.tokenization.parts import encode_parts
from codemix.data.tokenization.tokenizer import Tokenizer

# Text encoded at a time: enough to keep the tokenizer's threads busy; its memory is about 100 times this.
BATCH_CHARACTERS = 2**20
BATCH_DOCUMENTS = 4096
MARGIN = 2  # times the expected records of a corpus: an error before its end must not be premature

Document = Record | Dropped  # with text
Encoded = tuple[Document, list[int] | None, np.ndarray | None]  # with its ids, and which count in the loss; None where they are not counted


@dataclasses.dataclass(frozen=True)
class TokenizeShard:
  """Writes a shard, unless it is there.

  Attributes:
    folder: where the shard is written.
    finished: the folder of the store; a shard that is there is not written again.
    drafts: whether duplicates are dropped later. The shard then holds the language and the source
      of each document, and its digest.
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
    with writing_shard(self.folder, shard.name, dtype, columns=4 if self.drafts else 2, with_loss=self.corpus.marks_answers) as writer:
      _ShardInWork(self, shard, writer, dtype).write()


class _ShardInWork:
  """The state of a shard while it is written."""

  def __init__(self, step: TokenizeShard, shard: Shard, writer: ShardWriter, dtype: np.dtype):
    self.step, self.shard, self.writer, self.dtype = step, shard, writer, dtype
    names = lambda parts: [part.name for part in parts]
    self.counts = RecordCounts(names(step.corpus.separate_filters), names(step.corpus.transformations))
    self.read = BadShare()
    self.languages, self.sources = _Names(), _Names()
    self.golden: dict | None = None
    self.quarantine = Quarantine(step.finished, shard.name)
    self.digests = DigestWriter(step.folder, shard.name) if step.drafts else None
    self.reporter = ShardReporter(step.folder, shard.name)

  def write(self) -> None:
    characters_of = lambda document: len(_record(document).text)
    batches = blocks(self._documents(), characters_of, BATCH_DOCUMENTS, BATCH_CHARACTERS)
    try:
      for batch in _encoded(batches, self.step.tokenizer, self.step.corpus.count_dropped_tokens):
        self._add(batch)
        self.reporter.update(self.counts.seen['documents'], self.counts.seen['bytes'])
      self._finish()
    finally:
      self.quarantine.discard()
      self.reporter.close()
      if self.digests:
        self.digests.discard()

  def _documents(self) -> Iterator[Document]:
    """The records of the shard that have text, kept or dropped; the others are counted here."""
    for piece, size in zip(self.shard.pieces, self.shard.size, strict=True):
      for outcome in self.step.corpus.outcomes(self.step.split, piece, self.read):
        self.counts.records += 1
        if isinstance(outcome, BadRecord):
          counted = self.counts.passed_over if outcome.expected else self.counts.bad
          counted[outcome.reason] = counted.get(outcome.reason, 0) + 1
          self.quarantine.add(outcome)
        elif not (text := _record(outcome).text):
          self.counts.empty += 1
        else:
          self.counts.with_nul += '\0' in text
          yield outcome
      self.reporter.pieces += size

  def _add(self, batch: list[Encoded]) -> None:
    """Writes the documents that are kept, and counts all."""
    streams, losses, rows, digests = [], [], [], []
    for document, ids, loss in batch:
      record = _record(document)
      size = len(record.text.encode())
      amount = record_counts.amount(1, size, None if ids is None else len(ids))
      if isinstance(record, TransformedRecord):
        self.counts.transform((*record.bytes_before, size))
      if isinstance(document, Dropped):
        self.counts.drop(document.filter, document.reason, amount)
        continue
      self.counts.keep(record.language, record.source, amount)
      streams.append(np.array(ids, self.dtype))
      losses.append(loss)
      if self.digests:
        rows.append((size, self.languages.number(record.language), self.sources.number(record.source)))
        digests.append(self.step.corpus.filters[-1].key(record))
      else:
        rows.append((size,))
      if not self.golden:
        beginning = record.text[: token_store.GOLDEN_CHARACTERS]
        self.golden = token_store.golden(ids, beginning, self.step.tokenizer.encode(beginning))
    self.writer.add(streams, np.array(rows, np.int64))
    if losses and self.step.corpus.marks_answers:
      self.writer.add_loss(np.concatenate(losses))
    if self.digests:
      self.digests.add(digests)

  def _finish(self) -> None:
    quarantine = self.quarantine.finish()
    self._check_bad_share()
    about: dict = {'golden': self.golden, 'accounts': {**self.counts.summary(), 'read': self.read.summary()}}
    if quarantine:
      about['quarantine'] = quarantine
    if self.digests:
      self.digests.finish()
      about['names'] = {'languages': self.languages.names, 'sources': self.sources.names}
    self.writer.finish(**about)

  def _check_bad_share(self) -> None:
    """Ends `prepare` before all shards are written, where so much is broken that the whole corpus cannot pass.

    The whole is judged again when all shards are written, so their division decides only how early
    the error comes. Losses of unknown size are counted only then.
    """
    sizes = self.step.sizes
    others = [name for name in sizes if name != self.shard.name and shard_file(self.step.folder, name).exists()]
    if not self.read.bad or len(others) + 1 == len(sizes):
      return
    counts = (token_store.read_shard(self.step.folder, name)['accounts'] for name in others)
    read = merged([self.read.summary(), *(shard['read'] for shard in counts)])
    read.unknown = []
    share_read = sum(sizes[name] for name in (self.shard.name, *others)) / sum(sizes.values())
    read.check(self.step.corpus, MARGIN * read.records / share_read - read.records, str(self.quarantine.path))


def _record(document: Document) -> Record:
  return document.record if isinstance(document, Dropped) else document


class _Names:
  """Numbers for names, in the order in which they come; all names after the first many share one."""

  def __init__(self):
    self._numbers: dict[str, int] = {}

  @property
  def names(self) -> list[str]:
    return list(self._numbers)

  def number(self, name: str) -> int:
    if name not in self._numbers and len(self._numbers) >= record_counts.MOST_NAMES:
      name = record_counts.OTHERS
    return self._numbers.setdefault(name, len(self._numbers))


def _encoded(batches: Iterable[list[Document]], tokenizer: Tokenizer, count_dropped: bool) -> Iterator[list[Encoded]]:
  """Each batch with its ids, EOS last, and which of them count in the loss. While one is encoded, the next is read, the last written."""
  def encode(batch: list[Document]) -> list[Encoded]:
    is_counted = lambda document: count_dropped or isinstance(document, Record)
    encoded = iter(encode_parts(tokenizer, [_record(document).parts() for document in batch if is_counted(document)]))
    return [(document, *(next(encoded) if is_counted(document) else (None, None))) for document in batch]

  with concurrent.futures.ThreadPoolExecutor(1) as thread:
    ahead = (thread.submit(encode, batch) for batch in batches)
    for before, _ in itertools.pairwise(itertools.chain(ahead, [None])):
      yield before.result()
