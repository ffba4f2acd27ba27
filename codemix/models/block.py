"""One layer of the decoder (Flax NNX): norms, attention and FFN.

Shapes: N tokens of all rows, D width, F FFN width, H query heads, G key/value heads, K head size. Each
parameter is float32 and names its axes in its metadata (`axes`). Layers take tokens, not rows: CPUs
multiply and differentiate matrices of two axes twice as fast as those of three. `Attend` restores the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from codemix.models import rotary
from codemix.models.config import ModelConfig
from codemix.models.dense import dense, swiglu

# (q, k, v, the layer's cache) -> (context, the new cache); q and context have H heads, k and v G. The arrays
# are [N, heads, K] for a block, and [B, L, heads, K] for what the decoder is called with.
Attend = Callable[[jax.Array, jax.Array, jax.Array, Any], tuple[jax.Array, Any]]


def matrix(rngs: nnx.Rngs, inputs: dict[str, int], outputs: dict[str, int]) -> nnx.Param:
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

  def __call__(self, x: jax.Array, permute: Callable = lambda scale: scale) -> jax.Array:
    """Normalised `x`; `permute` puts the scale into the order of the last axis of `x`."""
    y = x.astype(jnp.float32)
    if self.centred:
      y -= y.mean(axis=-1, keepdims=True)
    y *= jax.lax.rsqrt(jnp.square(y).mean(axis=-1, keepdims=True) + self.epsilon)
    return (y * permute(self.scale[...])).astype(x.dtype)


class Attention(nnx.Module):
  """Grouped-query attention with rotary positions."""

  def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
    D, H, G, K = config.width, config.heads, config.key_value_heads, config.head_dim
    self.query = matrix(rngs, {'embed': D}, {'heads': H, 'head_dim': K})
    self.key = matrix(rngs, {'embed': D}, {'kv_heads': G, 'head_dim': K})
    self.value = matrix(rngs, {'embed': D}, {'kv_heads': G, 'head_dim': K})
    self.out = matrix(rngs, {'heads': H, 'head_dim': K}, {'embed': D})
    self.qk_norm = config.qk_norm
    if self.qk_norm:
      self.query_norm = Norm(config, heads=H, head_dim=K)
      self.key_norm = Norm(config, kv_heads=G, head_dim=K)

  def __call__(self, x_NxD, turns, attend: Attend, cache):
    N, D = x_NxD.shape
    H, K, _ = self.out.shape
    halves = rotary.halves_from_pairs
    weights = halves(self.query[...]), halves(self.key[...]), self.value[...]
    projected = dense(x_NxD, *(w_DxHxK.reshape(D, -1).astype(x_NxD.dtype) for w_DxHxK in weights))
    q, k, v = (
      checkpoint_name(x_NxHK, name).reshape(N, -1, K)
      for name, x_NxHK in zip(('query', 'key', 'value'), projected, strict=True)
    )
    if self.qk_norm:
      q, k = self.query_norm(q, halves), self.key_norm(k, halves)
    context, cache = attend(rotary.rotate(q, *turns), rotary.rotate(k, *turns), v, cache)
    context_NxHK = context.reshape(N, H * K)
    (out_NxD,) = dense(context_NxHK, self.out[...].reshape(H * K, D).astype(context.dtype))
    return checkpoint_name(out_NxD, 'attended'), cache


class FeedForward(nnx.Module):
  """SwiGLU."""

  def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
    D, F = config.width, config.ffn_width
    self.gate = matrix(rngs, {'embed': D}, {'ffn': F})
    self.up = matrix(rngs, {'embed': D}, {'ffn': F})
    self.down = matrix(rngs, {'ffn': F}, {'embed': D})

  def __call__(self, x_NxD: jax.Array) -> jax.Array:
    weights = (param[...].astype(x_NxD.dtype) for param in (self.gate, self.up, self.down))
    return swiglu(x_NxD, *weights)


class Block(nnx.Module):
  """One layer: attention and FFN in parallel after one norm, or in series, each after its own."""

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
