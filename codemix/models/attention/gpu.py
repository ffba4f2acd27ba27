"""JAX's flash-attention kernels for NVIDIA GPUs: Pallas (Triton) and cuDNN."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

BLOCK = 128  # tokens: the kernel's largest default block, which must divide the length


def pallas_attention(q_BxLxHxK, k_BxLxGxK, v_BxLxGxK, segment_ids_BxL, *, platform: str):
  """`codemix.models.attention.attend` for the rows and heads of one GPU; elsewhere interpreted."""
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', DeprecationWarning)  # for its successor, which is another package
    from jax.experimental.pallas.ops.gpu.attention import mha

  L, H, K = q_BxLxHxK.shape[1:]
  padding = -L % BLOCK
  pad = lambda a: jnp.pad(a, [(0, 0), (0, padding)] + [(0, 0)] * (a.ndim - 2))
  # The kernel needs as many key/value heads as query heads.
  k, v = (jnp.repeat(pad(a), H // a.shape[2], axis=2) for a in (k_BxLxGxK, v_BxLxGxK))
  segments = None if segment_ids_BxL is None else pad(segment_ids_BxL)
  out = mha(
    pad(q_BxLxHxK), k, v, segments, sm_scale=K**-0.5, causal=True, interpret=platform != 'gpu'
  )
  # The kernel names no residuals: remat keeps the output, and runs the forward pass again for them.
  return checkpoint_name(out[:, :L], 'context')


def cudnn_attention(q_BxLxHxK, k_BxLxGxK, v_BxLxGxK, segment_ids_BxL, *, platform: str):
  """`codemix.models.attention.attend` without documents, bfloat16 only.

  cuDNN's masks are the diagonal, a window, one length for each row, or a bias of L * L numbers. Its packed
  layout needs a table of offsets with a fixed number of documents, which packed rows do not have.
  """
  del segment_ids_BxL, platform
  return jax.nn.dot_product_attention(
    q_BxLxHxK, k_BxLxGxK, v_BxLxGxK, is_causal=True, implementation='cudnn'
  )
