"""Samples the next token from its logits."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def nucleus(
  logits_BxV: jax.Array, top_k: jax.Array | int, top_p: jax.Array | float
) -> tuple[jax.Array, jax.Array]:
  """The candidates of each row, likeliest first; of equal logits the lower id comes first.

  These are the `top_k` likeliest tokens (0: all), and of them the fewest whose probabilities,
  renormalised, reach `top_p` (Holtzman et al., arXiv:1904.09751); at least one.

  Returns: logits, float32 [B, V], -inf where cut off; and their token ids, int32 [B, V].
  """
  ids_BxV = jnp.argsort(logits_BxV, axis=-1, descending=True, stable=True)
  sorted_BxV = jnp.take_along_axis(logits_BxV, ids_BxV, axis=-1)
  rank_V = jnp.arange(logits_BxV.shape[-1])
  sorted_BxV = jnp.where((top_k == 0) | (rank_V < top_k), sorted_BxV, -jnp.inf)
  probability_BxV = jax.nn.softmax(sorted_BxV, axis=-1)
  before_BxV = jnp.cumsum(probability_BxV, axis=-1) - probability_BxV
  # The sum of many probabilities is not exactly 1, so `top_p` = 1 needs its own condition.
  kept = (before_BxV < top_p) | (jnp.asarray(top_p) >= 1) | (rank_V == 0)
  return jnp.where(kept, sorted_BxV, -jnp.inf), ids_BxV


def sample(
  keys_B: jax.Array,
  logits_BxV: jax.Array,
  temperature: jax.Array | float,
  top_k: jax.Array | int,
  top_p: jax.Array | float,
) -> jax.Array:
  """Samples one token of each row at `temperature` > 0, with a key for each row: int32 [B]."""
  candidates_BxV, ids_BxV = nucleus(logits_BxV / temperature, top_k, top_p)
  choice_B = jax.vmap(jax.random.categorical)(keys_B, candidates_BxV)
  return jnp.take_along_axis(ids_BxV, choice_B[:, None], axis=-1)[:, 0]
