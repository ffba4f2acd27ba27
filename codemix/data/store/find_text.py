"""Finds a passage of text among a store's tokens."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterator

from codemix.data.store.token_store import TokenStore
from codemix.data.tokenization.tokenizer import Tokenizer

WINDOW = 2**16  # tokens decoded at a time


@dataclasses.dataclass(frozen=True)
class Passage:
  """An occurrence of a passage: tokens [start, stop) of the store, in a document (its number)."""

  document: int
  start: int
  stop: int


def find(store: TokenStore, tokenizer: Tokenizer, wanted: bytes) -> Iterator[Passage]:
  """Yields each place where a document contains `wanted`, byte by byte, in order.

  The tokens of a text depend on its context, so the stream is decoded and its bytes are compared.
  """
  for begin in range(0, store.tokens, WINDOW):
    # Every token but EOS is at least one byte, so a match that begins in the window ends within this.
    ids = store.read(begin, min(begin + WINDOW + len(wanted), store.tokens)).tolist()
    for first, last in _matches(ids, tokenizer, wanted):
      document = store.document_at(begin + first)
      # EOS decodes to nothing: a match either ends before it or reaches into the next document.
      if first < WINDOW and document == store.document_at(begin + last - 1):
        yield Passage(document, begin + first, begin + last)


def _matches(ids: list[int], tokenizer: Tokenizer, wanted: bytes) -> Iterator[tuple[int, int]]:
  """(first token, token after the last) of each match."""
  decoded = tokenizer.decode_bytes(ids)
  bytes_before = lambda count: len(tokenizer.decode_bytes(ids[:count]))
  at = decoded.find(wanted)
  while at >= 0:
    first = bisect.bisect_right(range(len(ids) + 1), at, key=bytes_before) - 1
    last = bisect.bisect_left(range(len(ids) + 1), at + len(wanted), key=bytes_before)
    yield first, last
    at = decoded.find(wanted, at + 1)
