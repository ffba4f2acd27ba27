"""A stage of a run as a SeqIO task: it streams exactly the rows that the stage trains on, in order.

Shard i of n gives rows i, i + n, i + 2n, ... So a reader that draws one row of each shard in turn, as
T5X does, gets the rows of the run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

import numpy as np
import seqio
import tensorflow as tf

from codemix.data.batches.rows import Batch
from codemix.data.batches.stage_rows import StageRows
from codemix.data.seqio.vocabularies import TokenizerVocabulary
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError

SPLIT = 'train'
FEATURES = {
  **dict.fromkeys(('inputs', 'targets', 'segment_ids', 'positions'), tf.int32),
  'weights': tf.float32,
}
# The same arrays by the names of seqio.PrePackedLMFeatureConverter and of T5X's decoder-only models.
DECODER_FEATURES = {
  'decoder_input_tokens': 'inputs',
  'decoder_target_tokens': 'targets',
  'decoder_segment_ids': 'segment_ids',
  'decoder_positions': 'positions',
  'decoder_loss_weights': 'weights',
}
READ_TOGETHER = 64  # rows


class StageDataSource(seqio.DataSource):
  """The rows of a stage, each with the arrays [L] of `rows.pack_row`."""

  supports_arbitrary_sharding = True

  def __init__(self, rows: StageRows, length: int):
    """`rows` are the stage's, of `length` tokens each."""
    # SeqIO would cache a source in memory that says how few examples it has.
    super().__init__((SPLIT,), caching_permitted=False)
    self._rows, self._length = rows, length

  def list_shards(self, split: str) -> list[str]:
    return [split]

  def get_dataset(
    self,
    split: str = SPLIT,
    shuffle: bool = False,
    seed: int | None = None,
    shard_info: seqio.ShardInfo | None = None,
  ) -> tf.data.Dataset:
    """The rows of a shard, in the order of the run; a seed has no effect.

    Raises UserError: `shuffle` is set.
    """
    if shuffle:
      raise UserError('the rows of a stage have the order of the run: give shuffle=False.')
    shard = shard_info or seqio.ShardInfo(0, 1)
    signature = {name: tf.TensorSpec([None, self._length], dtype) for name, dtype in FEATURES.items()}
    if self._rows.streamed:
      rows = tf.data.Dataset.from_generator(self._streamed, output_signature=signature).unbatch()
      return rows.shard(shard.num_shards, shard.index)
    positions = tf.data.Dataset.range(shard.index, len(self._rows), shard.num_shards).batch(READ_TOGETHER)
    return positions.map(self._read, num_parallel_calls=2, deterministic=True).unbatch()

  def _read(self, positions: tf.Tensor) -> dict[str, tf.Tensor]:
    def read(where: np.ndarray) -> list[np.ndarray]:
      batch = self._rows.read(where)
      return [batch[name] for name in FEATURES]

    arrays = tf.numpy_function(read, [positions], list(FEATURES.values()), stateful=False)
    return {name: tf.ensure_shape(array, [None, self._length]) for name, array in zip(FEATURES, arrays, strict=True)}

  def _streamed(self) -> Iterator[Batch]:
    together = math.gcd(len(self._rows), READ_TOGETHER)
    for batch in self._rows.in_order(together, range(len(self._rows) // together), np.arange(together)):
      yield {name: batch[name] for name in FEATURES}


class StageTask(seqio.Task):
  """A task whose name has a slash, 'recipe/stage', which SeqIO's constructor refuses."""

  name = None  # no property

  def __init__(self, name: str, **settings):
    super().__init__(re.sub(r'[^\w.:#]', '_', name), **settings)
    self.name = name


def register_stage(name: str, rows: StageRows, length: int, tokenizer: Tokenizer) -> seqio.Task:
  """Registers the rows of a stage, of L tokens each, as the SeqIO task `name`, split 'train'.

  Its features are inputs, targets, segment_ids, positions (int32 [L]) and weights (float32 [L]), as
  `rows.pack_row` says. Each example also has them by the names that T5X's decoder-only models read,
  for `seqio.PrePackedLMFeatureConverter`.

  Raises UserError: the name is taken. A `sequence_length` other than L, or shuffle=True, is refused
  when the dataset is made.
  """
  if name in {*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()}:
    raise UserError(f"a SeqIO task or mixture '{name}' is registered already; register a stage once in a program.")

  def with_decoder_names(
    dataset: tf.data.Dataset, sequence_length: Mapping[str, int] | None
  ) -> tf.data.Dataset:
    wrong = {key: asked for key, asked in (sequence_length or {}).items() if asked not in (None, length)}
    if wrong:
      raise UserError(f"the rows of '{name}' have {length:,} tokens, and sequence_length asks for {wrong}: give {{'targets': {length}}}, or None.")
    return dataset.map(lambda row: {**row, **{new: row[old] for new, old in DECODER_FEATURES.items()}})

  ids = seqio.Feature(TokenizerVocabulary(tokenizer), add_eos=False)
  counts = seqio.Feature(seqio.PassThroughVocabulary(length + 1), add_eos=False)
  task = StageTask(
    name,
    source=StageDataSource(rows, length),
    preprocessors=[with_decoder_names],
    output_features={
      **dict.fromkeys(('inputs', 'targets'), ids),
      **dict.fromkeys(('segment_ids', 'positions'), counts),
      'weights': seqio.ContinuousFeature(dtype=tf.float32, rank=1),
    },
    shuffle_buffer_size=None,
  )
  seqio.TaskRegistry.add_provider(name, task)
  return task
