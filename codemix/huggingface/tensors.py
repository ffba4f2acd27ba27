"""Parameters of a codemix decoder as the tensors of a class of transformers, and back.

Plain numpy. Linear layers of torch are [outputs, inputs], those of codemix [inputs, outputs] with an
axis for heads; codemix stacks the layers along a first axis. Shapes as in `codemix.models.block`: D
width, F FFN width, H query heads, G key/value heads, K head size, V vocabulary, N layers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from codemix.errors import UserError
from codemix.huggingface.classes import ModelClass
from codemix.models.config import ModelConfig

Params = dict[str, Any]  # as those of `codemix.models.decoder`, of numpy arrays
Change = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Tensor:
  """One tensor of a class, or one in each layer.

  Attributes:
    name: in the state dict; `{}` stands for the number of the layer.
    path: of the parameter in codemix's tree.
    shape: of the tensor.
    export, load: the tensor of a parameter (without its axis of layers), and the parameter of a
      tensor.
  """

  name: str
  path: tuple[str, ...]
  shape: tuple[int, ...]
  export: Change
  load: Change

  @property
  def layered(self) -> bool:
    return '{}' in self.name


def tensors(kind: ModelClass, config: ModelConfig) -> list[Tensor]:
  """The tensors of a model, in the order of its computation."""
  D, F, V, K = config.width, config.ffn_width, config.vocab_size, config.head_dim
  H, G = config.heads, config.key_value_heads
  same: Change = lambda a: a
  flip: Change = lambda a: a.T
  order = halves_from_pairs(K) if kind.halves else np.arange(K)
  back = np.argsort(order)

  def scale(name: str, *path: str) -> Tensor:
    return Tensor(f'{name}.weight', (*path, 'scale'), (D,), same, same)

  def projection(name: str, path: str, heads: int, turned: bool) -> Tensor:
    there, again = (order, back) if turned else (np.arange(K),) * 2
    return Tensor(
      f'model.layers.{{}}.self_attn.{name}.weight',
      ('layers', 'attention', path),
      (heads * K, D),
      lambda w_DxHxK: w_DxHxK[..., there].reshape(D, heads * K).T,
      lambda w_HKxD: w_HKxD.T.reshape(D, heads, K)[..., again],
    )

  def head_scale(name: str, path: str, heads: int) -> Tensor:
    shared = kind.qk_norm == 'shared'
    return Tensor(
      f'model.layers.{{}}.self_attn.{name}.weight',
      ('layers', 'attention', path, 'scale'),
      (K,) if shared else (heads, K),
      lambda s_HxK: (_one_of_all(s_HxK, path) if shared else s_HxK)[..., order],
      lambda s: np.broadcast_to(s[..., back], (heads, K)),
    )

  def ffn(name: str, path: str, shape: tuple[int, int]) -> Tensor:
    return Tensor(f'model.layers.{{}}.mlp.{name}.weight', ('layers', 'ffn', path), shape, flip, flip)

  found = [
    Tensor('model.embed_tokens.weight', ('embedding',), (V, D), same, same),
    scale('model.layers.{}.input_layernorm', 'layers', 'norm'),
    projection('q_proj', 'query', H, turned=True),
    projection('k_proj', 'key', G, turned=True),
    projection('v_proj', 'value', G, turned=False),
    Tensor(
      'model.layers.{}.self_attn.o_proj.weight',
      ('layers', 'attention', 'out'),
      (D, H * K),
      lambda w_HxKxD: w_HxKxD.reshape(H * K, D).T,
      lambda w_DxHK: w_DxHK.T.reshape(H, K, D),
    ),
    ffn('gate_proj', 'gate', (F, D)),
    ffn('up_proj', 'up', (F, D)),
    ffn('down_proj', 'down', (D, F)),
    scale('model.norm', 'norm'),
  ]
  if kind.qk_norm:
    found += [head_scale('q_norm', 'query_norm', H), head_scale('k_norm', 'key_norm', G)]
  if kind.block == 'serial':
    found.append(scale('model.layers.{}.post_attention_layernorm', 'layers', 'ffn_norm'))
  if not config.tied:
    found.append(Tensor('lm_head.weight', ('head',), (V, D), same, same))
  return found


def tensor_shapes(kind: ModelClass, config: ModelConfig) -> dict[str, tuple[int, ...]]:
  """Name and shape of each tensor of the state dict."""
  return {
    tensor.name.format(layer): tensor.shape
    for tensor in tensors(kind, config)
    for layer in range(config.layers if tensor.layered else 1)
  }


def to_tensors(kind: ModelClass, config: ModelConfig, params: Params) -> Iterator[tuple[str, np.ndarray]]:
  """Names and float32 tensors, one at a time, in the order of `tensor_shapes`.

  A class without `logit_scale` has it in the scale of the final norm.

  Raises UserError: the class has one scale for all heads, and the heads' scales differ.
  """
  for tensor in tensors(kind, config):
    value = _at(params, tensor.path)
    if tensor.path == ('norm', 'scale') and not kind.has_logit_scale:
      value = value * np.float32(config.logit_scale)
    for layer in range(config.layers if tensor.layered else 1):
      yield tensor.name.format(layer), tensor.export(value[layer] if tensor.layered else value)


def to_params(kind: ModelClass, config: ModelConfig, read: Callable[[str], np.ndarray]) -> Params:
  """codemix's parameters, float32.

  Args:
    read: gives the tensor of a name, in the shape of `tensor_shapes`.
  """
  params: Params = {}
  for tensor in tensors(kind, config):
    layers = (tensor.load(read(tensor.name.format(n))) for n in range(config.layers))
    value = np.stack([w.astype(np.float32) for w in layers]) if tensor.layered else tensor.load(read(tensor.name))
    *parents, leaf = tensor.path
    branch = params
    for name in parents:
      branch = branch.setdefault(name, {})
    branch[leaf] = np.ascontiguousarray(value, np.float32)
  return params


def halves_from_pairs(head_dim: int) -> np.ndarray:
  """Where number i of [x0 x1 ... y0 y1 ...] lies in [x0 y0 x1 y1 ...]."""
  return np.arange(head_dim).reshape(-1, 2).T.reshape(-1)


def _at(params: Params, path: tuple[str, ...]) -> np.ndarray:
  for name in path:
    params = params[name]
  return np.asarray(params)


def _one_of_all(scale_HxK: np.ndarray, what: str) -> np.ndarray:
  if (scale_HxK != scale_HxK[:1]).any():
    raise UserError(
      f'this stage cannot be exported: its {what} has a scale for each head, and they differ. Qwen3ForCausalLM, the class for a '
      'serial block with qk_norm, has one for all heads. Train without qk_norm, or with the parallel block and LayerNorm.'
    )
  return scale_HxK[0]
