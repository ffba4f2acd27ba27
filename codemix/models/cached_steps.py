"""What generation computes on the devices: prompts into the key/value cache, and a chunk of new tokens.

Shapes: S slots, each with one completion; T positions of the cache; L of a prompt; C steps of a chunk; H query
heads, G key/value heads, R = H / G; K head size; V vocabulary.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from codemix.models import attention, decoder, sampling
from codemix.models.config import ModelConfig
from codemix.parallel.sharding import RULES, ShardingRules, constrain

TILE = 128  # positions of the cache that attention reads at a time; 64 is slower on CPUs
NOTHING = -1  # in place of tokens after the end

Cache = tuple[jax.Array, jax.Array]  # keys and values, each [layers, S, G, T, K]
_AXES = (None, 'batch', 'kv_heads', None, None)


class Slots(NamedTuple):
  """The state of each slot before a chunk; arrays [S].

  Attributes:
    token: the last known token, which is not in the cache yet; int32.
    position: its position, which is the number of tokens in the cache; int32.
    step: new tokens so far; int32.
    left: new tokens that may follow; 0: the slot is free; int32.
    key, sample: seed the random numbers, with the step; uint32.
  """

  token: jax.Array
  position: jax.Array
  step: jax.Array
  left: jax.Array
  key: jax.Array
  sample: jax.Array


@functools.partial(jax.jit, static_argnames='config')
def compute_params(config: ModelConfig, params: decoder.Params) -> decoder.Params:
  """The parameters with matrices in the compute dtype, so that a step does not convert them again."""

  def convert(path, array):
    return array if path[-1].key == 'scale' else array.astype(config.dtype)

  return jax.tree_util.tree_map_with_path(convert, params)


@functools.partial(jax.jit, static_argnames=('config', 'slots', 'length', 'mesh', 'rules'))
def empty_cache(config: ModelConfig, slots: int, length: int, mesh: Mesh | None, rules: ShardingRules = RULES) -> Cache:
  """A cache of zeros: rows are split over the mesh as a batch, and heads as those of keys and values."""
  shape = config.layers, slots, config.key_value_heads, length, config.head_dim
  zeros = constrain(jnp.zeros(shape, config.dtype), mesh, *_AXES, rules=rules)
  return zeros, zeros


@functools.partial(jax.jit, static_argnames=('config', 'mesh', 'rules'))
def prefill(config: ModelConfig, params, prompts_BxL, mesh: Mesh | None, rules: ShardingRules = RULES) -> Cache:
  """Keys and values of prompts, [layers, B, G, L, K], each row from position 0."""
  B, L = prompts_BxL.shape

  def attend(q, k, v, cache):
    del cache  # there is none yet
    context = attention.attend(q, k, v, None, implementation='xla')
    return context, (k.swapaxes(1, 2), v.swapaxes(1, 2))

  positions_BxL = jnp.broadcast_to(jnp.arange(L), (B, L))
  _, (k, v) = decoder.bind(config, params)(prompts_BxL, positions_BxL, attend)
  return tuple(constrain(a, mesh, *_AXES, rules=rules) for a in (k, v))


@functools.partial(jax.jit, donate_argnums=0)
def insert(cache: Cache, prompts: Cache, row: jax.Array, slot: jax.Array) -> Cache:
  """The cache with a row of `prefill` in a slot, from position 0 on."""

  def put(old, new):
    chosen = jax.lax.dynamic_slice_in_dim(new, row, 1, axis=1)
    return jax.lax.dynamic_update_slice(old, chosen, (0, slot, 0, 0, 0))

  return jax.tree.map(put, cache, prompts)


@functools.partial(
  jax.jit, static_argnames=('config', 'chunk', 'greedy', 'mesh', 'rules'), donate_argnames='cache'
)
def decode(
  config: ModelConfig, params, cache: Cache, slots: Slots, steps, eos_id, seed, options,
  *, chunk: int, greedy: bool, mesh: Mesh | None, rules: ShardingRules = RULES,
) -> tuple[Cache, jax.Array]:
  """Up to `steps` new tokens in each slot; it ends earlier if all slots have ended.

  A slot's tokens depend on its own row of the cache only: attention adds tiles of the cache in order, and a
  tile without tokens of the slot adds exactly nothing, whatever the other slots need.

  Args:
    steps: at most `chunk`.
    options: temperature, top_k and top_p of `sampling.sample`; not used if `greedy`.

  Returns: the cache, and tokens int32 [S, chunk], `NOTHING` after EOS, after `left` tokens and after the last
    step.
  """
  S = slots.token.shape[0]
  model = decoder.bind(config, params)
  rows_S = jnp.arange(S)

  def choose(x_SxD, step_S):
    logits_SxV = decoder.logits(config, params, x_SxD)
    if greedy:
      return logits_SxV.argmax(axis=-1)
    return sampling.sample(_keys(seed, slots.key, slots.sample, step_S), logits_SxV, *options)

  def goes_on(state):
    i, _, _, ended_S, _ = state
    return (i < steps) & ~ended_S.all()

  def next_token(state):
    i, (k_cache, v_cache), token_S, ended_S, tokens_SxC = state
    position_S = slots.position + i
    tiles = (jnp.where(ended_S, 0, position_S).max() + TILE - 1) // TILE

    def attend(q, k, v, layer):
      read = functools.partial(_read_tile, k_cache, v_cache, layer)
      return _attend_cache(q, k, v, read, position_S, tiles), (k[:, 0], v[:, 0])

    x_Sx1xD, (k_new, v_new) = model(token_S[:, None], position_S[:, None], attend, jnp.arange(config.layers))
    # Positions beyond the cache, of slots that have ended, are dropped.
    cache = tuple(
      constrain(old.at[:, rows_S, :, position_S].set(new.swapaxes(0, 1)), mesh, *_AXES, rules=rules)
      for old, new in ((k_cache, k_new), (v_cache, v_new))
    )
    token_S = constrain(choose(x_Sx1xD[:, 0], slots.step + i), mesh, None)
    tokens_SxC = tokens_SxC.at[:, i].set(jnp.where(ended_S, NOTHING, token_S))
    ended_S |= (token_S == eos_id) | (i + 1 >= slots.left)
    return i + 1, cache, token_S, ended_S, tokens_SxC

  state = 0, cache, slots.token, slots.left <= 0, jnp.full((S, chunk), NOTHING)
  _, cache, _, _, tokens_SxC = jax.lax.while_loop(goes_on, next_token, state)
  return cache, constrain(tokens_SxC, mesh, None, None)  # replicated on every process


def _keys(seed, key_S, sample_S, step_S) -> jax.Array:
  """A random key for each slot's next token."""
  base = jax.random.key(seed, impl='threefry2x32')
  fold = jax.random.fold_in
  return jax.vmap(lambda key, sample, step: fold(fold(fold(base, key), sample), step))(key_S, sample_S, step_S)


def _read_tile(k_cache, v_cache, layer, tile) -> tuple[jax.Array, jax.Array]:
  """Keys and values [S, G, TILE, K] of one layer and one tile."""
  _, S, G, _, K = k_cache.shape
  start, size = (layer, 0, 0, tile * TILE, 0), (1, S, G, TILE, K)
  return tuple(jax.lax.dynamic_slice(cache, start, size)[0] for cache in (k_cache, v_cache))


def _attend_cache(q_Sx1xHxK, k_Sx1xGxK, v_Sx1xGxK, read, position_S, tiles) -> jax.Array:
  """Attention of one query of each slot to its own token and to the cached ones before it.

  The softmax is summed tile by tile with its running maximum (Milakov and Gimelshein, arXiv:1805.02867), in
  float32, from the token itself on, so that the maximum is always finite.
  """
  S, _, H, K = q_Sx1xHxK.shape
  G = k_Sx1xGxK.shape[2]
  q_SxGxRxK = q_Sx1xHxK.reshape(S, G, H // G, K)
  scale = K**-0.5

  def add_tile(tile, state):
    most, total, context = state
    k_SxGxTxK, v_SxGxTxK = read(tile)
    scores = scale * jnp.einsum('sgrk,sgtk->sgrt', q_SxGxRxK, k_SxGxTxK, preferred_element_type=jnp.float32)
    seen_SxT = tile * TILE + jnp.arange(TILE) < position_S[:, None]
    scores = jnp.where(seen_SxT[:, None, None], scores, -jnp.inf)
    new_most = jnp.maximum(most, scores.max(axis=-1))
    shrink = jnp.exp(most - new_most)
    weights = jnp.exp(scores - new_most[..., None])
    added = jnp.einsum(
      'sgrt,sgtk->sgrk', weights.astype(v_SxGxTxK.dtype), v_SxGxTxK, preferred_element_type=jnp.float32
    )
    return new_most, total * shrink + weights.sum(axis=-1), context * shrink[..., None] + added

  own = scale * jnp.einsum('sgrk,sgk->sgr', q_SxGxRxK, k_Sx1xGxK[:, 0], preferred_element_type=jnp.float32)
  v_SxGxRxK = jnp.broadcast_to(v_Sx1xGxK[:, 0, :, None], q_SxGxRxK.shape).astype(jnp.float32)
  _, total, context = jax.lax.fori_loop(0, tiles, add_tile, (own, jnp.ones_like(own), v_SxGxRxK))
  return (context / total[..., None]).astype(q_Sx1xHxK.dtype).reshape(S, 1, H, K)
