"""Random orders that depend on a seed and a document's own text, and on nothing else.

A document has the same order in every worker, file and run, and its copies have it too. A library's shuffle may change
with a release, which would change stores without another identity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar('Item')


def document_key(seed: int, text: str) -> bytes:
  """32 bytes that stand for a document under a seed."""
  return hashlib.sha256(f'{seed}\n{text}'.encode()).digest()


def shuffled(items: Sequence[Item], key: bytes, place: int = 0) -> list[Item]:
  """The items in the order of the hashes of their places, each order about as probable as any other.

  Args:
    items: what is shuffled.
    key: of the document.
    place: a number of what is shuffled in the document, such as of the line.
  """
  numbers = ((place << 64) + index for index in range(len(items)))
  hashes = [hashlib.blake2b(number.to_bytes(16, 'big'), key=key, digest_size=16).digest() for number in numbers]
  return [items[index] for index in sorted(range(len(items)), key=hashes.__getitem__)]
