"""The decoder (Flax NNX), and functions of plain parameters: nested dicts of float32 arrays.

`codemix.models.reference` defines what it computes. Shapes: B rows of L tokens, N = B * L tokens, D
width, H query heads, G key/value heads, K head size, V vocabulary. The parameters of the blocks are
stacked along a leading axis 'layers', which the call scans over.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from codemix.models import attention, rotary
from codemix.models.block import Attend, Block, Norm, matrix
from codemix.models.config import ModelConfig
from codemix.models.embedding import lookup
from codemix.models.loss import chunked_cross_entropy
from codemix.parallel.sharding import RULES, ShardingRules, constrain
from codemix.parallel.tokens import check_rows, rows_from_tokens, tokens_from_rows

Params = dict[str, Any]  # nested dicts of float32 arrays


class Decoder(nnx.Module):
  """Token ids to the activations before the output head."""

  def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
    table = {'vocab': config.vocab_size}, {'embed': config.width}
    make_blocks = nnx.vmap(lambda rngs: Block(config, rngs))
    self.config = config
    self.embedding = matrix(rngs, *table)
    self.layers = make_blocks(rngs.split(config.layers))
    self.norm = Norm(config, norm=config.width)
    if not config.tied:
      self.head = matrix(rngs, *table)

  def __call__(
    self, inputs_BxL, positions_BxL, attend: Attend, caches=None, mesh: Mesh | None = None, rules=RULES
  ):
    """Activations [B, L, D], and the caches of all layers, stacked along a leading axis.

    On a mesh, `attend` takes and returns arrays whose positions are split over 'sequence'.
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
  """Initial parameters: norm scales of 1, and Glorot-normal matrices.

  JAX's Glorot-normal is a normal truncated at two standard deviations. Under `jax.jit` with sharded
  outputs the values are those of one device.

  Args:
    seed: a number, or a key of `jax.random.key`.
  """
  is_key = isinstance(seed, jax.Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key)
  # JAX's default generator can be configured to one whose numbers depend on the sharding.
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
  batch: dict[str, jax.Array],
  *,
  mesh: Mesh | None = None,
  rules: ShardingRules = RULES,
) -> jax.Array:
  """Activations after the final norm, [B, L, D] in the compute dtype.

  Raises UserError: B or L is not divisible by the devices of `mesh` that it is split over, or
  attention cannot be computed as configured (`codemix.models.attention.attend`).

  Args:
    batch: int32 [B, L]: inputs; segment_ids, 1.. for each document of a row and 0 for padding;
      positions in the document, from 0.
    mesh: the mesh that rows and positions are sharded over, or None (`codemix.parallel.mesh`).
    rules: how the parameters are sharded over it.
  """
  check_rows(*batch['inputs'].shape, mesh)
  segments = batch['segment_ids'] if config.document_mask else None

  def attend(q, k, v, cache):
    options = {'implementation': config.attention, 'mesh': mesh, 'rules': rules}
    return attention.attend(q, k, v, segments, **options), cache

  model = bind(config, params)
  return model(batch['inputs'], batch['positions'], attend, mesh=mesh, rules=rules)[0]


def token_losses(
  config: ModelConfig,
  params: Params,
  batch: dict[str, jax.Array],
  *,
  mesh: Mesh | None = None,
  rules: ShardingRules = RULES,
) -> tuple[jax.Array, jax.Array]:
  """The loss of a batch, summed: the caller divides it.

  Raises UserError: as in `hidden_states`.

  Args:
    batch: that of `hidden_states`, with targets (int32) and weights (float32), each [B, L].
    mesh, rules: as in `hidden_states`.

  Returns: the sum over tokens of weight * (nll + z_loss * log(Z)^2), a float32 scalar; and the nll
    of each token in nats, float32 [B, L], through which no gradient flows.
  """
  return chunked_cross_entropy(
    hidden_states(config, params, batch, mesh=mesh, rules=rules),
    output_head(config, params),
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
  head_VxD = output_head(config, params).astype(x.dtype)
  scores = jnp.einsum('...d,vd->...v', x, head_VxD, preferred_element_type=jnp.float32)
  return config.logit_scale * scores


def bind(config: ModelConfig, params: Params) -> Decoder:
  """The decoder that computes with these parameters."""
  graph, _ = _structure(config)
  return nnx.merge(graph, params)


def output_head(config: ModelConfig, params: Params) -> jax.Array:
  """The parameter that logits are computed with, [V, D]."""
  return params['embedding'] if config.tied else params['head']


@functools.cache
def _structure(config: ModelConfig) -> tuple[nnx.GraphDef, nnx.State]:
  return nnx.split(nnx.eval_shape(lambda: Decoder(config, nnx.Rngs(0))))
