"""Opens streamed sources: corpora of `Data.sources`, or SeqIO tasks through tf.data."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from codemix.data.batches.streamed_source import EpochSize, StreamedSource
from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.earlier_identity import stream_described
from codemix.data.filters import is_corpus_wide
from codemix.data.raw import storage
from codemix.data.raw.tensorflow_import import suppress_stderr
from codemix.data.seqio.function_identity import Described, stream_definition
from codemix.data.settings import Data, tokenizer_identity
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError
from codemix.identity import digest

SPLIT = 'train'
BATCH_DOCUMENTS = 64  # tokenized together, while earlier ones are trained on


def open_stream(name: str, data: Data, tokenizer: Tokenizer, length: int, max_epochs: float) -> StreamedSource:
  """A source that is read from its beginning.

  The raw files of a corpus are identified by their names and sizes: a digest
  would read them all, which streaming is meant to avoid.

  Raises UserError: there is no such source, a filter of it looks at the whole corpus, or it has prompts.
  """
  if name in data.corpora:
    corpus = data.corpora[name]
    corpus.check(SPLIT, share=True)
    if wide := next(filter(is_corpus_wide, corpus.filters), None):
      raise UserError(
        f"corpus '{name}' cannot be streamed: the filter '{wide.name}' looks at the whole corpus. Prepare it, or leave the filter out of Corpus.filters."
      )
    if corpus.marks_answers:
      raise UserError(f"corpus '{name}' cannot be streamed: {type(corpus.layout).__name__} has prompts, which do not count in the loss. Prepare it: bind Data.streaming = False.")
    fingerprint = lambda url: corpus.reader.digest(url) if storage.is_folder(url) else storage.size(url)
    identity = corpus.identity(SPLIT, fingerprint, stream_described)
    read = functools.partial(_tokenized, corpus, tokenizer)
  else:
    identity, read = _seqio_task(name, data, tokenizer)
  whole = {'streamed': identity, 'tokenizer': tokenizer_identity(tokenizer)}
  size = EpochSize(data.root / 'streams' / f'{digest(whole)[:12]}-{length}.json')
  return StreamedSource(name, read, whole, length, tokenizer.bos_id, max_epochs, size)


def _tokenized(corpus: Corpus, tokenizer: Tokenizer) -> Iterator[np.ndarray]:
  """One epoch: the ids of each document, with EOS; a thread tokenizes the next ones meanwhile."""
  texts = (record.text for record in corpus.kept(SPLIT))
  take = lambda: _encode(tokenizer, list(itertools.islice(texts, BATCH_DOCUMENTS)))
  with ThreadPoolExecutor(1) as thread:
    try:
      ahead = thread.submit(take)
      while batch := ahead.result():
        ahead = thread.submit(take)
        yield from batch
    finally:
      thread.submit(texts.close)  # what a reader has open belongs to the thread that opened it


def _encode(tokenizer: Tokenizer, texts: list[str]) -> list[np.ndarray]:
  return [np.asarray([*ids, tokenizer.eos_id], np.int32) for ids in tokenizer.encode_batch(texts)]


def _seqio_task(name: str, data: Data, tokenizer: Tokenizer):
  """(identity, one epoch's documents) of a registered task; here TensorFlow is imported."""
  with suppress_stderr():
    from codemix.data.seqio.registry import find_task, import_tasks
    from codemix.data.seqio.task_documents import stream
    from codemix.data.seqio.task_identity import task_identity
  import_tasks(data)
  task = find_task(name, SPLIT, data.corpora)
  by_size = Described(fingerprint=lambda path: path.stat().st_size, define=stream_definition)
  identity = {'task': name, **task_identity(task, SPLIT, by_size, stream_described)}
  return identity, functools.partial(stream, task, SPLIT, tokenizer)
