"""The digests of a token store: of its tokens as one stream, and of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from codemix.data.store.document_table import table_blocks
from codemix.data.store.shard_writer import documents_file, loss_file, tokens_file
from codemix.identity import digest

READ_BYTES = 2**22  # at a time


def stream_digest(folder: Path, names: Sequence[str], dtype: np.dtype, with_loss: bool = False) -> str:
  """One hash of the tokens as one stream and of each document's tokens and bytes; reads all shards.

  It does not depend on the number of shards. With `with_loss` it also covers which tokens count in the loss.
  """
  tokens, documents, loss = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
  for name in names:
    _update(tokens, folder / tokens_file(name))
    if with_loss:
      _update(loss, folder / loss_file(name))
    end = 0
    for rows in table_blocks(folder / documents_file(name)):
      documents.update(np.column_stack([np.diff(rows[:, 0], prepend=end), rows[:, 1]]).astype('<i8').tobytes())
      end = rows[-1, 0]
  # Left out where every token counts, as in the digests of stores from before there were others.
  of_loss = {'loss': loss.hexdigest()} if with_loss else {}
  return digest({'dtype': dtype.str, 'tokens': tokens.hexdigest(), 'documents': documents.hexdigest(), **of_loss})


def _update(hashed, path: Path) -> None:
  with path.open('rb') as file:
    while block := file.read(READ_BYTES):
      hashed.update(block)


def seal(manifest: Mapping) -> str:
  """Hash of all of a manifest but this hash, so that `open_store` need only compare the digests of the files."""
  return digest({key: value for key, value in manifest.items() if key != 'seal'})


def earlier_seal(manifest: Mapping) -> str:
  """The seal of an older codemix, which covered the digests only."""
  return digest([manifest['digest'], files_digest(manifest['shards'])])


def files_digest(shards: Sequence[dict]) -> str:
  """One hash of the files of all shards: the digest of a store without a seal. It depends on the number of shards."""
  return digest([shard['sha256'] for shard in shards])
