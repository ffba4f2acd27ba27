"""The decoder (Flax NNX), and its functional border: parameters are plain nested dicts of arrays.

Shapes: B rows of L tokens, N = B * L tokens of all rows, D width, F FFN width, H query heads, G
key/value heads, K head size, V vocabulary. Every parameter is float32 and names its axes in its
metadata (`axes`); those of the blocks are stacked along a leading axis 'layers', and the call scans
over it. Blocks work on tokens without regard to rows: CPUs multiply matrices of two axes, and
differentiate them, twice as fast as those of three. Only `Attend` sees rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import Mesh

from codemix.models import attention, rotary
from codemix.models.config import ModelConfig
from codemix.models.dense import dense, swiglu
from codemix.models.embedding import lookup
from codemix.models.loss import chunked_cross_entropy
from codemix.parallel.sharding import RULES, ShardingRules, constrain
from codemix.parallel.tokens import check_rows, rows_from_tokens, tokens_from_rows

Params = dict[str, Any]  # nested dicts of float32 arrays

# (q_BxLxHxK, k_BxLxGxK, v_BxLxGxK, the layer's cache) -> (context_BxLxHxK, its new cache)
Attend = Callable[[jax.Array, jax.Array, jax.Array, Any], tuple[jax.Array, Any]]


def _matrix(rngs: nnx.Rngs, inputs: dict[str, int], outputs: dict[str, int]) -> nnx.Param:
  """A Glorot-normal weight; `inputs` and `outputs` give each axis its name and size."""
  sizes = inputs | outputs
  init = nnx.initializers.glorot_normal(
    in_axis=range(len(inputs)), out_axis=range(len(inputs), len(sizes))
  )
  return nnx.Param(init(rngs.params(), tuple(sizes.values()), jnp.float32), axes=tuple(sizes))


class Norm(nnx.Module):
  """LayerNorm without bias, or RMSNorm, over the last axis; statistics in float32."""

  def __init__(self, config: ModelConfig, **scale_axes: int):
    self.centred = config.norm == 'layernorm'
    self.epsilon = config.norm_epsilon
    shape = tuple(scale_axes.values())
    self.scale = nnx.Param(jnp.ones(shape, jnp.float32), axes=tuple(scale_axes))

  def __call__(self, x: jax.Array, arrange: Callable = lambda scale: scale) -> jax.Array:
    """Normalised `x`; `arrange` brings the scale into the order of its last axis."""
    y = x.astype(jnp.float32)
    if self.centred:
      y -= y.mean(axis=-1, keepdims=True)
    y *= jax.lax.rsqrt(jnp.square(y).mean(axis=-1, keepdims=True) + self.epsilon)
    return (y * arrange(self.scale[...])).astype(x.dtype)


class Attention(nnx.Module):
  """Grouped-query attention with rotary positions."""

  def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
    D, H, G, K = config.width, config.heads, config.key_value_heads, config.head_dim
    self.query = _matrix(rngs, {'embed': D}, {'heads': H, 'head_dim': K})
    self.key = _matrix(rngs, {'embed': D}, {'kv_heads': G, 'head_dim': K})
    self.value = _matrix(rngs, {'embed': D}, {'kv_heads': G, 'head_dim': K})
    self.out = _matrix(rngs, {'heads': H, 'head_dim': K}, {'embed': D})
    self.qk_norm = config.qk_norm
    if self.qk_norm:
      self.query_norm = Norm(config, heads=H, head_dim=K)
      self.key_norm = Norm(config, kv_heads=G, head_dim=K)

  def __call__(self, x_NxD, turns, attend: Attend, cache):
    N, D = x_NxD.shape
    H, K, _ = self.out.shape
    paired = rotary.halves_from_pairs
    weights = paired(self.query[...]), paired(self.key[...]), self.value[...]
    projected = dense(x_NxD, *(w_DxHxK.reshape(D, -1).astype(x_NxD.dtype) for w_DxHxK in weights))
    q, k, v = (
      checkpoint_name(x_NxHK, name).reshape(N, -1, K)
      for name, x_NxHK in zip(('query', 'key', 'value'), projected, strict=True)
    )
    if self.qk_norm:
      q, k = self.query_norm(q, paired), self.key_norm(k, paired)
    context, cache = attend(rotary.rotate(q, *turns), rotary.rotate(k, *turns), v, cache)
    context_NxHK = context.reshape(N, H * K)
    (out_NxD,) = dense(context_NxHK, self.out[...].reshape(H * K, D).astype(context.dtype))
    return checkpoint_name(out_NxD, 'attended'), cache


class FeedForward(nnx.Module):
  """SwiGLU."""

  def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
    D, F = config.width, config.ffn_width
    self.gate = _matrix(rngs, {'embed': D}, {'ffn': F})
    self.up = _matrix(rngs, {'embed': D}, {'ffn': F})
    self.down = _matrix(rngs, {'ffn': F}, {'embed': D})

  def __call__(self, x_NxD: jax.Array) -> jax.Array:
    weights = (param[...].astype(x_NxD.dtype) for param in (self.gate, self.up, self.down))
    return swiglu(x_NxD, *weights)


class Block(nnx.Module):
  """One layer: attention and FFN in parallel from one norm, or one after the other from two."""

  def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
    self.norm = Norm(config, norm=config.width)
    self.attention = Attention(config, rngs)
    self.ffn = FeedForward(config, rngs)
    self.serial = config.block == 'serial'
    if self.serial:
      self.ffn_norm = Norm(config, norm=config.width)

  def __call__(self, x_NxD, turns, attend: Attend, cache):
    y_NxD = self.norm(x_NxD)
    attended_NxD, cache = self.attention(y_NxD, turns, attend, cache)
    if self.serial:
      x_NxD += attended_NxD
      return x_NxD + self.ffn(self.ffn_norm(x_NxD)), cache
    return x_NxD + attended_NxD + self.ffn(y_NxD), cache


class Decoder(nnx.Module):
  """Token ids to the activations that the head reads."""

  def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
    table = {'vocab': config.vocab_size}, {'embed': config.width}
    make_blocks = nnx.vmap(lambda rngs: Block(config, rngs))
    self.config = config
    self.embedding = _matrix(rngs, *table)
    self.layers = make_blocks(rngs.split(config.layers))
    self.norm = Norm(config, norm=config.width)
    if not config.tied:
      self.head = _matrix(rngs, *table)

  def __call__(
    self,
    inputs_BxL,
    positions_BxL,
    attend: Attend,
    caches=None,
    mesh: Mesh | None = None,
    rules: ShardingRules = RULES,
  ):
    """Activations [B, L, D], and the caches of all layers (stacked along a leading axis).

    On a mesh, `attend` is given rows whose positions are split over 'sequence', keys and values
    too, and gives such rows back.
    """
    config = self.config
    B, L = inputs_BxL.shape
    x_BxLxD = lookup(self.embedding[...], inputs_BxL, dtype=config.dtype, mesh=mesh, rules=rules)
    x_NxD = tokens_from_rows(x_BxLxD, mesh)
    positions_N = tokens_from_rows(positions_BxL, mesh)
    turns_Nx1xK = rotary.turns(positions_N, config.head_dim, config.rope_theta)
    blocks, weights = nnx.split(self.layers)

    def place(a_BxLxHxK, heads: str):
      return constrain(a_BxLxHxK, mesh, 'batch', 'sequence', heads, None, rules=rules)

    def attend_tokens(q_NxHxK, k_NxGxK, v_NxGxK, cache):
      q, k, v = (
        place(rows_from_tokens(a_NxHxK, B, mesh), heads)
        for a_NxHxK, heads in ((q_NxHxK, 'heads'), (k_NxGxK, 'kv_heads'), (v_NxGxK, 'kv_heads'))
      )
      context_BxLxHxK, cache = attend(q, k, v, cache)
      return tokens_from_rows(place(context_BxLxHxK, 'heads'), mesh), cache

    def block(x_NxD, layer):
      weights, cache = layer
      x_NxD, cache = nnx.merge(blocks, weights)(x_NxD, turns_Nx1xK, attend_tokens, cache)
      return constrain(x_NxD, mesh, 'tokens', None), cache

    x_NxD, caches = jax.lax.scan(
      _remat(config, block),
      constrain(x_NxD, mesh, 'tokens', None),
      (weights, caches),
      unroll=1 if config.scan else config.layers,
    )
    x_BxLxD = rows_from_tokens(self.norm(x_NxD), B, mesh)
    return constrain(x_BxLxD, mesh, 'batch', 'sequence', None), caches


def _remat(config: ModelConfig, block: Callable) -> Callable:
  if config.remat == 'none':
    return block
  kept = {
    'block': (),
    'context': ('context',),
    'attention': ('query', 'key', 'value', 'context'),
    'dots': ('query', 'key', 'value', 'context', 'attended', 'gate', 'up'),
  }[config.remat]
  policy = jax.checkpoint_policies.save_only_these_names(*kept)
  # Inside a scan nothing can be merged with the recomputation, so no barrier against it is needed.
  return jax.checkpoint(block, policy=policy, prevent_cse=not config.scan)


def init_params(config: ModelConfig, seed: int | jax.Array) -> Params:
  """Fresh parameters: Glorot-normal matrices (JAX's: a normal cut off at two standard deviations).

  Under `jax.jit` with sharded outputs the values are the same as on one device.

  Args:
    seed: a number, or a key of `jax.random.key`.
  """
  is_key = isinstance(seed, jax.Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key)
  # The default generator can be set to one whose numbers depend on the sharding.
  key = seed if is_key else jax.random.key(seed, impl='threefry2x32')
  return nnx.to_pure_dict(nnx.state(Decoder(config, nnx.Rngs(key))))


def abstract_params(config: ModelConfig) -> Params:
  """The tree of `init_params` as `jax.ShapeDtypeStruct`s; allocates nothing."""
  return jax.eval_shape(lambda: init_params(config, 0))


def logical_axes(config: ModelConfig) -> Params:
  """The same tree with a tuple of axis names for each array, e.g. ('layers', 'embed', 'ffn').

  The tuples are the leaves: to map over the tree, pass that of `abstract_params` first.
  """
  _, state = _structure(config)

  def axes(path, param: nnx.Param) -> tuple[str, ...]:
    stack = ('layers',) if path[0].key == 'layers' else ()
    return stack + param.get_metadata('axes')

  is_param = lambda node: isinstance(node, nnx.Param)
  return nnx.to_pure_dict(jax.tree_util.tree_map_with_path(axes, state, is_leaf=is_param))


def hidden_states(
  config: ModelConfig,
  params: Params,
  inputs_BxL: jax.Array,
  segment_ids_BxL: jax.Array,
  positions_BxL: jax.Array,
  *,
  mesh: Mesh | None = None,
  rules: ShardingRules = RULES,
) -> jax.Array:
  """Activations after the final norm, [B, L, D] in the compute dtype.

  Args:
    segment_ids_BxL: 1.. for each document of a row, 0 for padding.
    positions_BxL: positions in the document, from 0.
    mesh: where rows and positions are sharded over a mesh (`codemix.parallel.mesh`), that mesh.
    rules: how the parameters lie on it.

  Raises:
    UserError: B or L is not divisible by the devices of `mesh` that it is split over,
      or attention cannot be computed as asked (`codemix.models.attention.attend`).
  """
  check_rows(*inputs_BxL.shape, mesh)
  segments = segment_ids_BxL if config.document_mask else None

  def attend(q, k, v, cache):
    options = {'implementation': config.attention, 'mesh': mesh, 'rules': rules}
    return attention.attend(q, k, v, segments, **options), cache

  model = bind(config, params)
  return model(inputs_BxL, positions_BxL, attend, mesh=mesh, rules=rules)[0]


def token_losses(
  config: ModelConfig,
  params: Params,
  batch: dict[str, jax.Array],
  *,
  mesh: Mesh | None = None,
  rules: ShardingRules = RULES,
) -> tuple[jax.Array, jax.Array]:
  """The loss of a batch, to be divided by whatever it is a mean over.

  Args:
    batch: inputs, targets, segment_ids, positions (int32) and weights (float32), each [B, L].
    mesh, rules: as of `hidden_states`.

  Returns: the sum over tokens of weight * (nll + z_loss * log(Z)^2), a float32 scalar; and the nll
    of each token in nats, float32 [B, L], which gradients do not pass.

  Raises:
    UserError: B or L is not divisible by the devices of `mesh` that it is split over,
      or attention cannot be computed as asked (`codemix.models.attention.attend`).
  """
  x_BxLxD = hidden_states(
    config,
    params,
    batch['inputs'],
    batch['segment_ids'],
    batch['positions'],
    mesh=mesh,
    rules=rules,
  )
  return chunked_cross_entropy(
    x_BxLxD,
    _head(config, params),
    batch['targets'],
    batch['weights'],
    chunk=config.loss_chunk,
    logit_scale=config.logit_scale,
    z_loss=config.z_loss,
    mesh=mesh,
    rules=rules,
  )


def logits(config: ModelConfig, params: Params, x: jax.Array) -> jax.Array:
  """Scores of the next token, float32 [..., V], from activations [..., D] of `hidden_states`."""
  head_VxD = _head(config, params).astype(x.dtype)
  scores = jnp.einsum('...d,vd->...v', x, head_VxD, preferred_element_type=jnp.float32)
  return config.logit_scale * scores


def bind(config: ModelConfig, params: Params) -> Decoder:
  """The decoder that computes with these parameters."""
  graph, _ = _structure(config)
  return nnx.merge(graph, params)


def _head(config: ModelConfig, params: Params) -> jax.Array:
  return params['embedding'] if config.tied else params['head']


@functools.cache
def _structure(config: ModelConfig) -> tuple[nnx.GraphDef, nnx.State]:
  return nnx.split(nnx.eval_shape(lambda: Decoder(config, nnx.Rngs(0))))
