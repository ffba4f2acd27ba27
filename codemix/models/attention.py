"""Causal attention inside the documents of packed rows: one function, several implementations."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from codemix.errors import UserError, nearest

Attention = Callable[[jax.Array, jax.Array, jax.Array, jax.Array | None], jax.Array]


def attend(
  q_BxLxHxK: jax.Array,
  k_BxLxGxK: jax.Array,
  v_BxLxGxK: jax.Array,
  segment_ids_BxL: jax.Array | None,
  *,
  implementation: str,
) -> jax.Array:
  """Each token attends to itself and to the earlier tokens with its own segment id.

  Head h of the H query heads reads key/value head h // (H / G). Scores are scaled by K^-0.5, and
  the softmax is in float32. Where `segment_ids_BxL` is None the mask is only causal.

  Returns: [B, L, H, K] in the dtype of `q_BxLxHxK`.

  Raises:
    UserError: `implementation` is not in `IMPLEMENTATIONS`.
  """
  if implementation not in IMPLEMENTATIONS:
    raise UserError(
      f'ModelConfig.attention is {implementation!r}: use {", ".join(sorted(IMPLEMENTATIONS))}.'
      f'{nearest(implementation, IMPLEMENTATIONS)}'
    )
  return IMPLEMENTATIONS[implementation](q_BxLxHxK, k_BxLxGxK, v_BxLxGxK, segment_ids_BxL)


def masked_attention(
  q_BxQxHxK: jax.Array, k_BxTxGxK: jax.Array, v_BxTxGxK: jax.Array, mask_BxQxT: jax.Array
) -> jax.Array:
  """Attention of Q queries to those of T keys that the mask allows: at least one for each query."""
  B, Q, H, K = q_BxQxHxK.shape
  G = k_BxTxGxK.shape[2]
  R = H // G
  # The R query heads of a key/value head are R times as many queries of that head.
  q_BxQRxGxK = q_BxQxHxK.reshape(B, Q, G, R, K).swapaxes(2, 3).reshape(B, Q * R, G, K)
  mask_BxQRxT = jnp.repeat(mask_BxQxT, R, axis=1)
  scores = jnp.einsum('bqgk,btgk->bgqt', q_BxQRxGxK, k_BxTxGxK, preferred_element_type=jnp.float32)
  scores = jnp.where(mask_BxQRxT[:, None], scores * K**-0.5, jnp.finfo(jnp.float32).min)
  weights = jax.nn.softmax(scores, axis=-1).astype(v_BxTxGxK.dtype)
  context_BxQRxGxK = jnp.einsum('bgqt,btgk->bqgk', weights, v_BxTxGxK)
  return context_BxQRxGxK.reshape(B, Q, R, G, K).swapaxes(2, 3).reshape(B, Q, H, K)


def _xla(q: jax.Array, k: jax.Array, v: jax.Array, segment_ids_BxL: jax.Array | None) -> jax.Array:
  index_L = jnp.arange(q.shape[1])
  mask_BxLxL = (index_L[:, None] >= index_L)[None]
  if segment_ids_BxL is not None:
    mask_BxLxL = mask_BxLxL & (segment_ids_BxL[:, :, None] == segment_ids_BxL[:, None, :])
  return masked_attention(q, k, v, mask_BxLxL)


IMPLEMENTATIONS: dict[str, Attention] = {'xla': _xla}
