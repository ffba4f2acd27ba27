"""Cross-entropy over a large vocabulary, without the logits of a whole batch in memory.

The forward pass computes the logits of one chunk of tokens, then their gradient, and from it the
gradients by the activations and by the head. The backward pass only scales those: three matmuls in
all, none twice.

Shapes: B rows of L tokens, N tokens of a device, C tokens of a chunk, D width, V rows of the head.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from codemix.models.cpu.matmul import transposed_copy
from codemix.models.cpu.vocabulary_blocks import Blocks
from codemix.models.loss_layout import Layout, on_mesh
from codemix.parallel.mesh import platform_of
from codemix.parallel.sharding import RULES, ShardingRules

# The logits in memory at once, by default. A CPU is fastest while they are in its cache, but each chunk
# also goes through the whole gradient of the head, which needs `LEAST_TOKENS` to be worth it.
LOGITS_BYTES = 2**30
CPU_LOGITS_BYTES = 2**24
LEAST_TOKENS = 256


class _Head(NamedTuple):
  """The settings of a loss (hashable: static under jit)."""

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

  Matmuls take their inputs in the dtype of `x_BxLxD` and accumulate in float32. Everything else is
  float32, including the gradient of the head.

  Raises UserError: B or L is not divisible by the devices of `mesh` that it is split over.

  Args:
    chunk: positions of a row whose logits are in memory at once, for each row of a device: its
      tokens are cut into equal chunks of at most chunk * rows. None: `default_chunk`.
    mesh: the mesh that rows and positions are sharded over (`codemix.models.loss_layout`).
    rules: how `head_VxD` is sharded over the mesh.

  Returns: the sum of weights * (nll + z_loss * logsumexp^2), a float32 scalar, differentiable by
    `x_BxLxD` and `head_VxD`; and the nll of each token in nats, float32 [B, L], not differentiable.
  """
  head = _Head(chunk, logit_scale, z_loss, mesh, rules)
  return _loss(head, x_BxLxD, head_VxD, targets_BxL, weights_BxL)


def default_chunk(vocabulary: int, *, on_cpu: bool) -> int:
  """Tokens of a device whose logits are in memory at once; it computes `vocabulary` logits for each."""
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

  # Devices exchange weights in the compute dtype, not in float32.
  arrays = x, head_VxD.astype(x.dtype), targets, weights
  return on_mesh(of_device, head.mesh, head.rules, arrays, with_gradients=with_gradients)


def _scan_chunks(head: _Head, layout: Layout, chunk, tokens, head_VxD, *, with_gradients: bool):
  """nll_N, lse_N, dx_NxD and dhead_VxD for a device's tokens and its part of the vocabulary."""
  N, D = tokens[0].shape
  V = len(head_VxD)
  chunks = -(-N // (chunk or default_chunk(V * layout.token_groups, on_cpu=head.on_cpu)))
  length = -(-N // chunks)
  padding = chunks * length - N  # fewer tokens than there are chunks
  blocks = Blocks.in_cache(V, length * layout.token_groups) if head.on_cpu else Blocks(V, 1)

  def split(a_N):
    a_N = jnp.pad(a_N, [(0, padding)] + [(0, 0)] * (a_N.ndim - 1))
    return a_N.reshape(chunks, length, *a_N.shape[1:])

  def join(a_KxC):
    return a_KxC.reshape(chunks * length, *a_KxC.shape[2:])[:N]

  def step(dhead_VxD, own_tokens):
    x_CxD, targets_C, weights_C = map(layout.gather_tokens, own_tokens)
    targets_C -= layout.first_row(V)
    logits, *own = _chunk_logits(head, blocks, x_CxD, head_VxD, targets_C, keep=with_gradients)
    parts_Px2xC = layout.gather_parts(jnp.stack(own))
    lse_C, hit_C = jax.nn.logsumexp(parts_Px2xC[:, 0], axis=0), parts_Px2xC[:, 1].sum(axis=0)
    losses = layout.local_part(lse_C - hit_C), layout.local_part(lse_C)
    if not with_gradients:
      return None, (*losses, None)
    dlogits = functools.partial(_block_dlogits, head, blocks, logits, lse_C, targets_C, weights_C)
    dx_CxD, dhead_VxD = _chunk_gradients(head, blocks, dlogits, x_CxD, head_VxD, dhead_VxD)
    return dhead_VxD, (*losses, layout.sum_local_part(dx_CxD).astype(x_CxD.dtype))

  start = jnp.zeros((V, D), jnp.float32) if with_gradients else None
  dhead_VxD, (nll, lse, dx) = jax.lax.scan(step, start, tuple(map(split, tokens)))
  if not with_gradients:
    return join(nll), join(lse), None, None
  return join(nll), join(lse), join(dx), layout.reduce_head_gradient(dhead_VxD)


def _chunk_logits(head: _Head, blocks: Blocks, x_CxD, head_VxD, targets_C, *, keep: bool):
  """Logits [blocks, C, block] or None; and of each token the log-sum-exp, and its target's logit or 0."""

  def block(_, i):
    logits_CxV = head.logit_scale * jnp.einsum(
      'cd,vd->cv', x_CxD, blocks.take(i, head_VxD), preferred_element_type=jnp.float32
    )
    logits_CxV = jnp.where(blocks.is_new(i), logits_CxV, -jnp.inf)
    is_here, column = blocks.find(i, targets_C)
    hit_C = jnp.take_along_axis(logits_CxV, column[:, None], axis=-1)[:, 0]
    lse_C = jax.nn.logsumexp(logits_CxV, axis=-1)
    return None, (logits_CxV if keep else None, lse_C, jnp.where(is_here, hit_C, 0))

  _, (logits, lse, hit) = jax.lax.scan(block, None, jnp.arange(blocks.count))
  return logits, jax.nn.logsumexp(lse, axis=0), hit.sum(axis=0)


def _block_dlogits(head: _Head, blocks: Blocks, logits_KxCxV, lse_C, targets_C, weights_C, i):
  """Gradient of the loss by `x @ head.T`, times the logit scale, float32 [C, block]."""
  weights = head.logit_scale * weights_C
  softmax = jnp.exp(logits_KxCxV[i] - lse_C[:, None])
  is_target = targets_C[:, None] == blocks.ids(i)
  by_lse = weights * (1 + 2 * head.z_loss * lse_C)
  dlogits_CxV = softmax * by_lse[:, None] - jnp.where(is_target, weights[:, None], 0)
  return jnp.where(blocks.is_new(i), dlogits_CxV, 0)


def _chunk_gradients(head: _Head, blocks: Blocks, dlogits, x_CxD, head_VxD, dhead_VxD):
  """dx_CxD in float32, and `dhead_VxD` with this chunk's part added in place."""
  product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)

  def block(i, carry):
    dx_CxD, dhead_VxD = carry
    dlogits_CxV = dlogits(i).astype(x_CxD.dtype)
    dx_CxD += product('cv,vd->cd', dlogits_CxV, blocks.take(i, head_VxD))
    dlogits_VxC = transposed_copy(dlogits_CxV) if head.on_cpu else dlogits_CxV.T
    return dx_CxD, blocks.add(i, dhead_VxD, product('vc,cd->vd', dlogits_VxC, x_CxD))

  start = jnp.zeros(x_CxD.shape, jnp.float32), dhead_VxD
  return jax.lax.fori_loop(0, blocks.count, block, start)
