"""Summary of a token store: counts, lengths of its documents, and examples."""

from __future__ import annotations

import contextlib

import numpy as np

from codemix.data.store.token_store import TokenStore
from codemix.data.tokenization.tokenizer import Tokenizer, load_tokenizer
from codemix.errors import UserError

QUANTILES = (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)


def describe(store: TokenStore) -> dict:
  """Counts, and how long its documents are.

  Returns:
    'folder', 'task', 'split', 'documents', 'tokens', 'bytes', 'digest'; of a store with prompts 'loss_tokens'; and
    'lengths': {'tokens' | 'bytes': {'mean', 'quantiles': {'0.5': ...}}, 'histogram': [[from, documents, tokens], ...]},
    the histogram over powers of two of tokens.
  """
  tokens, size = np.diff(store.document_ends, prepend=0), store.document_bytes
  identity = store.manifest['identity']
  return {
    'folder': str(store.folder),
    'task': identity.get('task'),
    'split': identity.get('split'),
    'documents': store.documents,
    'tokens': store.tokens,
    'bytes': store.bytes,
    'digest': store.digest,
    **({'loss_tokens': store.loss_tokens} if store.has_prompts else {}),
    'lengths': {'tokens': _spread(tokens), 'bytes': _spread(size), 'histogram': _histogram(tokens)},
  }


def _spread(values: np.ndarray) -> dict:
  return {
    'mean': float(values.mean()),
    'quantiles': {f'{q:g}': int(v) for q, v in zip(QUANTILES, np.quantile(values, QUANTILES, method='nearest'), strict=True)},
  }


def _histogram(tokens: np.ndarray) -> list[list[int]]:
  """[from, documents, tokens] for lengths from 2^k to below 2^(k+1)."""
  power = np.frexp(tokens)[1] - 1
  return [
    [int(2**k), int((power == k).sum()), int(tokens[power == k].sum())] for k in np.unique(power)
  ]


def find_tokenizer(store: TokenStore) -> Tokenizer | None:
  """The tokenizer that a store was made with, if it is in the same data folder."""
  wanted = store.manifest['identity'].get('tokenizer', {}).get('digest')
  # A source's name may have slashes, which make folders.
  stores = next((above for above in store.folder.absolute().parents if above.name == 'stores'), store.folder.absolute().parent)
  files = (stores.parent / 'tokenizers').glob('*')
  for spec in ('bytes', *sorted(path for path in files if path.suffix in ('.json', '.model'))):
    with contextlib.suppress(UserError):  # not a tokenizer
      tokenizer = load_tokenizer(spec, lossy=True)
      if tokenizer.digest == wanted:
        return tokenizer
  return None


def first_documents(store: TokenStore, tokenizer: Tokenizer, count: int, tokens: int = 64) -> list[str]:
  """The beginnings of the first documents, as text."""
  begins = np.concatenate([[0], store.document_ends[:-1]])[:count]
  ends = np.minimum(store.document_ends[:count], begins + tokens)
  return [
    tokenizer.decode(store.read(begin, end).tolist())
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
  ]
