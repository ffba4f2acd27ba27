"""Attention in memory linear in the length, in operations that every platform has.

A row is cut into spans, and a span into tiles. A tile of queries visits the keys of its own span up
to the diagonal, and then whole earlier spans; the softmax is kept up to date by its running maximum
and sum (Milakov & Gimelshein, arXiv:1805.02867; Rabe & Staats, arXiv:2112.05682). What lies after
the last key that a tile sees is not computed, nor are spans without a document of the queries' span.
The backward pass computes the scores again from their log-sum-exp (Dao et al., arXiv:2205.14135,
appendix B).

Shapes: N pairs of a row and a key/value head, R query heads of such a pair, M tiles of T queries
(R * T rows with all R heads), L tokens of a padded row, K head size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

# Tokens at most. Of 128 to 512 and 128 to 1024, these took least time on two cores at lengths of 512 to
# 8192: products of fewer rows are half as fast, and larger ones compute more that is masked.
TILE = 256
SPAN = 512
CPU_SCORES = 2**19  # at a time (2 MiB): more leave the cache, fewer leave cores idle
NONE = -1e30  # a score that is masked; finite, so that no difference of two is NaN


class _Plan(NamedTuple):
  """How a row is cut (hashable: static under jit)."""

  spans: int
  tiles: int  # of a span
  tile: int  # tokens
  heads: int  # query heads of a key/value head
  pairs: int  # pairs of a row and a key/value head at a time

  @property
  def span(self) -> int:
    return self.tiles * self.tile


def blockwise_attention(
  q_BxLxHxK: jax.Array,
  k_BxLxGxK: jax.Array,
  v_BxLxGxK: jax.Array,
  segment_ids_BxL,
  *,
  platform: str,
) -> jax.Array:
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


def _plan(length: int, heads: int, pairs: int, platform: str) -> _Plan:
  """Spans and tiles of equal size, with fewer than 8 tokens of padding for each tile."""
  spans = -(-length // SPAN)
  tiles = -(-length // (spans * TILE))
  tile = -(-length // (spans * tiles))
  plan = _Plan(spans, tiles, -(-tile // 8) * 8, heads, pairs)
  if platform != 'cpu':
    return plan  # all pairs in parallel
  fitting = max(CPU_SCORES // (heads * plan.tile * plan.span), 1)
  few = next(n for n in range(min(pairs, fitting), 0, -1) if pairs % n == 0)
  return plan._replace(pairs=few)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attention(plan: _Plan, q_NxMxRTxK, k_NxLxK, v_NxLxK, segments_NxL):
  return _attention_forward(plan, q_NxMxRTxK, k_NxLxK, v_NxLxK, segments_NxL)[0]


def _attention_forward(plan: _Plan, *inputs):
  out, lse = _few_at_a_time(plan, functools.partial(_forward, plan), inputs)
  return out, (*inputs, out, lse)


def _attention_backward(plan: _Plan, residuals, dout):
  gradients = _few_at_a_time(plan, functools.partial(_backward, plan), (*residuals, dout))
  return *gradients, None


_attention.defvjp(_attention_forward, _attention_backward)


def _few_at_a_time(plan: _Plan, function: Callable, arrays: tuple) -> tuple:
  N = arrays[0].shape[0]
  if plan.pairs == N:
    return function(*arrays)
  split = lambda a: a.reshape(N // plan.pairs, plan.pairs, *a.shape[1:])
  join = lambda a: a.reshape(N, *a.shape[2:])
  return jax.tree.map(join, jax.lax.map(lambda few: function(*few), jax.tree.map(split, arrays)))


def _forward(plan: _Plan, q, k, v, segments):
  """Attention as `q`, and the log-sum-exp of each query's scores, float32 [N, M, R * T]."""
  first = _first_spans(plan, segments)

  def tile(number, out_and_lse):
    place, q_tile = number[2], _tile(q, number)

    def visit(state, keys, width, diagonal):
      largest, total, mean = state
      scores = _scores(plan, q_tile, k, segments, place, keys, width, diagonal)
      new = jnp.maximum(largest, scores.max(axis=-1))
      weights = jnp.exp(scores - new[..., None])
      kept = jnp.exp(largest - new)
      values = _matmul('nqt,ntk->nqk', weights.astype(v.dtype), _tokens(v, keys, width))
      return new, total * kept + weights.sum(axis=-1), mean * kept[..., None] + values

    zeros = jnp.zeros(q_tile.shape, jnp.float32)
    start = zeros[..., 0] + NONE, zeros[..., 0], zeros
    largest, total, mean = _visit_keys(plan, number, first, visit, start)
    out, lse = out_and_lse
    out = _put_tile(out, mean / total[..., None], number)
    return out, _put_tile(lse, largest + jnp.log(total), number)

  return _each_tile(plan, tile, (jnp.zeros_like(q), jnp.zeros(q.shape[:-1], jnp.float32)))


def _backward(plan: _Plan, q, k, v, segments, out, lse, dout):
  """Gradients by q, k and v."""
  first = _first_spans(plan, segments)
  delta = jnp.sum(out.astype(jnp.float32) * dout.astype(jnp.float32), axis=-1)
  # Products that begin with the columns of a matrix are two to three times as slow on CPUs as with
  # its rows, so these two are turned over once, and the gradients by keys and values come out so.
  q_KxRT, dout_KxRT = q.swapaxes(-1, -2), dout.swapaxes(-1, -2)

  def tile(number, gradients):
    place, q_tile, dout_tile = number[2], _tile(q, number), _tile(dout, number)
    columns = _tile(q_KxRT, number), _tile(dout_KxRT, number)
    lse_tile, delta_tile = _tile(lse, number)[..., None], _tile(delta, number)[..., None]

    def visit(state, keys, width, diagonal):
      dq_tile, dk_KxL, dv_KxL = state
      k_part, v_part = _tokens(k, keys, width), _tokens(v, keys, width)
      scores = _scores(plan, q_tile, k, segments, place, keys, width, diagonal)
      weights = jnp.exp(scores - lse_tile)
      dweights = _matmul('nqk,ntk->nqt', dout_tile, v_part)
      dscores = (weights * (dweights - delta_tile) * q.shape[-1] ** -0.5).astype(q.dtype)
      dk = _matmul('nkq,nqt->nkt', columns[0], dscores)
      dv = _matmul('nkq,nqt->nkt', columns[1], weights.astype(q.dtype))
      dq_tile += _matmul('nqt,ntk->nqk', dscores, k_part)
      return dq_tile, _add_tokens(dk_KxL, dk, keys), _add_tokens(dv_KxL, dv, keys)

    dq, dk_KxL, dv_KxL = gradients
    start = jnp.zeros(q_tile.shape, jnp.float32), dk_KxL, dv_KxL
    dq_tile, dk_KxL, dv_KxL = _visit_keys(plan, number, first, visit, start)
    return _put_tile(dq, dq_tile, number), dk_KxL, dv_KxL

  zeros_KxL = jnp.zeros(k.swapaxes(1, 2).shape, jnp.float32)
  dq, dk_KxL, dv_KxL = _each_tile(plan, tile, (jnp.zeros_like(q), zeros_KxL, zeros_KxL))
  return dq, dk_KxL.swapaxes(1, 2).astype(k.dtype), dv_KxL.swapaxes(1, 2).astype(v.dtype)


def _first_spans(plan: _Plan, segments_NxL) -> jax.Array:
  """For each span of queries the first span of keys that can share a document with it, [spans]."""
  if segments_NxL is None:
    return jnp.zeros(plan.spans, jnp.int32)
  # Padding comes last, whatever its number says.
  order = jnp.where(segments_NxL == 0, jnp.iinfo(jnp.int32).max, segments_NxL)
  order = order.reshape(order.shape[0], plan.spans, plan.span)
  least, most = order.min(axis=-1), order.max(axis=-1)
  share = (least[:, :, None] <= most[:, None]) & (least[:, None] <= most[:, :, None])
  return share.any(axis=0).argmax(axis=-1).astype(jnp.int32)


def _each_tile(plan: _Plan, tile: Callable, state):
  """`tile((span, its tile, tile of the row), state)` for all tiles of the row."""

  def span(number, state):
    for t in range(plan.tiles):
      state = tile((number, t, number * plan.tiles + t), state)
    return state

  return jax.lax.fori_loop(0, plan.spans, span, state)


def _visit_keys(plan: _Plan, number, first, visit: Callable, state):
  """`visit(state, first key, keys, whether the last T of them are the queries' own)`."""
  span, t, _ = number
  # The diagonal comes first: each query sees itself there, so its maximum is a real score from then on.
  state = visit(state, span * plan.span, (t + 1) * plan.tile, True)
  if plan.spans == 1:
    return state
  earlier = lambda j, state: visit(state, j * plan.span, plan.span, False)
  return jax.lax.fori_loop(first[span], span, earlier, state)


def _scores(plan: _Plan, q_tile, k, segments, place, keys, width: int, diagonal: bool):
  """Scores of a tile's queries for `width` keys, float32 [N, R * T, width]; NONE where masked."""
  scores = _matmul('nqk,ntk->nqt', q_tile, _tokens(k, keys, width)) * q_tile.shape[-1] ** -0.5
  mask = None
  if segments is not None:
    own = jnp.tile(_tokens(segments, place * plan.tile, plan.tile), plan.heads)
    mask = own[:, :, None] == _tokens(segments, keys, width)[:, None]
  if diagonal:
    own = jnp.tile(jnp.arange(width - plan.tile, width), plan.heads)
    causal = own[:, None] >= jnp.arange(width)
    mask = causal if mask is None else mask & causal
  return scores if mask is None else jnp.where(mask, scores, NONE)


def _matmul(subscripts: str, a: jax.Array, b: jax.Array) -> jax.Array:
  return jnp.einsum(subscripts, a, b, preferred_element_type=jnp.float32)


def _tile(a_NxMx: jax.Array, number) -> jax.Array:
  return jax.lax.dynamic_index_in_dim(a_NxMx, number[2], axis=1, keepdims=False)


def _put_tile(a_NxMx: jax.Array, tile: jax.Array, number) -> jax.Array:
  return jax.lax.dynamic_update_index_in_dim(a_NxMx, tile.astype(a_NxMx.dtype), number[2], axis=1)


def _tokens(a_NxLx: jax.Array, start, width: int) -> jax.Array:
  return jax.lax.dynamic_slice_in_dim(a_NxLx, start, width, axis=1)


def _add_tokens(a_NxKxL: jax.Array, part: jax.Array, start) -> jax.Array:
  old = jax.lax.dynamic_slice_in_dim(a_NxKxL, start, part.shape[2], axis=2)
  return jax.lax.dynamic_update_slice_in_dim(a_NxKxL, old + part, start, axis=2)
