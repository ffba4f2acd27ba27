"""Texts of which parts count in the loss: each part is tokenized by itself.

So no token is half a prompt, and a prompt has the ids that it has when a model is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError

Parts = Sequence[tuple[str, bool]]  # of a text: each with whether its tokens count in the loss


def encode_parts(tokenizer: Tokenizer, texts: Sequence[Parts]) -> list[tuple[list[int], np.ndarray]]:
  """The ids of each text with EOS, and whether each counts in the loss, bool; EOS does if the last part does."""
  encoded = iter(tokenizer.encode_batch([part for text in texts for part, _ in text]))
  found = []
  for text in texts:
    ids, counts = [], []
    for _, counted in text:
      ids += (part := next(encoded))
      counts += [counted] * len(part)
    found.append(([*ids, tokenizer.eos_id], np.array([*counts, text[-1][1]], bool)))
  return found


def require_joins(tokenizer: Tokenizer) -> None:
  """Raises UserError: the ids of two texts, one behind the other, are not those of the two texts joined."""
  first, second = 'a prompt:', ' an answer'
  [ids, more] = tokenizer.encode_batch([first, second])
  if tokenizer.decode([*ids, *more]) != first + second:
    raise UserError(
      f'the tokenizer ({tokenizer.kind}) puts something before each text that it encodes, so a prompt and its answer cannot be encoded apart and joined. '
      'Train a SentencePiece model with --add_dummy_prefix=false, or use another tokenizer.'
    )
