"""A corpus as a SeqIO task, tokenized as it streams; `codemix prepare` writes the same tokens to a store."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator, Sequence

import seqio
import tensorflow as tf

from codemix.data.corpus.bad_share import BadShare
from codemix.data.corpus.corpus import Corpus
from codemix.data.filters import is_corpus_wide
from codemix.data.raw.protocols import Piece
from codemix.data.seqio.vocabularies import TokenizerVocabulary
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.errors import UserError

FIELDS = ('text', 'source', 'language', 'id')
_KEPT = {field: field for field in FIELDS[1:]}


class CorpusDataSource(seqio.DataSource):
  """The documents of a corpus that pass its filters, as scalar strings text, source, language, id.

  It shards by piece of the corpus where there are enough of them, else by record.

  Attributes:
    error: the UserError that ended a reading; TensorFlow raises another in its place.
    last_read: counts what the last shard that was read whole adds to the corpus. Shards by record all
      read the whole corpus, and only the first of them counts it.
  """

  supports_arbitrary_sharding = True

  def __init__(self, corpus: Corpus):
    self._corpus = corpus
    self.error: UserError | None = None
    self.last_read = BadShare()
    super().__init__(corpus.splits())

  @property
  def corpus(self) -> Corpus:
    return self._corpus

  def list_shards(self, split: str) -> Sequence[str]:
    """The pieces, by URL and beginning. Raises UserError where there are no files."""
    return [f'{piece.url}@{piece.start}' for piece in self.corpus.pieces(split)]

  def get_dataset(
    self,
    split: str = 'train',
    shuffle: bool = True,
    seed: int | None = None,
    shard_info: seqio.ShardInfo | None = None,
    **unused,  # arguments of other releases of SeqIO
  ) -> tf.data.Dataset:
    """The documents of a split, or of a shard of it; `shuffle` shuffles the pieces.

    Raises UserError: there are no files, or the first rows lack a field that the layout needs. More
    broken records than `Corpus.max_bad_share` end the reading with a tf.errors.OpError that names
    the first; of one shard among several, where it is a large enough sample of the corpus.
    """
    self.corpus.check(split)
    pieces = self.corpus.pieces(split)
    shard = shard_info or seqio.ShardInfo(0, 1)
    wide = next(filter(is_corpus_wide, self.corpus.filters), None)
    if wide and shard.num_shards > 1:
      raise UserError(
        f"'{wide.name}' of corpus '{self.corpus.name}' compares the whole corpus, which no host streams alone: "
        'prepare it with `codemix prepare`, or remove the filter.'
      )
    whole = shard.num_shards == 1 or shard.num_shards > len(pieces)
    if not whole:
      pieces = pieces[shard.index :: shard.num_shards]
    if shuffle:
      random.Random(seed).shuffle(pieces)
    counted = not whole or not shard.index
    signature = {field: tf.TensorSpec([], tf.string) for field in FIELDS}
    records = tf.data.Dataset.from_generator(
      functools.partial(self._examples, pieces, split, whole, counted), output_signature=signature
    )
    return records.shard(shard.num_shards, shard.index) if whole else records

  def _examples(self, pieces: Sequence[Piece], split: str, whole: bool, counted: bool) -> Iterator[dict[str, bytes]]:
    read = BadShare()
    try:
      for record in self.corpus.kept(split, pieces, read):
        yield {field: getattr(record, field).encode(errors='replace') for field in FIELDS}
      if whole:
        read.check(self.corpus, unread=0)
      self.last_read = read if counted else BadShare()
    except UserError as error:
      self.error = error
      raise


def register_source(name: str, source: seqio.DataSource) -> seqio.Task:
  """Registers a task over a source of `FIELDS`; its examples have `targets` (bytes, with EOS) and the fields.

  Raises UserError: the name is taken.
  """
  if name in seqio.TaskRegistry.names():
    raise UserError(f"a SeqIO task '{name}' is registered already: choose another name")
  return seqio.TaskRegistry.add(
    name,
    source=source,
    preprocessors=[
      functools.partial(seqio.preprocessors.rekey, key_map={'targets': 'text', **_KEPT}),
      seqio.preprocessors.tokenize,
      seqio.preprocessors.append_eos,
    ],
    output_features={
      'targets': seqio.Feature(TokenizerVocabulary(load_tokenizer('bytes')), add_eos=True)
    },
    metric_fns=[],
  )


def register_corpus(name: str, corpus: Corpus) -> seqio.Task:
  """Registers a corpus as the SeqIO task `name`.

  Its examples have `targets`, the ids of the byte tokenizer with EOS; `codemix prepare`, or
  `task.replace(output_features=...)`, puts another vocabulary in its place. They also have
  `targets_pretokenized`, the text, and `source`, `language` and `id`.

  Raises UserError: the name is taken. Missing files or fields raise at the first read.
  """
  return register_source(name, CorpusDataSource(corpus))
