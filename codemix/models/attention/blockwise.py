"""Flash attention in plain XLA operations: memory is linear in the length, on every platform.

A row is cut into spans, and a span into tiles. A tile of queries visits the keys of its own span up
to the diagonal, and then whole earlier spans, with a running maximum and sum of the softmax (Milakov &
Gimelshein, arXiv:1805.02867; Rabe & Staats, arXiv:2112.05682). Keys after the tile's last query are
skipped, and spans that share no document with the queries' span. The backward pass computes the scores
again from their log-sum-exp (Dao et al., arXiv:2205.14135, appendix B).

Shapes: N pairs of a row and a key/value head, R query heads of such a pair, M tiles of T queries
(R * T rows with all R heads), L tokens of a padded row, K head size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from codemix.models.cpu.matmul import transposed_copy

# Tokens at most: the fastest of 128 to 512 and 128 to 1024 on two cores at lengths of 512 to 8192.
# Matmuls of fewer rows are half as fast, and larger ones compute more masked scores.
TILE = 256
SPAN = 512
CPU_SCORES = 2**19  # at a time (2 MiB): more leave the cache, fewer leave cores idle
NONE = -1e30  # a masked score; finite, so that no difference of two is NaN


class Plan(NamedTuple):
  """How rows are cut (hashable: static under jit)."""

  spans: int
  tiles: int  # of a span
  tile: int  # tokens
  heads: int  # query heads of a key/value head
  pairs: int  # pairs of a row and a key/value head at a time

  @property
  def span(self) -> int:
    return self.tiles * self.tile


def blockwise_attention(q_BxLxHxK, k_BxLxGxK, v_BxLxGxK, segment_ids_BxL, *, platform: str):
  """`codemix.models.attention.attend`; memory B * L * H * K, and no L * L."""
  B, L, H, K = q_BxLxHxK.shape
  G = k_BxLxGxK.shape[2]
  R = H // G
  plan = _plan(L, heads=R, pairs=B * G, platform=platform)
  M, T = plan.spans * plan.tiles, plan.tile
  pad = lambda a: jnp.pad(a, [(0, 0), (0, M * T - L)] + [(0, 0)] * (a.ndim - 2))
  q = pad(q_BxLxHxK).reshape(B, M, T, G, R, K).transpose(0, 3, 1, 4, 2, 5)
  k, v = (pad(a).swapaxes(1, 2).reshape(B * G, M * T, K) for a in (k_BxLxGxK, v_BxLxGxK))
  segments = None if segment_ids_BxL is None else jnp.repeat(pad(segment_ids_BxL), G, axis=0)
  out = _attention(plan, q.reshape(B * G, M, R * T, K), k, v, segments)
  out = out.reshape(B, G, M, R, T, K).transpose(0, 2, 4, 1, 3, 5)
  return out.reshape(B, M * T, H, K)[:, :L]


def _plan(length: int, heads: int, pairs: int, platform: str) -> Plan:
  """Spans and tiles of equal size, with fewer than 8 tokens of padding for each tile."""
  spans = -(-length // SPAN)
  tiles = -(-length // (spans * TILE))
  tile = -(-length // (spans * tiles))
  plan = Plan(spans, tiles, -(-tile // 8) * 8, heads, pairs)
  if platform != 'cpu':
    return plan  # all pairs in parallel
  fitting = max(CPU_SCORES // (heads * plan.tile * plan.span), 1)
  few = next(n for n in range(min(pairs, fitting), 0, -1) if pairs % n == 0)
  return plan._replace(pairs=few)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attention(plan: Plan, q_NxMxRTxK, k_NxLxK, v_NxLxK, segments_NxL):
  return _attention_forward(plan, q_NxMxRTxK, k_NxLxK, v_NxLxK, segments_NxL)[0]


def _attention_forward(plan: Plan, *inputs):
  out, lse = _few_at_a_time(plan, functools.partial(_forward, plan), inputs)
  # Remat policies keep what the backward pass reads.
  out, lse = checkpoint_name(out, 'context'), checkpoint_name(lse, 'context')
  return out, (*inputs, out, lse)


def _attention_backward(plan: Plan, residuals, dout):
  gradients = _few_at_a_time(plan, functools.partial(_backward, plan), (*residuals, dout))
  return *gradients, None


_attention.defvjp(_attention_forward, _attention_backward)


def _few_at_a_time(plan: Plan, function: Callable, arrays: tuple) -> tuple:
  N = arrays[0].shape[0]
  if plan.pairs == N:
    return function(*arrays)
  split = lambda a: a.reshape(N // plan.pairs, plan.pairs, *a.shape[1:])
  join = lambda a: a.reshape(N, *a.shape[2:])
  return jax.tree.map(join, jax.lax.map(lambda few: function(*few), jax.tree.map(split, arrays)))


def _forward(plan: Plan, q, k, v, segments):
  """Attention as `q`, and the log-sum-exp of each query's scores, float32 [N, M, R * T]."""
  first, _ = sharing_spans(plan, segments)

  def tile(number, out_and_lse):
    span, t, place = number
    q_tile = _tiles(q, place, 1)

    def visit(state, keys, width, diagonal):
      largest, total, mean = state
      k_part, v_part = _tokens(k, keys, width), _tokens(v, keys, width)
      scores = _matmul('nqk,ntk->nqt', q_tile, k_part) * q.shape[-1] ** -0.5
      mask = _mask(plan, segments, (place * plan.tile, plan.tile), (keys, width), diagonal)
      scores = jnp.where(mask, scores, NONE)
      new = jnp.maximum(largest, scores.max(axis=-1))
      weights = jnp.exp(scores - new[..., None])
      kept = jnp.exp(largest - new)
      values = _matmul('nqt,ntk->nqk', weights.astype(v.dtype), v_part)
      return new, total * kept + weights.sum(axis=-1), mean * kept[..., None] + values

    # The diagonal comes first: each query sees itself there, so that its maximum is a real score.
    zeros = jnp.zeros(q_tile.shape, jnp.float32)
    start = zeros[..., 0] + NONE, zeros[..., 0], zeros
    state = visit(start, span * plan.span, (t + 1) * plan.tile, True)
    earlier = lambda j, state: visit(state, j * plan.span, plan.span, False)
    largest, total, mean = _each(earlier, first[span], span, state, others=plan.spans > 1)
    out, lse = out_and_lse
    out = _put_tile(out, mean / total[..., None], place)
    return out, _put_tile(lse, largest + jnp.log(total), place)

  return _each_tile(plan, tile, (jnp.zeros_like(q), jnp.zeros(q.shape[:-1], jnp.float32)))


def _backward(plan: Plan, q, k, v, segments, out, lse, dout):
  """Gradients by q, k and v.

  Here a tile of keys visits the queries that see it. So the matmuls that sum over queries and over keys
  both read rows of their inputs; columns take CPUs two to three times as long.
  """
  _, last = sharing_spans(plan, segments)
  delta = jnp.sum(out.astype(jnp.float32) * dout.astype(jnp.float32), axis=-1)
  k_KxL = transposed_copy(k)
  scale = q.shape[-1] ** -0.5

  def tile(number, gradients):
    span, t, place = number
    keys = place * plan.tile, plan.tile
    k_tile, v_tile = _tokens(k, *keys), _tokens(v, *keys)
    columns = jax.lax.dynamic_slice_in_dim(k_KxL, *keys, axis=2)

    def visit(state, first, tiles, diagonal):
      dq_KxMRT, dk_tile, dv_tile = state
      q_part, dout_part, lse_part, delta_part = (
        _tiles(a, first, tiles) for a in (q, dout, lse, delta)
      )
      queries = first * plan.tile, tiles * plan.tile
      mask = _mask(plan, segments, queries, keys, diagonal).swapaxes(1, 2)
      scores = _matmul('ntk,nqk->ntq', k_tile, q_part) * scale
      weights = jnp.where(mask, jnp.exp(scores - lse_part[:, None]), 0)
      dweights = _matmul('ntk,nqk->ntq', v_tile, dout_part)
      dscores = (weights * (dweights - delta_part[:, None]) * scale).astype(q.dtype)
      dk_tile += _matmul('ntq,nqk->ntk', dscores, q_part)
      dv_tile += _matmul('ntq,nqk->ntk', weights.astype(q.dtype), dout_part)
      dq = _matmul('nkt,ntq->nkq', columns, dscores)
      return _add_columns(dq_KxMRT, dq, first * q.shape[2]), dk_tile, dv_tile

    dq_KxMRT, dk, dv = gradients
    zeros = jnp.zeros(k_tile.shape, jnp.float32)
    state = visit((dq_KxMRT, zeros, zeros), place, plan.tiles - t, True)
    later = lambda i, state: visit(state, i * plan.tiles, plan.tiles, False)
    dq_KxMRT, dk_tile, dv_tile = _each(later, span + 1, last[span] + 1, state, others=plan.spans > 1)
    return dq_KxMRT, _put_tokens(dk, dk_tile, keys[0]), _put_tokens(dv, dv_tile, keys[0])

  N, M, RT, K = q.shape
  start = jnp.zeros((N, K, M * RT), jnp.float32), jnp.zeros_like(k), jnp.zeros_like(v)
  dq_KxMRT, dk, dv = _each_tile(plan, tile, start)
  return dq_KxMRT.swapaxes(1, 2).reshape(q.shape).astype(q.dtype), dk, dv


def sharing_spans(plan: Plan, segments_NxL) -> tuple[jax.Array, jax.Array]:
  """For each span, the first and the last span that may share a document with it, int32 [spans]."""
  if segments_NxL is None:
    first = jnp.zeros(plan.spans, jnp.int32)
    return first, first + plan.spans - 1
  # Padding has segment id 0, and comes last.
  order = jnp.where(segments_NxL == 0, jnp.iinfo(jnp.int32).max, segments_NxL)
  order = order.reshape(order.shape[0], plan.spans, plan.span)
  least, most = order.min(axis=-1), order.max(axis=-1)
  share = (least[:, :, None] <= most[:, None]) & (least[:, None] <= most[:, :, None])
  share = share.any(axis=0)
  first, from_end = share.argmax(axis=-1), share[:, ::-1].argmax(axis=-1)
  return first.astype(jnp.int32), (plan.spans - 1 - from_end).astype(jnp.int32)


def _each_tile(plan: Plan, tile: Callable, state):
  """`tile((span, its tile, tile of the row), state)` for all tiles of the row."""

  def span(number, state):
    for t in range(plan.tiles):
      state = tile((number, t, number * plan.tiles + t), state)
    return state

  return jax.lax.fori_loop(0, plan.spans, span, state)


def _each(function: Callable, first, end, state, *, others: bool):
  """`function(i, state)` for i in range(first, end); no loop where there are no other spans."""
  return jax.lax.fori_loop(first, end, function, state) if others else state


def _mask(plan: Plan, segments, queries, keys, diagonal: bool) -> jax.Array:
  """Which keys a query sees, [N or 1, rows, keys].

  Args:
    queries, keys: the first token, and the number of tokens; of queries, whole tiles.
    diagonal: whether they overlap; if there are more keys, both end at the same token, else both start
      at the same one.
  """
  rows = lambda a_xT: _rows(plan, a_xT)[..., None]
  mask = jnp.ones((1, 1, 1), bool)
  if segments is not None:
    mask &= rows(_tokens(segments, *queries)) == _tokens(segments, *keys)[:, None]
  if diagonal:
    ahead = max(keys[1] - queries[1], 0)
    mask &= rows(ahead + jnp.arange(queries[1])[None]) >= jnp.arange(keys[1])
  return mask


def _rows(plan: Plan, a_NxT: jax.Array) -> jax.Array:
  """Values of tokens [N, T] to values of query rows: a tile has its tokens once for each head."""
  a_NxMx1xT = a_NxT.reshape(len(a_NxT), -1, 1, plan.tile)
  return jnp.repeat(a_NxMx1xT, plan.heads, axis=2).reshape(len(a_NxT), -1)


def _matmul(subscripts: str, a: jax.Array, b: jax.Array) -> jax.Array:
  return jnp.einsum(subscripts, a, b, preferred_element_type=jnp.float32)


def _tiles(a_NxMxRTx: jax.Array, first, count: int) -> jax.Array:
  """[N, count * R * T, ...]."""
  a = jax.lax.dynamic_slice_in_dim(a_NxMxRTx, first, count, axis=1)
  return a.reshape(a.shape[0], -1, *a.shape[3:])


def _put_tile(a_NxMx: jax.Array, tile: jax.Array, place) -> jax.Array:
  return jax.lax.dynamic_update_index_in_dim(a_NxMx, tile.astype(a_NxMx.dtype), place, axis=1)


def _tokens(a_NxLx: jax.Array, first, count: int) -> jax.Array:
  return jax.lax.dynamic_slice_in_dim(a_NxLx, first, count, axis=1)


def _put_tokens(a_NxLx: jax.Array, part: jax.Array, first) -> jax.Array:
  return jax.lax.dynamic_update_slice_in_dim(a_NxLx, part.astype(a_NxLx.dtype), first, axis=1)


def _add_columns(a_NxKxC: jax.Array, part: jax.Array, first) -> jax.Array:
  old = jax.lax.dynamic_slice_in_dim(a_NxKxC, first, part.shape[2], axis=2)
  return jax.lax.dynamic_update_slice_in_dim(a_NxKxC, old + part, first, axis=2)
