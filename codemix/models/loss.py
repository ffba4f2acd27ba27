"""Cross-entropy over a large vocabulary, without ever holding the logits of a whole batch.

The logits of one chunk of tokens are computed, and while they are there, also their gradient and its
products with the activations and the weights. The backward pass then only scales what the forward
pass has left: three matmuls in all, none twice.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from codemix.models.loss_blocks import Blocks
from codemix.models.loss_layout import Layout, on_mesh
from codemix.parallel.mesh import platform_of
from codemix.parallel.sharding import RULES, ShardingRules

# How many logits are in memory at once where nothing else is said. A CPU is fastest while they are in
# its cache, though not with fewer tokens than make up for going through the head's gradient once more.
LOGITS_BYTES = 2**30
CPU_LOGITS_BYTES = 2**24
LEAST_TOKENS = 256


class _Head(NamedTuple):
  """What turns activations into a loss, apart from the weights (hashable: static under jit)."""

  chunk: int | None
  logit_scale: float
  z_loss: float
  mesh: Mesh | None
  rules: ShardingRules

  @property
  def on_cpu(self) -> bool:
    return platform_of(self.mesh) == 'cpu'


def chunked_cross_entropy(
  x_BxLxD: jax.Array,
  head_VxD: jax.Array,
  targets_BxL: jax.Array,
  weights_BxL: jax.Array,
  *,
  chunk: int | None = None,
  logit_scale: float = 1.0,
  z_loss: float = 0.0,
  mesh: Mesh | None = None,
  rules: ShardingRules = RULES,
) -> tuple[jax.Array, jax.Array]:
  """Weighted sum of token losses under the logits `logit_scale * x @ head.T`.

  The matmuls take their inputs in the dtype of `x_BxLxD` and accumulate in float32; everything else
  is float32, the gradient of the head included.

  Args:
    chunk: positions of a row whose logits are in memory at once, for each row that a device has (its
      tokens are cut into equal chunks, of at most so many); None: `default_chunk`.
    mesh: the mesh that rows and positions are sharded over (`codemix.models.loss_layout`).
    rules: how `head_VxD` lies on the mesh.

  Returns: sum of weights * (nll + z_loss * logsumexp^2), a float32 scalar that can be
    differentiated by `x_BxLxD` and `head_VxD`; and the nll of each token (nats), float32 [B, L],
    whose gradient is not propagated.

  Raises:
    UserError: B or L is not divisible by the devices of `mesh` that it is split over.
  """
  head = _Head(chunk, logit_scale, z_loss, mesh, rules)
  return _loss(head, x_BxLxD, head_VxD, targets_BxL, weights_BxL)


def default_chunk(vocabulary: int, *, on_cpu: bool) -> int:
  """Tokens of a device whose logits are in memory at once.

  Args:
    vocabulary: logits that the device computes for each of its tokens.
  """
  most = CPU_LOGITS_BYTES if on_cpu else LOGITS_BYTES
  return max(most // (4 * vocabulary), LEAST_TOKENS)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _loss(head: _Head, x, head_VxD, targets, weights):
  loss, nll, _, _ = _evaluate(head, x, head_VxD, targets, weights, with_gradients=False)
  return loss, nll


def _loss_forward(head, x, head_VxD, targets, weights):
  loss, nll, dx, dhead = _evaluate(head, x, head_VxD, targets, weights, with_gradients=True)
  return (loss, nll), (dx, dhead)


def _loss_backward(head, gradients, cotangents):
  del head
  dx_BxLxD, dhead_VxD = gradients
  dloss, _ = cotangents
  return (dloss * dx_BxLxD).astype(dx_BxLxD.dtype), dloss * dhead_VxD, None, None


_loss.defvjp(_loss_forward, _loss_backward)


def _evaluate(head: _Head, x, head_VxD, targets, weights, *, with_gradients: bool):
  """Loss, nll_BxL, dx_BxLxD and dhead_VxD; the gradients are None unless asked for."""

  def of_device(layout: Layout, x_BxLxD, head_VxD, targets_BxL, weights_BxL):
    B, L, D = x_BxLxD.shape
    tokens = x_BxLxD.reshape(B * L, D), targets_BxL.reshape(-1), weights_BxL.reshape(-1)
    chunk = head.chunk * B if head.chunk else None
    nll_N, lse_N, dx_NxD, dhead_VxD = _scan_chunks(
      head, layout, chunk, tokens, head_VxD, with_gradients=with_gradients
    )
    loss = jnp.sum(tokens[2] * (nll_N + head.z_loss * lse_N**2))
    dx_BxLxD = dx_NxD.reshape(B, L, D) if with_gradients else None
    return loss, nll_N.reshape(B, L), dx_BxLxD, dhead_VxD

  # Weights go from device to device in the compute dtype, not in float32.
  arrays = x, head_VxD.astype(x.dtype), targets, weights
  return on_mesh(of_device, head.mesh, head.rules, *arrays, with_gradients=with_gradients)


def _scan_chunks(head: _Head, layout: Layout, chunk, tokens, head_VxD, *, with_gradients: bool):
  """nll_N, lse_N, dx_NxD and dhead_VxD of a device's tokens and its part of the vocabulary."""
  N, D = tokens[0].shape
  V = len(head_VxD)
  chunks = -(-N // (chunk or default_chunk(V * layout.members, on_cpu=head.on_cpu)))
  length = -(-N // chunks)
  padding = chunks * length - N  # fewer tokens than there are chunks
  blocks = Blocks.in_cache(V, length * layout.members) if head.on_cpu else Blocks(V, 1)

  def split(a_N):
    a_N = jnp.pad(a_N, [(0, padding)] + [(0, 0)] * (a_N.ndim - 1))
    return a_N.reshape(chunks, length, *a_N.shape[1:])

  def join(a_KxC):
    return a_KxC.reshape(chunks * length, *a_KxC.shape[2:])[:N]

  def step(dhead_VxD, own_tokens):
    x_CxD, targets_C, weights_C = map(layout.gather, own_tokens)
    targets_C -= layout.first_id(V)
    logits, *own = _chunk_logits(head, blocks, x_CxD, head_VxD, targets_C, keep=with_gradients)
    parts_Px2xC = layout.join(jnp.stack(own))
    lse_C, hit_C = jax.nn.logsumexp(parts_Px2xC[:, 0], axis=0), parts_Px2xC[:, 1].sum(axis=0)
    losses = layout.own(lse_C - hit_C), layout.own(lse_C)
    if not with_gradients:
      return None, (*losses, None)
    dlogits = functools.partial(_block_dlogits, head, blocks, logits, lse_C, targets_C, weights_C)
    dx_CxD, dhead_VxD = _chunk_gradients(head, blocks, dlogits, x_CxD, head_VxD, dhead_VxD)
    return dhead_VxD, (*losses, layout.sum_own(dx_CxD).astype(x_CxD.dtype))

  start = jnp.zeros((V, D), jnp.float32) if with_gradients else None
  dhead_VxD, (nll, lse, dx) = jax.lax.scan(step, start, tuple(map(split, tokens)))
  if not with_gradients:
    return join(nll), join(lse), None, None
  return join(nll), join(lse), join(dx), layout.sum_copies(dhead_VxD)


def _chunk_logits(head: _Head, blocks: Blocks, x_CxD, head_VxD, targets_C, *, keep: bool):
  """Logits [blocks, C, block] or None; of each token their log-sum-exp, and its target's (else 0)."""

  def block(_, i):
    logits_CxV = head.logit_scale * jnp.einsum(
      'cd,vd->cv', x_CxD, blocks.take(i, head_VxD), preferred_element_type=jnp.float32
    )
    logits_CxV = jnp.where(blocks.fresh(i), logits_CxV, -jnp.inf)
    is_here, column = blocks.find(i, targets_C)
    hit_C = jnp.take_along_axis(logits_CxV, column[:, None], axis=-1)[:, 0]
    lse_C = jax.nn.logsumexp(logits_CxV, axis=-1)
    return None, (logits_CxV if keep else None, lse_C, jnp.where(is_here, hit_C, 0))

  _, (logits, lse, hit) = jax.lax.scan(block, None, jnp.arange(blocks.count))
  return logits, jax.nn.logsumexp(lse, axis=0), hit.sum(axis=0)


def _block_dlogits(head: _Head, blocks: Blocks, logits_KxCxV, lse_C, targets_C, weights_C, i):
  """Gradient of the loss by `x @ head.T`, logit scale included, float32 [C, block]."""
  weights = head.logit_scale * weights_C
  softmax = jnp.exp(logits_KxCxV[i] - lse_C[:, None])
  is_target = targets_C[:, None] == blocks.ids(i)
  by_lse = weights * (1 + 2 * head.z_loss * lse_C)
  dlogits_CxV = softmax * by_lse[:, None] - jnp.where(is_target, weights[:, None], 0)
  return jnp.where(blocks.fresh(i), dlogits_CxV, 0)


def _chunk_gradients(head: _Head, blocks: Blocks, dlogits, x_CxD, head_VxD, dhead_VxD):
  """dx_CxD, float32; and dhead_VxD, to which this chunk's part is added in place."""
  product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)

  def block(i, carry):
    dx_CxD, dhead_VxD = carry
    dlogits_CxV = dlogits(i).astype(x_CxD.dtype)
    dx_CxD += product('cv,vd->cd', dlogits_CxV, blocks.take(i, head_VxD))
    dlogits_VxC = dlogits_CxV.T
    # A CPU's matmuls go through the columns of a matrix more slowly than it is turned.
    if head.on_cpu:
      dlogits_VxC = jax.lax.optimization_barrier(dlogits_VxC)
    return dx_CxD, blocks.add(i, dhead_VxD, product('vc,cd->vd', dlogits_VxC, x_CxD))

  start = jnp.zeros(x_CxD.shape, jnp.float32), dhead_VxD
  return jax.lax.fori_loop(0, blocks.count, block, start)
