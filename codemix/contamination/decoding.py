"""Token ids to bytes by one table look-up, and from a byte back to its token."""

from __future__ import annotations

import dataclasses

import numpy as np

from codemix.data.tokenization.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class Decoder:
  """The bytes of every token.

  Attributes:
    bytes: uint8 [...], of all tokens, end to end.
    first: int64 [vocabulary + 1], where each token's begin.
    eos_id: the token behind each document; it decodes to a line end, so that no word goes over it.
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

  A SentencePiece drops the space before the first token, so each is decoded
  behind another; of its single-byte pieces those beyond ASCII are lost.
  """
  lead = next(id for id in range(tokenizer.vocab_size) if tokenizer.decode_bytes([id]).isalpha())
  skipped = len(tokenizer.decode_bytes([lead]))
  texts = [tokenizer.decode_bytes([lead, id])[skipped:] for id in range(tokenizer.vocab_size)]
  texts[tokenizer.eos_id] = b'\n'
  first = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
  return Decoder(np.frombuffer(b''.join(texts), np.uint8), first, tokenizer.eos_id)
