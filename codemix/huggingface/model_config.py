"""A codemix decoder as the config.json of transformers, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from codemix.errors import UserError, nearest
from codemix.huggingface.classes import CLASSES, ModelClass, class_named
from codemix.models.config import ModelConfig
from codemix.storage import read_json

CONFIG = 'config.json'
LARGEST = 2**24  # of any size in a config.json; a larger one is a mistake, and would be worked through for hours


@dataclasses.dataclass(frozen=True)
class Described:
  """What a config.json says.

  Attributes:
    kind: the class.
    config: the decoder.
    length: `max_position_embeddings`, tokens.
    special: pad, bos and eos: their ids, or None.
    notes: what it does not say, and what was taken.
  """

  kind: ModelClass
  config: ModelConfig
  length: int
  special: dict[str, int | None]
  notes: tuple[str, ...]


def write_config(kind: ModelClass, config: ModelConfig, length: int, special: Mapping[str, int], dtype: str) -> dict[str, Any]:
  """The config.json of a model.

  Everything that a default of transformers might decide otherwise is written. transformers 4 reads
  `rope_theta` and transformers 5 `rope_parameters`.

  Args:
    length: tokens of a row.
    special: ids of 'pad', 'bos' and 'eos'.
    dtype: in which the tensors are stored.
  """
  own = {'logit_scale': config.logit_scale, 'use_qk_norm': config.qk_norm} if kind.has_logit_scale else {'mlp_bias': False}
  return {
    'architectures': [kind.architecture],
    'model_type': kind.model_type,
    'vocab_size': config.vocab_size,
    'hidden_size': config.width,
    'intermediate_size': config.ffn_width,
    'num_hidden_layers': config.layers,
    'num_attention_heads': config.heads,
    'num_key_value_heads': config.key_value_heads,
    'head_dim': config.head_dim,
    'hidden_act': 'silu',
    'max_position_embeddings': length,
    kind.epsilon: config.norm_epsilon,
    'rope_theta': config.rope_theta,
    'rope_parameters': {'rope_type': 'default', 'rope_theta': config.rope_theta},
    **own,
    'attention_bias': False,
    'attention_dropout': 0.0,
    'tie_word_embeddings': config.tied,
    **{f'{name}_token_id': id for name, id in special.items()},
    'torch_dtype': dtype,
    'use_cache': True,
  }


def read_config(folder: Path, dtype: str | None = None) -> Described:
  """Reads the config.json of a folder.

  What the file does not say is what transformers takes for the class.

  Raises UserError: the file is missing or damaged, is of a class that codemix does not read, or
  asks for what a codemix decoder does not have.

  Args:
    dtype: `ModelConfig.dtype`; None for that of the stored tensors, if codemix computes in it.
  """
  path = folder / CONFIG
  written = read_json(path, fix='Download it again.')
  kind = _class(written, path)
  fields = {**kind.defaults, **{name: value for name, value in written.items() if value is not None}}
  if 'num_key_value_heads' in written and written['num_key_value_heads'] is None:
    fields.pop('num_key_value_heads', None)  # as many as there are heads
  for field, allowed, what in _REFUSED:
    if (value := fields.get(field)) is not None and not allowed(value):
      raise UserError(f'{path} has {field} = {value!r}: a codemix decoder has no {what}, so this model cannot be imported.')
  theta, notes = _rope_theta(written, kind, path)
  heads = _whole(fields, 'num_attention_heads', path)
  width = _whole(fields, 'hidden_size', path)
  if 'head_dim' not in fields and width % heads:
    raise UserError(f'{path}: hidden_size = {width} is not divisible by num_attention_heads = {heads}, and there is no head_dim.')
  fields_of_model = dict(
    vocab_size=_whole(fields, 'vocab_size', path),
    layers=_whole(fields, 'num_hidden_layers', path),
    width=width,
    ffn_width=_whole(fields, 'intermediate_size', path),
    heads=heads,
    head_dim=_whole(fields, 'head_dim', path) if 'head_dim' in fields else width // heads,
    kv_heads=_whole(fields, 'num_key_value_heads', path) if 'num_key_value_heads' in fields else heads,
    block=kind.block,
    norm=kind.norm,
    qk_norm=kind.qk_norm is not None,
    tied=_flag(fields, 'tie_word_embeddings', path),
    rope_theta=theta,
    logit_scale=_number(fields, 'logit_scale', path) if kind.has_logit_scale else 1.0,
    norm_epsilon=_number(fields, kind.epsilon, path),
    dtype=dtype or _computed_in(written),
  )
  try:
    config = ModelConfig(**fields_of_model)
  except UserError as error:
    raise UserError(f'{path} does not describe a decoder: {error}') from None
  special = {name: _token(written, kind, f'{name}_token_id', path) for name in ('pad', 'bos', 'eos')}
  return Described(kind, config, _whole(fields, 'max_position_embeddings', path), special, tuple(notes))


def _class(written: Mapping[str, Any], path: Path) -> ModelClass:
  architectures = written.get('architectures') or [kind.architecture for kind in CLASSES if kind.model_type == written.get('model_type')]
  name = architectures[0] if isinstance(architectures, list) and architectures and isinstance(architectures[0], str) else None
  if name and (kind := class_named(name, bool(written.get('use_qk_norm')))):
    return kind
  readable = list(dict.fromkeys(kind.architecture for kind in CLASSES))
  described = f'is of {name}' if name else f'names no architecture that codemix knows (model_type {written.get("model_type")!r})'
  raise UserError(f'{path} {described}: codemix imports {", ".join(readable)}.{nearest(name or "", readable)}')


def _rope_theta(written: Mapping[str, Any], kind: ModelClass, path: Path) -> tuple[float, list[str]]:
  """The base of the rotary frequencies; `rope_parameters` is transformers 5's, `rope_scaling` 4's."""
  rope = written.get('rope_parameters') or {}
  for name, value in (('rope_parameters', rope), ('rope_scaling', written.get('rope_scaling') or {})):
    if not isinstance(value, dict):
      raise UserError(f'{path} has {name} = {value!r}: it must be an object.')
    if any(isinstance(inner, dict) for inner in value.values()):
      raise UserError(f'{path} has {name} for each type of layer: a codemix decoder has one rope_theta, so this model cannot be imported.')
    if (scaling := value.get('rope_type', value.get('type', 'default'))) != 'default':
      raise UserError(
        f"{path} has {name} of type {scaling!r}: a codemix decoder has no scaling of rotary positions, so this model cannot be imported."
      )
    if value.get('partial_rotary_factor', 1.0) != 1.0:
      raise UserError(f'{path} has {name}.partial_rotary_factor = {value["partial_rotary_factor"]!r}: a codemix decoder turns whole heads.')
  new, old = rope.get('rope_theta'), written.get('rope_theta')
  if None not in (new, old) and new != old:
    raise UserError(f'{path} has both rope_parameters.rope_theta = {new!r} and rope_theta = {old!r}: correct one of them.')
  if (theta := old if new is None else new) is not None:
    return _number({'rope_theta': theta}, 'rope_theta', path), []
  of_4 = str(written.get('transformers_version', '')).startswith('4.') and kind.theta_of_4
  theta = of_4 or kind.defaults['rope_theta']
  version = 'transformers 4, which wrote it, takes' if of_4 else f'transformers takes for {kind.architecture}'
  return theta, [f'{path} has no rope_theta: {theta:,.0f} is used, as {version}.']


def _computed_in(written: Mapping[str, Any]) -> str:
  stored = written.get('dtype') or written.get('torch_dtype')
  return 'float32' if stored in (None, 'float32') else 'bfloat16'


def _token(written: Mapping[str, Any], kind: ModelClass, field: str, path: Path) -> int | None:
  value = written[field] if field in written else kind.defaults[field]
  if isinstance(value, list):  # several ends; the first is that of a document
    value = value[0] if value else None
  if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
    return value
  if value == -1:  # Llama's way to say none
    return None
  raise UserError(f'{path} has {field} = {value!r}: it must be the id of a token.')


def _whole(fields: Mapping[str, Any], field: str, path: Path) -> int:
  value = fields[field]
  if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST:
    raise UserError(f'{path} has {field} = {value!r}: it must be a whole number from 1 to {LARGEST:,}.')
  return value


def _number(fields: Mapping[str, Any], field: str, path: Path) -> float:
  value = fields[field]
  if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float('inf'):
    raise UserError(f'{path} has {field} = {value!r}: it must be a number above 0.')
  return float(value)


def _flag(fields: Mapping[str, Any], field: str, path: Path) -> bool:
  if not isinstance(value := fields[field], bool):
    raise UserError(f'{path} has {field} = {value!r}: it must be true or false.')
  return value


def _is(*values: object) -> Callable[[object], bool]:
  return lambda value: value in values


# (field, whether a value is held, what codemix lacks otherwise). They are those of Cohere, Llama and
# Qwen3, and of models that are given out under these names.
_REFUSED = (
  ('attention_bias', _is(False), 'biases in attention'),
  ('mlp_bias', _is(False), 'biases in the FFN'),
  ('use_bias', _is(False), 'biases'),
  ('hidden_act', _is('silu', 'swish'), 'other activation than silu'),
  ('use_sliding_window', _is(False), 'sliding window'),
  ('layer_types', lambda types: isinstance(types, list) and all(kind == 'full_attention' for kind in types), 'sliding or other windows'),
  ('partial_rotary_factor', _is(1.0), 'heads that are turned in part'),
  ('attn_logit_softcapping', _is(), 'cap on attention scores'),
  ('final_logit_softcapping', _is(), 'cap on logits'),
  ('num_experts', _is(0, 1), 'experts'),
  ('num_local_experts', _is(0, 1), 'experts'),
  ('quantization_config', _is(), 'quantised weights'),
)
