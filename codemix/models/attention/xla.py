"""Attention in a few XLA operations, with the scores of all pairs of tokens in memory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name


def masked_attention(
  q_BxQxHxK: jax.Array, k_BxTxGxK: jax.Array, v_BxTxGxK: jax.Array, mask_BxQxT: jax.Array
) -> jax.Array:
  """Attention of Q queries to T keys; the mask allows each query at least one."""
  B, Q, H, K = q_BxQxHxK.shape
  G = k_BxTxGxK.shape[2]
  R = H // G
  # The R query heads of a key/value head become R times as many queries of one head.
  q_BxQRxGxK = q_BxQxHxK.reshape(B, Q, G, R, K).swapaxes(2, 3).reshape(B, Q * R, G, K)
  mask_BxQRxT = jnp.repeat(mask_BxQxT, R, axis=1)
  scores = jnp.einsum('bqgk,btgk->bgqt', q_BxQRxGxK, k_BxTxGxK, preferred_element_type=jnp.float32)
  scores = jnp.where(mask_BxQRxT[:, None], scores * K**-0.5, jnp.finfo(jnp.float32).min)
  weights = jax.nn.softmax(scores, axis=-1).astype(v_BxTxGxK.dtype)
  context_BxQRxGxK = jnp.einsum('bgqt,btgk->bqgk', weights, v_BxTxGxK)
  return context_BxQRxGxK.reshape(B, Q, R, G, K).swapaxes(2, 3).reshape(B, Q, H, K)


def xla_attention(q_BxLxHxK, k_BxLxGxK, v_BxLxGxK, segment_ids_BxL, *, platform: str):
  """`codemix.models.attention.attend`."""
  del platform
  index_L = jnp.arange(q_BxLxHxK.shape[1])
  mask_BxLxL = (index_L[:, None] >= index_L)[None]
  if segment_ids_BxL is not None:
    mask_BxLxL = mask_BxLxL & (segment_ids_BxL[:, :, None] == segment_ids_BxL[:, None, :])
  context_BxLxHxK = masked_attention(q_BxLxHxK, k_BxLxGxK, v_BxLxGxK, mask_BxLxL)
  return checkpoint_name(context_BxLxHxK, 'context')
