"""Parameters go to a class of transformers and back bitwise, and the class computes the same from them."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.errors import UserError
from codemix.huggingface import reference
from codemix.huggingface.classes import class_of
from codemix.huggingface.model_config import write_config
from codemix.huggingface.tensors import (
  halves_from_pairs,
  tensor_shapes,
  tensors,
  to_params,
  to_tensors,
)
from codemix.huggingface.verify import OWN_TOLERANCE, decoder_logits
from codemix.models import decoder, rotary
from tests.huggingface.stages import FORMS, LLAMA, config_of, random_params

SPECIAL = {'pad': 0, 'bos': 1, 'eos': 2}


def exported(config, params) -> dict[str, np.ndarray]:
  return dict(to_tensors(class_of(config), config, params))


def other_side(config, state: dict[str, np.ndarray], ids: np.ndarray) -> np.ndarray:
  written = write_config(class_of(config), config, 64, SPECIAL, 'float32')
  return reference.logits(written, state.__getitem__, ids)


@pytest.mark.parametrize('form', FORMS)
def test_a_class_of_transformers_computes_the_logits_of_the_decoder(form):
  config = config_of(form)
  params, ids = random_params(config), np.random.default_rng(1).integers(0, config.vocab_size, 19)
  expected = decoder_logits(config, params, ids)
  difference = np.abs(other_side(config, exported(config, params), ids) - expected).max()
  # A folded logit_scale is rounded to float32.
  assert difference < (1e-6 if form == 'llama scaled' else 1e-12) < np.abs(expected).max()


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('wrong', ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'down_proj'])
def test_one_wrong_tensor_is_beyond_the_tolerance_of_the_verification(form, wrong):
  config = config_of(form)
  params, ids = random_params(config), np.arange(19)
  state = exported(config, params)
  name = f'model.layers.1.{"mlp" if wrong in ("gate_proj", "down_proj") else "self_attn"}.{wrong}.weight'
  state[name] = np.roll(state[name], 2, axis=1 if wrong in ('o_proj', 'down_proj') else 0)
  expected = decoder_logits(config, params, ids)
  assert np.abs(other_side(config, state, ids) - expected).max() > 100 * OWN_TOLERANCE * np.abs(expected).max()


@settings(max_examples=25, deadline=None)
@given(
  form=st.sampled_from([form for form in FORMS if form != 'llama scaled']),
  layers=st.integers(1, 3), groups=st.integers(1, 3), per_group=st.integers(1, 3), half_head=st.integers(1, 6), width=st.integers(1, 9),
  seed=st.integers(0, 9),
)  # fmt: skip
def test_parameters_come_back_bitwise_at_any_size(form, layers, groups, per_group, half_head, width, seed):
  sizes = {'heads': groups * per_group, 'kv_heads': groups, 'head_dim': 2 * half_head, 'width': width, 'ffn_width': width + 1}
  config = config_of(form, layers=layers, vocab_size=7, **sizes)
  rng = np.random.default_rng(seed)
  params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), decoder.abstract_params(config))
  if form == 'qwen3':
    for name in ('query_norm', 'key_norm'):
      scale_NxHxK = params['layers']['attention'][name]['scale']
      scale_NxHxK[:] = scale_NxHxK[:, :1]
  kind = class_of(config)
  state = exported(config, params)
  assert {name: value.shape for name, value in state.items()} == tensor_shapes(kind, config)
  back = to_params(kind, config, state.__getitem__)
  assert jax.tree.structure(back) == jax.tree.structure(params)
  assert all(jax.tree.leaves(jax.tree.map(np.array_equal, back, params)))


@pytest.mark.parametrize('form', FORMS)
def test_every_parameter_of_the_decoder_is_written_once(form):
  config = config_of(form)
  paths = [tuple(key.key for key in path) for path, _ in jax.tree_util.tree_leaves_with_path(decoder.abstract_params(config))]
  assert sorted(tensor.path for tensor in tensors(class_of(config), config)) == sorted(paths)


@pytest.mark.parametrize('head_dim', [2, 6, 10, 64])
def test_pairs_become_halves_as_in_the_decoder(head_dim):
  assert halves_from_pairs(head_dim).tolist() == np.asarray(rotary.halves_from_pairs(np.arange(head_dim))).tolist()


def test_a_logit_scale_goes_into_the_final_norm_of_a_class_that_has_none():
  config = config_of('llama scaled')
  params = random_params(config)
  norm = exported(config, params)['model.norm.weight']
  assert np.array_equal(norm, params['norm']['scale'] * np.float32(config.logit_scale))


@pytest.mark.parametrize('settings', [{'block': 'serial'}, {'norm': 'rmsnorm'}, {'norm': 'rmsnorm', 'qk_norm': True}], ids=str)
def test_a_block_that_no_class_has_is_refused_with_the_reason(settings):
  with pytest.raises(UserError, match=r"no class of transformers has block='\w+' with norm='\w+'"):
    class_of(config_of('cohere', **settings))


@pytest.mark.parametrize('which', ['query_norm', 'key_norm'])
def test_head_scales_that_differ_are_refused_where_the_class_has_one_for_all(which):
  config = config_of('qwen3')
  params = random_params(config)
  params['layers']['attention'][which]['scale'][1, 0, 3] += 1
  with pytest.raises(UserError, match=f'its {which} has a scale for each head, and they differ'):
    exported(config, params)
  assert exported(config_of('qwen3', heads=1, kv_heads=1), random_params(config_of('qwen3', heads=1, kv_heads=1)))
  assert class_of(config_of('cohere', **LLAMA, qk_norm=True)).architecture == 'Qwen3ForCausalLM'
