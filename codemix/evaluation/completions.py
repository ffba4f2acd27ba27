"""Completions of texts: prompts into tokens, new tokens into text, and texts at which a completion ends."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from codemix.data.tokenization.text_bytes import as_bytes
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.formatting import count
from codemix.models.decoding import Completion, Decoding
from codemix.models.generate import Generated, generate, slots_that_fit
from codemix.terminal import warn_once


def complete(model, prompts: Sequence[str], keys: Sequence[str] | None, decoding: Decoding, show: Callable[[int], None]) -> list[list[Completion]]:
  """What `codemix.evaluation.model.Model.complete` returns, of a `Model`."""
  encoded = model.tokenizer.encode_batch(prompts) if prompts else []
  rows = [prompt_row(ids, model.tokenizer.bos_id, model.length, decoding) for ids in encoded]
  if cut := sum(len(row) <= len(ids) for row, ids in zip(rows, encoded, strict=True)):
    warn_once(
      f"stage '{model.name}': {cut:,} of {count(len(rows), 'prompt')} lost their beginning, since {decoding.max_new_tokens:,} new tokens "
      f'must fit into its rows of {model.length:,} tokens. Lower Decoding.max_new_tokens (--max_new_tokens).'
    )
  if keys is None:
    hashed = [zlib.crc32(np.asarray(row, np.int32).tobytes()) for row in rows]
  else:
    hashed = [zlib.crc32(as_bytes(key)) for key in keys]
  longest = max(model.length, decoding.max_new_tokens + 2)  # not that of these prompts: another set must not change the rounding
  texts = Texts(model.tokenizer, decoding.stop)
  of_prompts = generate(
    model.config, model.params, rows, hashed, decoding,
    eos_id=model.tokenizer.eos_id, stop=texts.stopped, slots=slots_that_fit(model.config, longest, model.mesh),
    mesh=model.mesh, rules=model.rules, show=show,
  )  # fmt: skip
  return [[texts.completion(generated) for generated in samples] for samples in of_prompts]


def prompt_row(ids: Sequence[int], bos_id: int, length: int, decoding: Decoding) -> list[int]:
  """BOS and the end of a prompt's tokens, as many as leave room in `length` for the new ones; at least one."""
  room = max(length - decoding.max_new_tokens - 1, 1)
  return [bos_id, *ids[-room:]]


class Texts:
  """The text of new tokens, and whether it has one of the stop texts."""

  def __init__(self, tokenizer: Tokenizer, stop: Sequence[str]):
    self._tokenizer = tokenizer
    self._stops = [as_bytes(text) for text in stop]
    # SentencePiece drops a space at the beginning of what it decodes, so text is decoded after these tokens.
    self._before = tokenizer.encode('a')
    self._skipped = len(tokenizer.decode_bytes(self._before))

  def bytes_of(self, ids: Sequence[int]) -> bytes:
    """What the tokens add to a text."""
    return self._tokenizer.decode_bytes([*self._before, *ids])[self._skipped :]

  def stopped(self, ids: Sequence[int], searched: int) -> int | None:
    """The least number of tokens, above `searched`, whose text has a stop text; None: all have none.

    Bytes are compared, so a stop text may span tokens, and a character may be divided between them.
    """
    if not self._stops or not self._has_stop(self.bytes_of(ids)):
      return None
    return next((n for n in range(searched + 1, len(ids)) if self._has_stop(self.bytes_of(ids[:n]))), len(ids))

  def completion(self, generated: Generated) -> Completion:
    """Its text ends before the stop text that begins first."""
    text = self.bytes_of(generated.ids)
    if generated.ended_by == 'stop':
      text = text[: min(at for stop in self._stops if (at := text.find(stop)) >= 0)]
    return Completion(text.decode('utf-8', 'replace'), len(generated.ids), generated.ended_by)

  def _has_stop(self, text: bytes) -> bool:
    return any(stop in text for stop in self._stops)
