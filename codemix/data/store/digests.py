"""The digests of a token store: of its tokens as one stream, and of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codemix.data.store.shard_writer import documents_file, tokens_file
from codemix.identity import digest

READ_BYTES, READ_ROWS = 2**22, 2**20  # at a time


def stream_digest(folder: Path, names: Sequence[str], dtype: np.dtype) -> str:
  """One hash of the tokens as one stream and of each document's tokens and bytes; reads all shards.

  It does not depend on the number of shards.
  """
  tokens, documents = hashlib.sha256(), hashlib.sha256()
  for name in names:
    with open(folder / tokens_file(name), 'rb') as file:
      while block := file.read(READ_BYTES):
        tokens.update(block)
    table = np.load(folder / documents_file(name), mmap_mode='r')
    for begin in range(0, len(table), READ_ROWS):
      rows = table[max(begin - 1, 0) : begin + READ_ROWS]
      lengths = np.diff(rows[:, 0], prepend=0)[bool(begin) :]
      documents.update(np.column_stack([lengths, rows[bool(begin) :, 1]]).astype('<i8').tobytes())
  return digest({'dtype': dtype.str, 'tokens': tokens.hexdigest(), 'documents': documents.hexdigest()})


def seal(content: str, shards: Sequence[dict]) -> str:
  """Hash of a store's digest and those of its files, so that `open_store` need only compare the latter."""
  return digest([content, files_digest(shards)])


def files_digest(shards: Sequence[dict]) -> str:
  """One hash of the files of all shards: the digest of a store without a seal. It depends on the number of shards."""
  return digest([shard['sha256'] for shard in shards])
