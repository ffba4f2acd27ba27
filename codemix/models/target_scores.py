"""Negative log-likelihood of targets, and whether each is the likeliest token: the head, where it is needed.

The logits are computed for the scored tokens only, some of them at a time, and are never all in memory.

Shapes: B rows of L tokens, N tokens of a device, C tokens of a chunk, D width, V rows of the head.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from codemix.models.cpu.vocabulary_blocks import Blocks
from codemix.models.loss_layout import Layout, on_mesh
from codemix.parallel.mesh import platform_of
from codemix.parallel.sharding import RULES, ShardingRules

CHUNK = 512  # tokens of a device whose logits are in memory at once
CPU_CHUNK = 256


def target_scores(
  x_BxLxD: jax.Array,
  head_VxD: jax.Array,
  targets_BxL: jax.Array,
  weights_BxL: jax.Array,
  *,
  logit_scale: float = 1.0,
  mesh: Mesh | None = None,
  rules: ShardingRules = RULES,
) -> tuple[jax.Array, jax.Array]:
  """Scores the targets under the logits `logit_scale * x @ head.T`.

  Matmuls take their inputs in the dtype of `x_BxLxD` and accumulate in float32; the log-softmax is float32.

  Raises UserError: B or L is not divisible by the devices of `mesh` that it is split over.

  Args:
    weights_BxL: 0 for the tokens that are not scored; the others cost a matmul with the head.

  Returns: nats, float32 [B, L], and bool [B, L]: no token has a larger logit than the target, and none of
    a lower id has an equal one. Tokens that are not scored have 0 and False.
  """
  on_cpu = platform_of(mesh) == 'cpu'

  def of_device(layout: Layout, x_BxLxD, head_VxD, targets_BxL, weights_BxL):
    B, L, D = x_BxLxD.shape
    is_scored_N = weights_BxL.reshape(-1) > 0
    scores_Nx2 = _scan_scored(
      layout, x_BxLxD.reshape(B * L, D), head_VxD, targets_BxL.reshape(-1), is_scored_N, logit_scale, on_cpu
    )
    return jnp.zeros(()), scores_Nx2.reshape(B, L, 2), None, None

  arrays = x_BxLxD, head_VxD.astype(x_BxLxD.dtype), targets_BxL, weights_BxL
  _, scores_BxLx2, _, _ = on_mesh(of_device, mesh, rules, arrays, with_gradients=False)
  return scores_BxLx2[..., 0], scores_BxLx2[..., 1] > 0


def _scan_scored(layout: Layout, x_NxD, head_VxD, targets_N, is_scored_N, logit_scale: float, on_cpu: bool):
  """(nats, 1 if likeliest) of each token, float32 [N, 2]; only as many chunks run as have scored tokens."""
  N, V = len(x_NxD), len(head_VxD)
  size = min(CPU_CHUNK if on_cpu else CHUNK, N)
  blocks = Blocks.in_cache(V, size * layout.token_groups) if on_cpu else Blocks(V, 1)
  places = jnp.nonzero(is_scored_N, size=-(-N // size) * size, fill_value=N)[0]
  chunks = -(-is_scored_N.sum() // size)
  if layout.token_axes:  # the devices that exchange tokens run equally many chunks
    chunks = jax.lax.pmax(chunks, layout.token_axes)

  def chunk(i, scores_Nx2):
    places_C = jax.lax.dynamic_slice_in_dim(places, i * size, size)
    own = (a.at[places_C].get(mode='fill', fill_value=0) for a in (x_NxD, targets_N))
    x_CxD, targets_C = map(layout.gather_tokens, own)
    targets_C -= layout.first_row(V)
    parts_Px4xC = layout.gather_parts(_statistics(blocks, x_CxD, head_VxD, targets_C, logit_scale))
    lse_C = jax.nn.logsumexp(parts_Px4xC[:, 0], axis=0)
    hit_C, lower_C, higher_C = parts_Px4xC[:, 1:].max(axis=0)
    likeliest_C = (lower_C < hit_C) & (higher_C <= hit_C)
    scores_Cx2 = jnp.stack([lse_C - hit_C, likeliest_C.astype(jnp.float32)], axis=1)
    return scores_Nx2.at[places_C].set(layout.local_part(scores_Cx2), mode='drop')

  return jax.lax.fori_loop(0, chunks, chunk, jnp.zeros((N, 2), jnp.float32))


def _statistics(blocks: Blocks, x_CxD, head_VxD, targets_C, logit_scale: float) -> jax.Array:
  """Of this device's rows of the vocabulary, float32 [4, C]: log-sum-exp of the logits; the target's logit; the
  largest one of a lower id; and the largest one of a higher id. -inf stands for none."""

  def block(_, i):
    logits_CxV = logit_scale * jnp.einsum(
      'cd,vd->cv', x_CxD, blocks.take(i, head_VxD), preferred_element_type=jnp.float32
    )
    logits_CxV = jnp.where(blocks.is_new(i), logits_CxV, -jnp.inf)
    is_here, column = blocks.find(i, targets_C)
    hit_C = jnp.take_along_axis(logits_CxV, column[:, None], axis=-1)[:, 0]
    ids_V = blocks.ids(i)
    largest = lambda mask_CxV: jnp.where(mask_CxV, logits_CxV, -jnp.inf).max(axis=-1)
    lower_C, higher_C = largest(ids_V < targets_C[:, None]), largest(ids_V > targets_C[:, None])
    lse_C = jax.nn.logsumexp(logits_CxV, axis=-1)
    return None, (lse_C, jnp.where(is_here, hit_C, -jnp.inf), lower_C, higher_C)

  _, (lse, hit, lower, higher) = jax.lax.scan(block, None, jnp.arange(blocks.count))
  return jnp.stack([jax.nn.logsumexp(lse, axis=0), *(a.max(axis=0) for a in (hit, lower, higher))])
