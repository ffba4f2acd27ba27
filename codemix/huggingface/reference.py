"""What transformers' classes compute, on one page of NumPy in float64.

It reads the files that an export wrote, or that a peer wrote, and shares nothing with the conversion of
`codemix.huggingface.tensors` nor with `codemix.models`: a mistake in either shows as another logit.
Weights are read a layer at a time.

Shapes: L tokens of one row, D width, H query heads, G key/value heads, K head size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Read = Callable[[str], np.ndarray]


def logits(config: Mapping[str, Any], read: Read, ids_L: np.ndarray) -> np.ndarray:
  """float64 [L, V].

  Args:
    config: config.json, with every field that `write_config` writes.
    read: gives the tensor of a name.
  """
  weight = lambda name: read(f'{name}.weight').astype(np.float64)
  parallel = config['model_type'] == 'cohere'
  norm = _layer_norm if parallel else _rms_norm
  epsilon = config['layer_norm_eps' if parallel else 'rms_norm_eps']
  x_LxD = weight('model.embed_tokens')[ids_L]
  for n in range(config['num_hidden_layers']):
    layer = f'model.layers.{n}'
    y_LxD = norm(x_LxD, weight(f'{layer}.input_layernorm'), epsilon)
    attended_LxD = _attention(config, lambda name, layer=layer: weight(f'{layer}.self_attn.{name}'), y_LxD, norm, epsilon)
    if not parallel:
      x_LxD = x_LxD + attended_LxD
      y_LxD = norm(x_LxD, weight(f'{layer}.post_attention_layernorm'), epsilon)
    gate_LxF = y_LxD @ weight(f'{layer}.mlp.gate_proj').T
    hidden_LxF = gate_LxF / (1 + np.exp(-gate_LxF)) * (y_LxD @ weight(f'{layer}.mlp.up_proj').T)
    x_LxD = x_LxD + hidden_LxF @ weight(f'{layer}.mlp.down_proj').T + (attended_LxD if parallel else 0)
  head = 'model.embed_tokens' if config['tie_word_embeddings'] else 'lm_head'
  return norm(x_LxD, weight('model.norm'), epsilon) @ weight(head).T * config.get('logit_scale', 1.0)


def _attention(config: Mapping[str, Any], weight: Read, y_LxD: np.ndarray, norm: Callable, epsilon: float) -> np.ndarray:
  H, G, K = config['num_attention_heads'], config['num_key_value_heads'], config['head_dim']
  L = len(y_LxD)
  q_LxHxK = (y_LxD @ weight('q_proj').T).reshape(L, H, K)
  k_LxGxK, v_LxGxK = ((y_LxD @ weight(name).T).reshape(L, G, K) for name in ('k_proj', 'v_proj'))
  if config['model_type'] == 'qwen3' or config.get('use_qk_norm'):
    q_LxHxK, k_LxGxK = norm(q_LxHxK, weight('q_norm'), epsilon), norm(k_LxGxK, weight('k_norm'), epsilon)
  turn = _turn_pairs if config['model_type'] == 'cohere' else _turn_halves
  theta = config['rope_parameters']['rope_theta']
  q_LxHxK, k_LxGxK = turn(q_LxHxK, theta), turn(k_LxGxK, theta)
  context_LxHxK = np.empty_like(q_LxHxK)
  for h in range(H):
    g = h // (H // G)
    scores_LxL = q_LxHxK[:, h] @ k_LxGxK[:, g].T / np.sqrt(K)
    scores_LxL[np.triu_indices(L, 1)] = -np.inf
    weights_LxL = np.exp(scores_LxL - scores_LxL.max(-1, keepdims=True))
    context_LxHxK[:, h] = weights_LxL / weights_LxL.sum(-1, keepdims=True) @ v_LxGxK[:, g]
  return context_LxHxK.reshape(L, H * K) @ weight('o_proj').T


def _layer_norm(x: np.ndarray, scale: np.ndarray, epsilon: float) -> np.ndarray:
  return _rms_norm(x - x.mean(-1, keepdims=True), scale, epsilon)


def _rms_norm(x: np.ndarray, scale: np.ndarray, epsilon: float) -> np.ndarray:
  return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * scale


def _angles(length: int, head_dim: int, theta: float) -> np.ndarray:
  """[L, 1, K / 2]."""
  return np.arange(length)[:, None, None] / theta ** (np.arange(0, head_dim, 2) / head_dim)


def _turn_pairs(x_LxHxK: np.ndarray, theta: float) -> np.ndarray:
  turned = (x_LxHxK[..., 0::2] + 1j * x_LxHxK[..., 1::2]) * np.exp(1j * _angles(len(x_LxHxK), x_LxHxK.shape[-1], theta))
  return np.stack([turned.real, turned.imag], -1).reshape(x_LxHxK.shape)


def _turn_halves(x_LxHxK: np.ndarray, theta: float) -> np.ndarray:
  first, second = np.split(x_LxHxK, 2, -1)
  turned = (first + 1j * second) * np.exp(1j * _angles(len(x_LxHxK), x_LxHxK.shape[-1], theta))
  return np.concatenate([turned.real, turned.imag], -1)
