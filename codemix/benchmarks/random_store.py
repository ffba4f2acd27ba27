"""Token stores of made-up documents, for benchmarks that need prepared data and not its contents."""

from __future__ import annotations

import numpy as np

from codemix.data.settings import Data, tokenizer_identity
from codemix.data.store import token_store

DOCUMENT_TOKENS = 300  # mean length


def prepare_random(data: Data, source: str, split: str, tokens: int) -> None:
  """Writes a store of about so many random tokens, as `codemix prepare` would one of a real source."""
  tokenizer = data.load_tokenizer()
  rng = np.random.default_rng(len(source))
  dtype = token_store.token_dtype(tokenizer.vocab_size)
  lengths = rng.exponential(DOCUMENT_TOKENS, tokens // DOCUMENT_TOKENS + 8).astype(int) + 2
  documents = ((rng.integers(3, tokenizer.vocab_size, length, dtype), int(length)) for length in lengths)
  folder = data.root / 'stores' / f'{source}-{split}-random'
  token_store.write_shard(folder, 'only', documents, dtype)
  identity = {'task': source, 'split': split, 'tokenizer': tokenizer_identity(tokenizer)}
  data.point_to(token_store.write_manifest(folder, identity, ['only'], dtype), source, split, tokenizer)
