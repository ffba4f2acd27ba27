"""codemix tokenizers as SeqIO vocabularies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import seqio
import tensorflow as tf

from codemix.data.tokenization.tokenizer import Tokenizer


class TokenizerVocabulary(seqio.Vocabulary):
  """A `Tokenizer` as a SeqIO vocabulary.

  A graph calls the tokenizer back in Python. The BPE backend releases the GIL
  while it encodes, so `Dataset.map(..., num_parallel_calls=AUTOTUNE)` uses all
  cores; a graph with such a call runs only in the process that built it.

  SeqIO pads and packs with id 0, whatever `pad_id` says; all tokenizers that
  codemix trains have padding at 0.

  Two vocabularies are equal if the digests of their tokenizers are.

  Attributes:
    has_encoded: whether it encoded text or built a graph that does. A task that never asks its
      vocabulary to encode brings ids of its own.
  """

  def __init__(self, tokenizer: Tokenizer):
    super().__init__()
    self.tokenizer = tokenizer
    self.has_encoded = False

  bos_id = property(lambda self: self.tokenizer.bos_id)
  eos_id = property(lambda self: self.tokenizer.eos_id)
  pad_id = property(lambda self: self.tokenizer.pad_id)
  unk_id = None  # no byte is unknown
  _base_vocab_size = property(lambda self: self.tokenizer.vocab_size)

  def _encode(self, s: str | bytes) -> list[int]:
    self.has_encoded = True
    return self.tokenizer.encode(s)

  def _decode(self, ids: Sequence[int]) -> str:
    return self.tokenizer.decode(ids)

  def _encode_tf(self, s: tf.Tensor | tf.RaggedTensor) -> tf.Tensor | tf.RaggedTensor:
    """A string scalar to int32 [length]; strings [n, ...] to a ragged int32 [n, ..., (length)]."""
    self.has_encoded = True
    if isinstance(s, tf.RaggedTensor):
      return s.with_flat_values(self._encode_tf(s.flat_values))
    if s.shape.rank in (None, 0):
      return self._encode_flat(tf.reshape(s, [1]))[0]
    if s.shape.rank == 1:
      return tf.RaggedTensor.from_row_lengths(*self._encode_flat(s))
    return self._encode_tf(tf.RaggedTensor.from_tensor(s, ragged_rank=s.shape.rank - 1))

  def _decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
    """Ids [..., length] to strings [...]: the text of `decode`, in UTF-8."""
    texts = tf.numpy_function(self._decode_rows, [ids], tf.string, stateful=False)
    texts.set_shape(ids.shape[:-1])
    return texts

  def decode_tf(self, ids: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
    """Ids [..., length], also ragged ones, to strings [...], each up to its first EOS."""
    if isinstance(ids, tf.RaggedTensor):
      ids = ids.to_tensor(default_value=self.pad_id)
    return super().decode_tf(ids)

  def _encode_flat(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Strings [n] to (int32 [total length], int64 [n] row lengths)."""
    dtypes = (tf.int32, tf.int64)
    ids, lengths = tf.numpy_function(self._encode_rows, [texts], dtypes, stateful=False)
    ids.set_shape([None])
    lengths.set_shape(texts.shape)
    return ids, lengths

  def _encode_rows(self, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = [np.array(row, np.int32) for row in self.tokenizer.encode_batch(texts.tolist())]
    lengths = np.array([len(row) for row in rows], np.int64)
    return np.concatenate([np.array([], np.int32), *rows]), lengths

  def _decode_rows(self, ids: np.ndarray) -> np.ndarray:
    *outer, length = ids.shape
    rows = ids.reshape(math.prod(outer), length).tolist()
    texts = [self.tokenizer.decode(row).encode() for row in rows]
    return np.array(texts, object).reshape(outer)

  def __eq__(self, other: object) -> bool:
    same_class = isinstance(other, TokenizerVocabulary)
    return same_class and self.tokenizer.digest == other.tokenizer.digest

  def __hash__(self) -> int:
    return hash(self.tokenizer.digest)

  def __str__(self) -> str:
    digest = self.tokenizer.digest[:12]
    return f'TokenizerVocabulary({self.tokenizer.kind}, {self.vocab_size} ids, {digest})'
