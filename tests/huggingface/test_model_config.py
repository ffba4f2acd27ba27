"""config.json says everything that decides logits, in both forms; what a decoder lacks is refused by name."""

from __future__ import annotations

import json

import pytest

from codemix.errors import UserError
from codemix.huggingface.classes import class_of
from codemix.huggingface.model_config import read_config, write_config
from tests.huggingface.stages import FORMS, config_of

SPECIAL = {'pad': 0, 'bos': 1, 'eos': 2}


def written(form: str, **settings) -> dict:
  config = config_of(form, **settings)
  return write_config(class_of(config), config, 64, SPECIAL, 'float32')


def read(tmp_path, fields: dict):
  (tmp_path / 'config.json').write_text(json.dumps(fields))
  return read_config(tmp_path)


@pytest.mark.parametrize('form', [form for form in FORMS if form != 'llama scaled'])
def test_a_config_comes_back(form, tmp_path):
  found = read(tmp_path, written(form))
  assert (found.config, found.length, found.special, found.notes) == (config_of(form), 64, SPECIAL, ())


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('absent', ['rope_theta', 'rope_parameters'])
def test_the_base_is_read_as_either_version_of_transformers_writes_it(form, absent, tmp_path):
  fields = written(form, rope_theta=123.0)
  assert fields['rope_theta'] == fields['rope_parameters']['rope_theta'] == 123.0
  del fields[absent]
  assert read(tmp_path, fields).config.rope_theta == 123.0


@pytest.mark.parametrize(
  ('form', 'version', 'theta'),
  [('cohere', None, 500_000), ('cohere', '5.1.0', 500_000), ('cohere', '4.57.6', 10_000), ('llama', '4.57.6', 10_000), ('qwen3', '5.1.0', 10_000)],
)
def test_a_silent_config_has_the_base_of_its_class_and_that_is_said(form, version, theta, tmp_path):
  fields = {**written(form), 'transformers_version': version}
  del fields['rope_theta'], fields['rope_parameters']
  found = read(tmp_path, fields)
  assert found.config.rope_theta == theta
  assert 'has no rope_theta' in found.notes[0]


def test_a_silent_config_has_the_defaults_of_its_class(tmp_path):
  cohere = read(tmp_path, {'architectures': ['CohereForCausalLM'], 'num_hidden_layers': 2})
  assert (cohere.config.logit_scale, cohere.config.rope_theta, cohere.config.tied) == (0.0625, 500_000, True)
  assert (cohere.config.width, cohere.config.head_dim, cohere.config.kv_heads, cohere.length) == (8192, 128, 64, 8192)
  llama = read(tmp_path, {'model_type': 'llama'})
  assert (llama.config.norm_epsilon, llama.config.tied, llama.config.kv_heads, llama.length) == (1e-6, False, 32, 2048)
  qwen = read(tmp_path, {'model_type': 'qwen3', 'num_attention_heads': 16, 'num_key_value_heads': None})
  assert (qwen.config.head_dim, qwen.config.kv_heads, qwen.config.qk_norm) == (128, 16, True)


@pytest.mark.parametrize(('stored', 'computed'), [('float32', 'float32'), ('bfloat16', 'bfloat16'), ('float16', 'bfloat16'), (None, 'float32')])
def test_activations_have_the_type_of_the_stored_weights(stored, computed, tmp_path):
  for key in ('torch_dtype', 'dtype'):
    fields = {k: v for k, v in written('llama').items() if k != 'torch_dtype'}
    assert read(tmp_path, {**fields, key: stored}).config.dtype == computed


@pytest.mark.parametrize(
  ('form', 'change', 'said'),
  [
    ('llama', {'attention_bias': True}, 'attention_bias = True: a codemix decoder has no biases in attention'),
    ('llama', {'mlp_bias': True}, 'no biases in the FFN'),
    ('llama', {'hidden_act': 'gelu'}, 'no other activation than silu'),
    ('qwen3', {'use_sliding_window': True}, 'no sliding window'),
    ('qwen3', {'layer_types': ['full_attention', 'sliding_attention']}, 'no sliding or other windows'),
    ('qwen3', {'layer_types': [[]]}, 'no sliding or other windows'),
    ('llama', {'partial_rotary_factor': 0.5}, 'no heads that are turned in part'),
    ('llama', {'rope_parameters': {'rope_theta': 1e4, 'rope_type': 'default', 'partial_rotary_factor': 0.5}}, 'turns whole heads'),
    ('llama', {'rope_scaling': {'type': 'linear', 'factor': 2.0}}, "rope_scaling of type 'linear'"),
    ('llama', {'rope_parameters': {'rope_type': 'llama3', 'rope_theta': 1e4}}, "rope_parameters of type 'llama3'"),
    ('llama', {'rope_parameters': {'full_attention': {'rope_theta': 1e4}}}, 'has rope_parameters for each type of layer'),
    ('llama', {'rope_parameters': 3}, 'it must be an object'),
    ('llama', {'rope_parameters': {'rope_theta': [1]}}, 'both rope_parameters.rope_theta = [1] and rope_theta = 10000.0'),
    ('llama', {'rope_theta': 5e5}, 'both rope_parameters.rope_theta = 10000.0 and rope_theta = 500000.0'),
    ('llama', {'final_logit_softcapping': 30.0}, 'no cap on logits'),
    ('llama', {'attn_logit_softcapping': 30.0}, 'no cap on attention scores'),
    ('llama', {'num_local_experts': 8}, 'no experts'),
    ('llama', {'quantization_config': {'bits': 4}}, 'no quantised weights'),
    ('llama', {'num_key_value_heads': 3}, 'does not divide heads'),
    ('llama', {'hidden_size': 25, 'head_dim': None}, 'is not divisible by num_attention_heads'),
    ('llama', {'head_dim': 10**15}, 'it must be a whole number from 1 to 16,777,216'),
    ('llama', {'hidden_size': 'many'}, "hidden_size = 'many': it must be a whole number"),
    ('llama', {'rms_norm_eps': -1}, 'it must be a number above 0'),
    ('llama', {'tie_word_embeddings': 'no'}, 'it must be true or false'),
    ('llama', {'eos_token_id': 'end'}, 'it must be the id of a token'),
    ('llama', {'architectures': ['LlamaForCasualLM']}, "Did you mean 'LlamaForCausalLM'?"),
    ('llama', {'architectures': ['MixtralForCausalLM']}, 'is of MixtralForCausalLM: codemix imports CohereForCausalLM'),
    ('llama', {'architectures': 3, 'model_type': None}, 'names no architecture that codemix knows'),
  ],
  ids=lambda value: json.dumps(value)[:60],
)
def test_what_a_decoder_lacks_is_refused_by_name(form, change, said, tmp_path):
  with pytest.raises(UserError) as refused:
    read(tmp_path, {**written(form), **change})
  assert said in str(refused.value)
  assert '\n' not in str(refused.value)


def test_several_ends_of_a_text_are_the_first_and_minus_one_is_none(tmp_path):
  assert read(tmp_path, {**written('llama'), 'eos_token_id': [7, 9], 'pad_token_id': -1}).special == {'pad': None, 'bos': 1, 'eos': 7}
