"""Re-reads all of a token store: every byte against its digest, every table against its tokens."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from codemix.data.store.digests import stream_digest
from codemix.data.store.shard_writer import documents_file
from codemix.data.store.token_store import TokenStore, damaged, has_seal, open_store, verify_store
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.identity import digest

ROWS = 2**20  # of a table of documents, looked at together


def verify_whole(folder: Path, tokenizer: Tokenizer | None = None) -> tuple[TokenStore, int]:
  """Opens a store and re-reads all of it, whatever its size; returns it with the bytes read.

  Raises:
    UserError: as `open_store`; also where its identity is not the one that its
      folder is named by, or its tables do not agree with its tokens.
  """
  folder = Path(folder)
  store = open_store(folder, tokenizer=tokenizer)
  named = re.search('-([0-9a-f]{12})$', folder.resolve().name)
  if named and digest(store.manifest['identity'])[:12] != named[1]:
    raise damaged(folder / 'manifest.json', 'its identity is not the one that the folder is named by')
  sizes: list[int] = []
  verify_store(store, sizes.append)
  names = [shard['name'] for shard in store.manifest['shards']]
  if has_seal(store) and stream_digest(folder, names, np.dtype(store.manifest['dtype'])) != store.digest:
    raise damaged(folder / 'manifest.json', 'its digest is not that of its tokens')
  for shard in store.manifest['shards']:
    path = folder / documents_file(shard['name'])
    if not _adds_up(np.load(path, mmap_mode='r'), shard):
      raise damaged(path, 'its documents do not add up to its tokens')
  return store, sum(sizes)


def _adds_up(table: np.ndarray, shard: dict) -> bool:
  """Whether a table has the shard's documents, one behind the other up to its last token."""
  end = 0
  for begin in range(0, len(table), ROWS):
    ends = table[begin : begin + ROWS, 0]
    if (np.diff(ends, prepend=end) < 1).any():
      return False
    end = int(ends[-1])
  return (len(table), end) == (shard['documents'], shard['tokens'])
