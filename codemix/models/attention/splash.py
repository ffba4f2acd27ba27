"""Splash attention, JAX's Pallas kernel for TPUs: blocks above the diagonal are neither read nor computed."""

from __future__ import annotations

import jax
import jax.numpy as jnp

LANES = 128  # of a TPU's vector unit; a block is a multiple of it
BLOCK = 512  # tokens at most; MaxText trains with this size


def splash_attention(q_BxLxHxK, k_BxLxGxK, v_BxLxGxK, segment_ids_BxL, *, platform: str):
  """`codemix.models.attention.attend` for the rows and heads of one TPU; elsewhere interpreted."""
  from jax.experimental.pallas.ops.tpu import splash_attention as splash  # slow to import

  B, L, H, K = q_BxLxHxK.shape
  padded = -(-L // LANES) * LANES
  block = next(size for size in range(min(BLOCK, padded), 0, -LANES) if padded % size == 0)

  def heads_first(a):
    return jnp.pad(a, [(0, 0), (0, padded - L), (0, 0), (0, 0)]).swapaxes(1, 2)

  # The kernel has no scale.
  q = (q_BxLxHxK.astype(jnp.float32) * K**-0.5).astype(q_BxLxHxK.dtype)
  q, k, v = heads_first(q), heads_first(k_BxLxGxK), heads_first(v_BxLxGxK)
  attend = _kernel(splash, padded, H, block, interpret=platform != 'tpu')
  segments = None
  if segment_ids_BxL is not None:
    ids = jnp.pad(segment_ids_BxL, [(0, 0), (0, padded - L)])
    segments = splash.SegmentIds(ids, ids)
  return jax.vmap(attend)(q, k, v, segments).swapaxes(1, 2)[:, :L]


def _kernel(splash, length: int, heads: int, block: int, *, interpret: bool):
  sizes = splash.BlockSizes(
    **dict.fromkeys(('block_q', 'block_q_dkv', 'block_q_dq'), block),
    **dict.fromkeys(('block_kv', 'block_kv_dkv', 'block_kv_dq'), block),
  )
  mask = splash.MultiHeadMask([splash.CausalMask((length, length))] * heads)
  return splash.make_splash_mha(
    mask,
    block_sizes=sizes,
    head_shards=1,
    q_seq_shards=1,
    residual_checkpoint_name='context',  # so that remat policies keep what the backward pass reads
    interpret=interpret,
  )
