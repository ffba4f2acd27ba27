"""Random parameters and packed batches; and a function's results in float64."""

import jax
import jax.numpy as jnp
import numpy as np

from codemix.models import decoder
from codemix.models.config import ModelConfig

BOS = 1

# To optimise the tests' programs would take longer than to run them.
QUICK = {'xla_backend_optimization_level': 0}


def packed_batch(
  documents: list[list[list[int]]], length: int, seed: int = 0
) -> dict[str, jnp.ndarray]:
  """Rows of documents (lists of token ids); weights random in [0.5, 1.5]."""
  rows = len(documents)
  batch = {
    name: np.zeros((rows, length), np.int32)
    for name in ('inputs', 'targets', 'segment_ids', 'positions')
  }
  for row, texts in enumerate(documents):
    start = 0
    for number, tokens in enumerate(texts, 1):
      place = np.s_[row, start : start + len(tokens)]
      batch['inputs'][place] = [BOS, *tokens[:-1]]
      batch['targets'][place] = tokens
      batch['segment_ids'][place] = number
      batch['positions'][place] = np.arange(len(tokens))
      start += len(tokens)
  weights = np.random.default_rng(seed).uniform(0.5, 1.5, (rows, length))
  batch['weights'] = np.where(batch['segment_ids'] > 0, weights, 0).astype(np.float32)
  return {name: jnp.asarray(array) for name, array in batch.items()}


def random_documents(
  rng: np.random.Generator, vocab_size: int, lengths: list[int]
) -> list[list[int]]:
  """One document of random tokens (no special ones) for each length."""
  return [rng.integers(3, vocab_size, length).tolist() for length in lengths]


def random_params(config: ModelConfig, seed: int = 0) -> decoder.Params:
  """Parameters whose norm scales are not all 1; JAX's generator would take long to compile."""
  rng = np.random.default_rng(seed)

  def draw(path, shape):
    centre = 1 if path[-1].key == 'scale' else 0
    return jnp.asarray(centre + 0.2 * rng.normal(size=shape.shape), shape.dtype)

  return jax.tree_util.tree_map_with_path(draw, decoder.abstract_params(config))


def in_float64(function, *arguments):
  """The results of `function`, computed on the arguments' arrays in float64."""
  with jax.enable_x64(True):
    wide = lambda a: jnp.asarray(a, jnp.float64 if jnp.issubdtype(a.dtype, jnp.floating) else a.dtype)
    return jax.tree.map(np.asarray, function(*jax.tree.map(wide, arguments)))
