"""Token stores of random documents, for benchmarks that need prepared data but not its contents."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codemix.data.settings import Data, tokenizer_identity
from codemix.data.store import token_store

DOCUMENT_TOKENS = 300


def write_random(folder: Path, identity: dict, tokens: int, vocabulary: int, mean: int = DOCUMENT_TOKENS, seed: int = 0):
  """Writes a store of about `tokens` random tokens in documents of `mean` tokens on average; returns it."""
  rng = np.random.default_rng(seed)
  dtype = token_store.token_dtype(vocabulary)
  lengths = rng.exponential(mean, tokens // mean + 8).astype(int) + 2
  documents = ((rng.integers(3, vocabulary, length, dtype), int(length)) for length in lengths)
  token_store.write_shard(folder, 'only', documents, dtype)
  return token_store.write_manifest(folder, identity, ['only'], dtype)


def prepare_random(data: Data, source: str, split: str, tokens: int) -> None:
  """Writes such a store where `codemix prepare` writes that of a source."""
  tokenizer = data.load_tokenizer()
  identity = {'task': source, 'split': split, 'tokenizer': tokenizer_identity(tokenizer)}
  folder = data.root / 'stores' / f'{source}-{split}-random'
  store = write_random(folder, identity, tokens, tokenizer.vocab_size, seed=len(source))
  data.point_to(store, source, split, tokenizer)
