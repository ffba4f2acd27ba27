"""Cross-entropy over a large vocabulary, without ever holding the logits of a whole batch.

The logits of one chunk of sequence positions are computed, and while they are there, also their
gradient and its products with the activations and the weights. The backward pass then only scales
what the forward pass has left: three matmuls in all, none twice.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from codemix.parallel.sharding import RULES, TOKEN_AXES, ShardingRules, constrain
from codemix.parallel.tokens import rows_from_shards, shards_from_rows


class _Head(NamedTuple):
  """What turns activations into a loss, apart from the weights (hashable: static under jit)."""

  chunk: int
  logit_scale: float
  z_loss: float
  mesh: Mesh | None
  rules: ShardingRules


def chunked_cross_entropy(
  x_BxLxD: jax.Array,
  head_VxD: jax.Array,
  targets_BxL: jax.Array,
  weights_BxL: jax.Array,
  *,
  chunk: int,
  logit_scale: float = 1.0,
  z_loss: float = 0.0,
  mesh: Mesh | None = None,
  rules: ShardingRules = RULES,
) -> tuple[jax.Array, jax.Array]:
  """Weighted sum of token losses under the logits `logit_scale * x @ head.T`.

  The matmuls take their inputs in the dtype of `x_BxLxD` and accumulate in float32; everything else
  is float32, the gradient of the head included. At most `chunk` sequence positions (of all rows)
  have their logits in memory; where the mesh splits the positions of a row, so many on each device.
  A length that is not a multiple of it is cut into equal, slightly smaller chunks.

  Args:
    mesh: the mesh that rows and positions are sharded over. The gradient of the head is then summed
      over the devices once, and not once for each chunk.
    rules: how `head_VxD` lies on the mesh.

  Returns: sum of weights * (nll + z_loss * logsumexp^2), a float32 scalar that can be
    differentiated by `x_BxLxD` and `head_VxD`; and the nll of each token (nats), float32 [B, L],
    whose gradient is not propagated.

  Raises:
    UserError: B or L is not divisible by the devices of `mesh` that it is split over.
  """
  head = _Head(chunk, logit_scale, z_loss, mesh, rules)
  return _loss(head, x_BxLxD, head_VxD, targets_BxL, weights_BxL)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _loss(head: _Head, x, head_VxD, targets, weights):
  loss, nll, _ = _scan_shards(head, x, head_VxD, targets, weights, with_gradients=False)
  return loss, nll


def _loss_forward(head, x, head_VxD, targets, weights):
  loss, nll, gradients = _scan_shards(head, x, head_VxD, targets, weights, with_gradients=True)
  return (loss, nll), gradients


def _loss_backward(head, gradients, cotangents):
  del head
  dx_BxLxD, dhead_DxV = gradients
  dloss, _ = cotangents
  return (dloss * dx_BxLxD).astype(dx_BxLxD.dtype), dloss * dhead_DxV.T, None, None


_loss.defvjp(_loss_forward, _loss_backward)


def _scan_shards(head: _Head, x, head_VxD, targets, weights, *, with_gradients: bool):
  """`_scan_chunks` on each device's tokens alone: the head's gradients meet after the last chunk."""
  scan = functools.partial(_scan_chunks, head, with_gradients=with_gradients)
  # Gathered once and in the compute dtype, not in float32 and once for each chunk.
  head_VxD = _place_whole(head, head_VxD.astype(x.dtype), 'vocab', None)
  split = functools.partial(shards_from_rows, mesh=head.mesh)
  join = functools.partial(rows_from_shards, mesh=head.mesh)
  x_SxBxLxD = split(x)
  if len(x_SxBxLxD) == 1:
    return scan(x, head_VxD, targets, weights)
  loss, nll, gradients = jax.vmap(scan, in_axes=(0, None, 0, 0), spmd_axis_name=TOKEN_AXES)(
    x_SxBxLxD, head_VxD, split(targets), split(weights)
  )
  if with_gradients:
    dx, dhead_SxDxV = gradients
    gradients = join(dx), _sum_over_shards(dhead_SxDxV, head)
  return loss.sum(), join(nll), gradients


def _sum_over_shards(dhead_SxDxV: jax.Array, head: _Head) -> jax.Array:
  """The sum, split as the parameter is: first inside each copy of the parameters, then over them."""
  S, D, V = dhead_SxDxV.shape
  inside = head.mesh.shape['fsdp'] * head.mesh.shape['sequence']
  dhead_CxDxV = dhead_SxDxV.reshape(S // inside, inside, D, V).sum(axis=1)
  dhead_CxDxV = constrain(dhead_CxDxV, head.mesh, 'copies', 'embed', 'vocab', rules=head.rules)
  return constrain(dhead_CxDxV.sum(axis=0), head.mesh, 'embed', 'vocab', rules=head.rules)


def _place_whole(head: _Head, weights: jax.Array, *names: str | None) -> jax.Array:
  """Split over no axis that tokens are split over: each device needs it for its own."""
  return constrain(weights, head.mesh, *names, rules=head.rules, without=TOKEN_AXES)


def _scan_chunks(head: _Head, x_BxLxD, head_VxD, targets_BxL, weights_BxL, *, with_gradients: bool):
  """Loss, nll_BxL, and (dx_BxLxD, dhead_DxV) or None."""
  B, L, _ = x_BxLxD.shape
  chunks = -(-L // head.chunk)
  length = -(-L // chunks)
  padding = chunks * length - L  # fewer positions than there are chunks

  def split(a):  # [B, L, ...] -> [chunks, B, length, ...]
    a = jnp.pad(a, [(0, 0), (0, padding)] + [(0, 0)] * (a.ndim - 2))
    return a.reshape(B, chunks, length, *a.shape[2:]).swapaxes(0, 1)

  def join(a):
    return a.swapaxes(0, 1).reshape(B, chunks * length, *a.shape[3:])[:, :L]

  def step(carry, chunk):
    loss, dhead_DxV = carry
    x_BxCxD, targets_BxC, weights_BxC = chunk
    logits, lse, nll = _chunk_nll(head, x_BxCxD, head_VxD, targets_BxC)
    loss += jnp.sum(weights_BxC * (nll + head.z_loss * lse**2))
    if not with_gradients:
      return (loss, dhead_DxV), (nll, None)
    dlogits = _chunk_dlogits(head, logits, lse, targets_BxC, weights_BxC).astype(x_BxCxD.dtype)
    dx = jnp.einsum('bcv,vd->bcd', dlogits, head_VxD)
    # As [D, V], not [V, D]: three times as fast on CPUs, whose matmuls like the long side last.
    dhead_DxV += jnp.einsum('bcd,bcv->dv', x_BxCxD, dlogits, preferred_element_type=jnp.float32)
    return (loss, _place_whole(head, dhead_DxV, None, 'vocab')), (nll, dx)

  zeros = functools.partial(jnp.zeros, dtype=jnp.float32)
  start = zeros(()), zeros(head_VxD.T.shape) if with_gradients else None
  (loss, dhead_DxV), (nll, dx) = jax.lax.scan(
    step, start, (split(x_BxLxD), split(targets_BxL), split(weights_BxL))
  )
  return loss, join(nll), (join(dx), dhead_DxV) if with_gradients else None


def _chunk_nll(head: _Head, x_BxCxD, head_VxD, targets_BxC):
  logits = head.logit_scale * jnp.einsum(
    'bcd,vd->bcv', x_BxCxD, head_VxD, preferred_element_type=jnp.float32
  )
  lse = jax.nn.logsumexp(logits, axis=-1)
  hit = jnp.take_along_axis(logits, targets_BxC[..., None], axis=-1)[..., 0]
  return logits, lse, lse - hit


def _chunk_dlogits(head: _Head, logits_BxCxV, lse_BxC, targets_BxC, weights_BxC):
  """Gradient of the loss by `x @ head.T`, logit scale included, float32."""
  weights = head.logit_scale * weights_BxC
  softmax = jnp.exp(logits_BxCxV - lse_BxC[..., None])
  is_target = targets_BxC[..., None] == jnp.arange(logits_BxCxV.shape[-1])
  by_lse = weights * (1 + 2 * head.z_loss * lse_BxC)
  return softmax * by_lse[..., None] - jnp.where(is_target, weights[..., None], 0)
