"""Small token stores for tests, written with the code that writes real ones."""

from pathlib import Path

import numpy as np

from codemix.data.store import token_store
from codemix.data.store.token_store import TokenStore

EOS, BOS = 2, 1


def make_store(folder: Path, lengths: list[int], seed: int = 0, vocab: int = 50, shards: int = 2) -> TokenStore:
  """A store of random documents of these lengths (tokens, EOS included), two bytes a token."""
  rng = np.random.default_rng(seed)
  documents = [(np.append(rng.integers(3, vocab, n - 1), EOS), 2 * n) for n in lengths]
  names = [token_store.shard_name(i, shards) for i in range(shards)]
  dtype = token_store.token_dtype(vocab)
  for i, name in enumerate(names):
    token_store.write_shard(folder, name, documents[i::shards], dtype)
  return token_store.write_manifest(folder, {'task': folder.name, 'split': 'train'}, names, dtype)
