"""The flash-attention kernels for NVIDIA GPUs that JAX has: Pallas (Triton) and cuDNN."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

BLOCK = 128  # tokens: the largest of the kernel's default blocks, which must divide the length


def pallas_attention(
  q_BxLxHxK: jax.Array,
  k_BxLxGxK: jax.Array,
  v_BxLxGxK: jax.Array,
  segment_ids_BxL,
  *,
  platform: str,
) -> jax.Array:
  """`codemix.models.attention.attend` for the rows and heads of one GPU; elsewhere interpreted."""
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', DeprecationWarning)  # its successor is a package of its own
    from jax.experimental.pallas.ops.gpu.attention import mha

  L, H, K = q_BxLxHxK.shape[1:]
  padding = -L % BLOCK
  pad = lambda a: jnp.pad(a, [(0, 0), (0, padding)] + [(0, 0)] * (a.ndim - 2))
  # The kernel wants as many key/value heads as query heads.
  k, v = (jnp.repeat(pad(a), H // a.shape[2], axis=2) for a in (k_BxLxGxK, v_BxLxGxK))
  segments = None if segment_ids_BxL is None else pad(segment_ids_BxL)
  out = mha(
    pad(q_BxLxHxK), k, v, segments, sm_scale=K**-0.5, causal=True, interpret=platform != 'gpu'
  )
  # The kernel names nothing that its backward pass reads: remat keeps this, and runs the forward again.
  return checkpoint_name(out[:, :L], 'context')


def cudnn_attention(
  q_BxLxHxK: jax.Array,
  k_BxLxGxK: jax.Array,
  v_BxLxGxK: jax.Array,
  segment_ids_BxL,
  *,
  platform: str,
) -> jax.Array:
  """`codemix.models.attention.attend` without documents, bfloat16 only.

  cuDNN masks by the diagonal, a window, one length for each row, or a bias of L * L numbers. Its packed
  layout takes documents as a table of offsets, with as many entries as a row can have documents: a
  number that packed rows do not have.
  """
  del segment_ids_BxL, platform
  return jax.nn.dot_product_attention(
    q_BxLxHxK, k_BxLxGxK, v_BxLxGxK, is_causal=True, implementation='cudnn'
  )
