"""Decodes token ids to bytes by a table, and gives the byte offset of each token."""

from __future__ import annotations

import dataclasses

import numpy as np

from codemix.data.tokenization.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class Decoder:
  """The bytes of every token.

  Attributes:
    bytes: uint8 [...], the bytes of all tokens, concatenated.
    first: int64 [vocabulary + 1], where each token's bytes begin in `bytes`.
    eos_id: the token after each document; it decodes to a line end, so that no word spans two documents.
  """

  bytes: np.ndarray
  first: np.ndarray
  eos_id: int

  def decode(self, ids: np.ndarray) -> tuple[bytes, np.ndarray]:
    """(the text, int64 [n + 1]: where each token begins in it, and where the last ends)."""
    counts = (self.first[1:] - self.first[:-1])[ids]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    places = np.repeat(self.first[ids] - offsets[:-1], counts) + np.arange(offsets[-1])
    return self.bytes[places].tobytes(), offsets


def make_decoder(tokenizer: Tokenizer) -> Decoder:
  """The table of a tokenizer.

  SentencePiece drops the space before the first token, so each token is decoded
  after another one. Its byte pieces that are not ASCII are lost.
  """
  lead = next(id for id in range(tokenizer.vocab_size) if tokenizer.decode_bytes([id]).isalpha())
  skipped = len(tokenizer.decode_bytes([lead]))
  texts = [tokenizer.decode_bytes([lead, id])[skipped:] for id in range(tokenizer.vocab_size)]
  texts[tokenizer.eos_id] = b'\n'
  first = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
  return Decoder(np.frombuffer(b''.join(texts), np.uint8), first, tokenizer.eos_id)
