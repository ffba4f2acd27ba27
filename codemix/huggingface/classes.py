"""The model classes of transformers that compute what a codemix decoder computes.

Each row was read from the class's source in transformers 4.57 and 5.24.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from codemix.errors import UserError
from codemix.models.config import ModelConfig


@dataclasses.dataclass(frozen=True)
class ModelClass:
  """One class.

  Attributes:
    architecture: its name, in config.json's `architectures`.
    model_type: config.json's `model_type`.
    block, norm: those of `ModelConfig`.
    qk_norm: the scales of normalised queries and keys. 'heads': [heads, head size]; 'shared':
      one [head size] for all heads; None: nothing is normalised.
    halves: whether number i of a head's first half turns with number i of the second, and not
      number 2i with number 2i + 1.
    epsilon: config.json's name of `norm_epsilon`.
    defaults: what transformers takes if config.json is silent.
    theta_of_4: the default of `rope_theta` in transformers 4, if another.
  """

  architecture: str
  model_type: str
  block: Literal['parallel', 'serial']
  norm: Literal['layernorm', 'rmsnorm']
  qk_norm: Literal['heads', 'shared'] | None
  halves: bool
  epsilon: str
  defaults: Mapping[str, object]
  theta_of_4: float | None = None

  @property
  def has_logit_scale(self) -> bool:
    return 'logit_scale' in self.defaults


_COHERE = ModelClass(
  'CohereForCausalLM', 'cohere', 'parallel', 'layernorm', None, False, 'layer_norm_eps',
  {
    'vocab_size': 256_000, 'hidden_size': 8192, 'intermediate_size': 22_528, 'num_hidden_layers': 40, 'num_attention_heads': 64,
    'max_position_embeddings': 8192, 'layer_norm_eps': 1e-5, 'logit_scale': 0.0625, 'rope_theta': 500_000.0,
    'tie_word_embeddings': True, 'use_qk_norm': False, 'pad_token_id': 0, 'bos_token_id': 5, 'eos_token_id': 255_001,
  },
  theta_of_4=10_000.0,
)  # fmt: skip
_COHERE_NORMED = dataclasses.replace(_COHERE, qk_norm='heads')  # with `use_qk_norm`
_LLAMA = ModelClass(
  'LlamaForCausalLM', 'llama', 'serial', 'rmsnorm', None, True, 'rms_norm_eps',
  {
    'vocab_size': 32_000, 'hidden_size': 4096, 'intermediate_size': 11_008, 'num_hidden_layers': 32, 'num_attention_heads': 32,
    'max_position_embeddings': 2048, 'rms_norm_eps': 1e-6, 'rope_theta': 10_000.0, 'tie_word_embeddings': False,
    'pad_token_id': None, 'bos_token_id': 1, 'eos_token_id': 2,
  },
)  # fmt: skip
_QWEN3 = ModelClass(
  'Qwen3ForCausalLM', 'qwen3', 'serial', 'rmsnorm', 'shared', True, 'rms_norm_eps',
  {
    'vocab_size': 151_936, 'hidden_size': 4096, 'intermediate_size': 22_016, 'num_hidden_layers': 32, 'num_attention_heads': 32,
    'num_key_value_heads': 32, 'head_dim': 128, 'max_position_embeddings': 32_768, 'rms_norm_eps': 1e-6, 'rope_theta': 10_000.0,
    'tie_word_embeddings': False, 'pad_token_id': None, 'bos_token_id': None, 'eos_token_id': None,
  },
)  # fmt: skip

CLASSES = (_COHERE, _COHERE_NORMED, _LLAMA, _QWEN3)

_HOLDS = (
  "the parallel block with LayerNorm fits CohereForCausalLM, the serial block with RMSNorm LlamaForCausalLM, "
  'or Qwen3ForCausalLM with qk_norm'
)


def class_of(config: ModelConfig) -> ModelClass:
  """The class that computes what `config` describes.

  Raises UserError: none does, with the reason.
  """
  for found in CLASSES:
    if (found.block, found.norm, found.qk_norm is not None) == (config.block, config.norm, config.qk_norm):
      return found
  raise UserError(
    f"no class of transformers has block='{config.block}' with norm='{config.norm}', so this stage cannot be exported: {_HOLDS}."
  )


def class_named(architecture: str, use_qk_norm: bool) -> ModelClass | None:
  """The class of a config.json; None if codemix cannot read it."""
  for found in CLASSES:
    if found.architecture == architecture and (architecture != _COHERE.architecture or use_qk_norm == (found.qk_norm is not None)):
      return found
  return None
