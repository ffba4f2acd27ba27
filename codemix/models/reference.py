"""The decoder on one page of plain JAX: the definition that every fast path is tested against.

Nothing here is done for speed or memory: no mesh, no kernels, scores of all pairs of positions, logits
of the whole batch, gradients by `jax.grad`. Tests hold to it `codemix.models.decoder`, every
implementation of attention, the chunked loss, and generation with a cache; `codemix bench step` times
it as the plain step. It reads the parameters of `codemix.models.decoder.init_params`.

Shapes: B rows of L tokens (M: the same positions as keys), D width, F FFN width, H query heads, G
key/value heads, K head size, V vocabulary. Norms, rotations, softmax and loss are computed in float32,
or in float64 where activations are float64.
"""

from __future__ import annotations

import operator
from typing import Any

import jax
import jax.numpy as jnp

from codemix.models.config import ModelConfig

Params = dict[str, Any]


def token_losses(config: ModelConfig, params: Params, batch: dict[str, jax.Array], dtype=None):
  """`codemix.models.decoder.token_losses`: the weighted sum, and the nll of each token [B, L] in nats."""
  inputs = batch['inputs'], batch['segment_ids'], batch['positions']
  logits_BxLxV = logits(config, params, *inputs, dtype=dtype)
  return cross_entropy(logits_BxLxV, batch['targets'], batch['weights'], config.z_loss)


def logits(config: ModelConfig, params: Params, inputs_BxL, segment_ids_BxL, positions_BxL, dtype=None):
  """Scores of the next token, [B, L, V].

  Args:
    segment_ids_BxL: the number of each token's document; documents do not see each other.
    positions_BxL: positions in the document, from 0.
    dtype: of activations and matmul inputs; None: `config.dtype`.
  """
  x_BxLxD = params['embedding'][inputs_BxL].astype(dtype or config.dtype)
  mask_BxLxM = attention_mask(inputs_BxL.shape[1], segment_ids_BxL if config.document_mask else None)
  for layer in range(config.layers):
    weights = jax.tree.map(operator.itemgetter(layer), params['layers'])
    x_BxLxD = _block(config, weights, x_BxLxD, positions_BxL, mask_BxLxM)
  x_BxLxD = _norm(config, params['norm'], x_BxLxD)
  head_VxD = params['embedding' if config.tied else 'head'].astype(x_BxLxD.dtype)
  return _wide(config.logit_scale * jnp.einsum('bld,vd->blv', x_BxLxD, head_VxD))


def cross_entropy(logits_BxLxV, targets_BxL, weights_BxL, z_loss: float = 0.0):
  """Sum of weights * (nll + z_loss * log(Z)^2), and the nll of each token [B, L] in nats."""
  lse_BxL = jax.nn.logsumexp(logits_BxLxV, axis=-1)
  nll_BxL = lse_BxL - jnp.take_along_axis(logits_BxLxV, targets_BxL[..., None], axis=-1)[..., 0]
  return (weights_BxL * (nll_BxL + z_loss * lse_BxL**2)).sum(), nll_BxL


def attention(q_BxLxHxK, k_BxMxGxK, v_BxMxGxK, mask_BxLxM):
  """Attention of queries to the keys that the mask allows; query head h reads key/value head h // (H / G)."""
  H, K = q_BxLxHxK.shape[2:]
  k_BxMxHxK, v_BxMxHxK = (jnp.repeat(a, H // a.shape[2], axis=2) for a in (k_BxMxGxK, v_BxMxGxK))
  scores_BxHxLxM = _wide(jnp.einsum('blhk,bmhk->bhlm', q_BxLxHxK, k_BxMxHxK)) * K**-0.5
  scores_BxHxLxM = jnp.where(mask_BxLxM[:, None], scores_BxHxLxM, -jnp.inf)
  weights_BxHxLxM = jax.nn.softmax(scores_BxHxLxM).astype(v_BxMxHxK.dtype)
  return jnp.einsum('bhlm,bmhk->blhk', weights_BxHxLxM, v_BxMxHxK)


def attention_mask(length: int, segment_ids_BxL=None):
  """Which keys each query sees, bool [B or 1, L, M]: none after it, and none of another segment."""
  causal_1xLxM = jnp.tril(jnp.ones((length, length), bool))[None]
  if segment_ids_BxL is None:
    return causal_1xLxM
  return causal_1xLxM & (segment_ids_BxL[:, :, None] == segment_ids_BxL[:, None, :])


def _block(config: ModelConfig, weights: Params, x_BxLxD, positions_BxL, mask_BxLxM):
  y_BxLxD = _norm(config, weights['norm'], x_BxLxD)
  attended_BxLxD = _attention(config, weights['attention'], y_BxLxD, positions_BxL, mask_BxLxM)
  if config.block == 'parallel':
    return x_BxLxD + attended_BxLxD + _ffn(weights['ffn'], y_BxLxD)
  x_BxLxD += attended_BxLxD
  return x_BxLxD + _ffn(weights['ffn'], _norm(config, weights['ffn_norm'], x_BxLxD))


def _norm(config: ModelConfig, weights: Params, x):
  y = _wide(x)
  if config.norm == 'layernorm':
    y -= y.mean(axis=-1, keepdims=True)
  y *= jax.lax.rsqrt(jnp.square(y).mean(axis=-1, keepdims=True) + config.norm_epsilon)
  return (y * weights['scale']).astype(x.dtype)


def _attention(config: ModelConfig, weights: Params, y_BxLxD, positions_BxL, mask_BxLxM):
  project = lambda name: jnp.einsum('bld,dhk->blhk', y_BxLxD, weights[name].astype(y_BxLxD.dtype))
  q_BxLxHxK, k_BxLxGxK, v_BxLxGxK = map(project, ('query', 'key', 'value'))
  if config.qk_norm:
    q_BxLxHxK = _norm(config, weights['query_norm'], q_BxLxHxK)
    k_BxLxGxK = _norm(config, weights['key_norm'], k_BxLxGxK)
  q_BxLxHxK, k_BxLxGxK = (_rotate(config, a, positions_BxL) for a in (q_BxLxHxK, k_BxLxGxK))
  context_BxLxHxK = attention(q_BxLxHxK, k_BxLxGxK, v_BxLxGxK, mask_BxLxM)
  return jnp.einsum('blhk,hkd->bld', context_BxLxHxK, weights['out'].astype(y_BxLxD.dtype))


def _rotate(config: ModelConfig, x_BxLxHxK, positions_BxL):
  """Turns numbers 2i and 2i+1 of each head by position * theta^(-2i / K) (RoFormer, arXiv:2104.09864)."""
  x, y = _wide(x_BxLxHxK[..., 0::2]), _wide(x_BxLxHxK[..., 1::2])
  frequencies = config.rope_theta ** (-jnp.arange(0, config.head_dim, 2, dtype=x.dtype) / config.head_dim)
  angles = positions_BxL[:, :, None, None].astype(x.dtype) * frequencies
  turned = x * jnp.cos(angles) - y * jnp.sin(angles), x * jnp.sin(angles) + y * jnp.cos(angles)
  return jnp.stack(turned, axis=-1).reshape(x_BxLxHxK.shape).astype(x_BxLxHxK.dtype)


def _ffn(weights: Params, y_BxLxD):
  gate_DxF, up_DxF, down_FxD = (weights[name].astype(y_BxLxD.dtype) for name in ('gate', 'up', 'down'))
  return (jax.nn.silu(y_BxLxD @ gate_DxF) * (y_BxLxD @ up_DxF)) @ down_FxD


def _wide(x):
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))
