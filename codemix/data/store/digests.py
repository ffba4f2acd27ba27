"""The digests of a token store: of its tokens as one stream, and of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from codemix.data.store.document_table import table_blocks
from codemix.data.store.shard_writer import documents_file, tokens_file
from codemix.identity import digest

READ_BYTES = 2**22  # at a time


def stream_digest(folder: Path, names: Sequence[str], dtype: np.dtype) -> str:
  """One hash of the tokens as one stream and of each document's tokens and bytes; reads all shards.

  It does not depend on the number of shards.
  """
  tokens, documents = hashlib.sha256(), hashlib.sha256()
  for name in names:
    with (folder / tokens_file(name)).open('rb') as file:
      while block := file.read(READ_BYTES):
        tokens.update(block)
    end = 0
    for rows in table_blocks(folder / documents_file(name)):
      documents.update(np.column_stack([np.diff(rows[:, 0], prepend=end), rows[:, 1]]).astype('<i8').tobytes())
      end = rows[-1, 0]
  return digest({'dtype': dtype.str, 'tokens': tokens.hexdigest(), 'documents': documents.hexdigest()})


def seal(manifest: Mapping) -> str:
  """Hash of all of a manifest but this hash, so that `open_store` need only compare the digests of the files."""
  return digest({key: value for key, value in manifest.items() if key != 'seal'})


def earlier_seal(manifest: Mapping) -> str:
  """The seal of an older codemix, which covered the digests only."""
  return digest([manifest['digest'], files_digest(manifest['shards'])])


def files_digest(shards: Sequence[dict]) -> str:
  """One hash of the files of all shards: the digest of a store without a seal. It depends on the number of shards."""
  return digest([shard['sha256'] for shard in shards])
