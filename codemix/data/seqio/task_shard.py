"""The step of `codemix prepare` for a SeqIO task: one shard is read through tf.data, tokenized and written.

A worker process unpickles the step before it may import TensorFlow quietly, so this module imports
neither TensorFlow nor SeqIO until a shard is written.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from codemix.data.raw.tensorflow_import import suppress_stderr
from codemix.data.settings import Data
from codemix.data.store import record_counts, token_store
from codemix.data.store.record_counts import RecordCounts
from codemix.data.store.shard_writer import ShardWriter, writing_shard
from codemix.data.tokenization.tokenizer import Tokenizer

WRITE_DOCUMENTS = 1024  # passed to the shard's writer at a time


@dataclasses.dataclass(frozen=True)
class WriteTaskShard:
  """Writes a shard by its name, unless it is there: every n-th document of a task, or its n-th part.

  `data` has the modules that register the task; `shards` are the names of all, in order.
  """

  folder: Path
  task: str
  split: str
  data: Data
  tokenizer: Tokenizer
  shards: tuple[str, ...]

  def __call__(self, shard: str) -> None:
    """Writes `shard`.

    Raises UserError: the task is not registered in this process, or its documents cannot be read.
    """
    if token_store.shard_is_complete(self.folder, shard):
      return
    with suppress_stderr():
      import seqio

      from codemix.data.seqio import corpus_task, registry, task_documents
    registry.import_tasks(self.data)
    task = registry.find_task(self.task, self.split)
    part = seqio.ShardInfo(self.shards.index(shard), len(self.shards))
    documents = task_documents.task_documents(task, self.split, self.tokenizer, part)
    with writing_shard(self.folder, shard, token_store.token_dtype(self.tokenizer.vocab_size)) as writer:
      about = _write(documents, writer, self.tokenizer)
      if isinstance(task.source, corpus_task.CorpusDataSource):
        about['accounts']['read'] = task.source.last_read.summary()
      writer.finish(**about)


def _write(documents: Iterator[tuple[np.ndarray, bytes]], writer: ShardWriter, tokenizer: Tokenizer) -> dict:
  """Writes the documents that have text; returns the shard's record counts and its golden document."""
  counts, golden = RecordCounts(()), None
  while block := list(itertools.islice(documents, WRITE_DOCUMENTS)):
    written = [(ids, text) for ids, text in block if len(ids) > 1]  # EOS alone is an empty document
    counts.records += len(block)
    counts.empty += len(block) - len(written)
    if not written:
      continue
    streams, texts = zip(*written, strict=True)
    sizes = np.array([len(text) for text in texts], np.int64)
    writer.add(streams, sizes[:, None])
    golden = golden or _golden(streams[0], texts[0], tokenizer)
    counts.with_nul += sum(b'\0' in text for text in texts)
    counts.keep('', '', record_counts.amount(len(written), sizes.sum(), sum(map(len, streams))))
  return {'golden': golden, 'accounts': counts.summary()}


def _golden(ids: np.ndarray, text: bytes, tokenizer: Tokenizer) -> dict:
  try:
    beginning = text.decode()[: token_store.GOLDEN_CHARACTERS]
  except UnicodeDecodeError:
    return token_store.golden(ids)
  return token_store.golden(ids, beginning, tokenizer.encode(beginning))
