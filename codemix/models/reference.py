"""The step of a decoder as one would first write it in JAX: the yardstick of `codemix bench step`.

The same arithmetic as `codemix.models.decoder` and `codemix.training.train_step` (a test holds the one
to the other), with nothing done for speed or memory: three-axis activations, einsums, a softmax over
all pairs of positions, the logits of the whole batch, and gradients by `jax.grad` throughout. It reads
the parameters of the decoder, so shapes are those of `codemix.models.decoder`: B rows of L tokens,
width D, H query heads, G key/value heads of size K, vocabulary V.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from codemix.models.config import ModelConfig

Params = dict[str, Any]
Batch = dict[str, jax.Array]


def make_plain_step(config: ModelConfig, optimizer: optax.GradientTransformation) -> Callable:
  """Jitted (params, opt_state, batch) -> (params, opt_state, loss); the old state is donated."""

  def step(params: Params, opt_state, batch: Batch):
    loss, grads = jax.value_and_grad(lambda params: mean_loss(config, params, batch))(params)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, loss

  return jax.jit(step, donate_argnums=(0, 1))


def mean_loss(config: ModelConfig, params: Params, batch: Batch) -> jax.Array:
  """Mean negative log-likelihood (nats) over the loss tokens, float32 []."""
  x_BxLxD = params['embedding'][batch['inputs']].astype(config.dtype)
  mask_Bx1xLxL = _mask(config, batch['segment_ids'])
  for layer in range(config.layers):
    weights = jax.tree.map(operator.itemgetter(layer), params['layers'])
    x_BxLxD = _block(config, weights, x_BxLxD, batch['positions'], mask_Bx1xLxL)
  x_BxLxD = _norm(config, params['norm'], x_BxLxD)
  head_VxD = params['embedding' if config.tied else 'head'].astype(x_BxLxD.dtype)
  logits_BxLxV = config.logit_scale * jnp.einsum('bld,vd->blv', x_BxLxD, head_VxD)
  nll_BxL = optax.softmax_cross_entropy_with_integer_labels(
    logits_BxLxV.astype(jnp.float32), batch['targets']
  )
  return (nll_BxL * batch['weights']).sum() / batch['weights'].sum()


def _mask(config: ModelConfig, segments_BxL: jax.Array) -> jax.Array:
  length = segments_BxL.shape[1]
  causal = jnp.tril(jnp.ones((length, length), bool))[None, None]
  if not config.document_mask:
    return causal
  return causal & (segments_BxL[:, None, :, None] == segments_BxL[:, None, None, :])


def _block(config: ModelConfig, weights: Params, x_BxLxD, positions_BxL, mask):
  y_BxLxD = _norm(config, weights['norm'], x_BxLxD)
  attended_BxLxD = _attention(config, weights['attention'], y_BxLxD, positions_BxL, mask)
  if config.block == 'serial':
    x_BxLxD += attended_BxLxD
    return x_BxLxD + _ffn(weights['ffn'], _norm(config, weights['ffn_norm'], x_BxLxD))
  return x_BxLxD + attended_BxLxD + _ffn(weights['ffn'], y_BxLxD)


def _norm(config: ModelConfig, weights: Params, x: jax.Array) -> jax.Array:
  y = x.astype(jnp.float32)
  if config.norm == 'layernorm':
    y -= y.mean(axis=-1, keepdims=True)
  y *= jax.lax.rsqrt(jnp.square(y).mean(axis=-1, keepdims=True) + config.norm_epsilon)
  return (y * weights['scale']).astype(x.dtype)


def _attention(config: ModelConfig, weights: Params, y_BxLxD, positions_BxL, mask_Bx1xLxL):
  project = lambda name: jnp.einsum('bld,dhk->blhk', y_BxLxD, weights[name].astype(y_BxLxD.dtype))
  q, k, v = project('query'), project('key'), project('value')
  if config.qk_norm:
    q, k = _norm(config, weights['query_norm'], q), _norm(config, weights['key_norm'], k)
  q, k = _rotate(config, q, positions_BxL), _rotate(config, k, positions_BxL)
  k, v = (jnp.repeat(a, config.heads // config.key_value_heads, axis=2) for a in (k, v))
  scores = jnp.einsum('blhk,bmhk->bhlm', q, k).astype(jnp.float32) * config.head_dim**-0.5
  weights_BxHxLxL = jax.nn.softmax(jnp.where(mask_Bx1xLxL, scores, -jnp.inf)).astype(v.dtype)
  context_BxLxHxK = jnp.einsum('bhlm,bmhk->blhk', weights_BxHxLxL, v)
  return jnp.einsum('blhk,hkd->bld', context_BxLxHxK, weights['out'].astype(v.dtype))


def _rotate(config: ModelConfig, x_BxLxHxK: jax.Array, positions_BxL: jax.Array) -> jax.Array:
  """Turns the numbers 2i and 2i+1 of each head by their position's angle."""
  K = config.head_dim
  frequencies = config.rope_theta ** (-jnp.arange(0, K, 2, dtype=jnp.float32) / K)
  angles = positions_BxL[:, :, None, None].astype(jnp.float32) * frequencies
  x, y = x_BxLxHxK[..., 0::2].astype(jnp.float32), x_BxLxHxK[..., 1::2].astype(jnp.float32)
  turned = (x * jnp.cos(angles) - y * jnp.sin(angles), x * jnp.sin(angles) + y * jnp.cos(angles))
  return jnp.stack(turned, axis=-1).reshape(x_BxLxHxK.shape).astype(x_BxLxHxK.dtype)


def _ffn(weights: Params, y_BxLxD: jax.Array) -> jax.Array:
  dtype = y_BxLxD.dtype
  hidden = jax.nn.silu(y_BxLxD @ weights['gate'].astype(dtype)) * (y_BxLxD @ weights['up'].astype(dtype))
  return hidden @ weights['down'].astype(dtype)
