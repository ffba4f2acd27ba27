"""A continuation follows from the model, the prompt and the seed, and from nothing else."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from codemix.errors import UserError
from codemix.models import decoder, reference
from codemix.models.config import ModelConfig
from codemix.models.generate import ROWS, generate
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import parameter_shardings
from tests.models.random_inputs import random_params

BOS, EOS = 1, 2
NEW = 7
CONFIG = ModelConfig(
  48, layers=2, width=16, ffn_width=24, heads=4, head_dim=4, kv_heads=2, dtype='float32'
)
PROMPT_LENGTHS = [0, 1, 5, 15, 16, 20, 3, 3, 9, 2, 4]  # two padded lengths, more than one batch

logits = jax.jit(reference.logits, static_argnums=0)
continue_ = functools.partial(generate, max_new_tokens=NEW, bos_id=BOS, eos_id=EOS)


@pytest.fixture(scope='module')
def params():
  return random_params(CONFIG)


@pytest.fixture(scope='module')
def prompts():
  rng = np.random.default_rng(1)
  return [rng.integers(3, 48, length).tolist() for length in PROMPT_LENGTHS]


def greedy_without_cache(config, params, prompt):
  tokens = [BOS, *prompt]
  for _ in range(NEW):
    row = np.zeros((1, 32), np.int32)
    row[0, : len(tokens)] = tokens
    logits_1xLxV = logits(config, params, row, np.ones_like(row), np.arange(32)[None])
    token = int(logits_1xLxV[0, len(tokens) - 1].argmax())
    if token == EOS:
      break
    tokens.append(token)
  return tokens[1 + len(prompt) :]


@pytest.mark.parametrize(
  'config',
  [CONFIG, dataclasses.replace(CONFIG, block='serial', norm='rmsnorm', qk_norm=True, tied=False)],
  ids=['parallel', 'serial'],
)
def test_greedy_is_the_argmax_of_the_reference_at_each_token(config, prompts):
  params = random_params(config)
  expected = [greedy_without_cache(config, params, prompt) for prompt in prompts]
  assert continue_(config, params, prompts) == expected
  assert len({tuple(tokens) for tokens in expected}) > len(prompts) / 2


@pytest.mark.parametrize(
  'options', [{}, {'temperature': 1.0, 'top_k': 20, 'top_p': 0.9, 'seed': 5}]
)
def test_the_other_prompts_change_nothing(params, prompts, options):
  together = continue_(CONFIG, params, prompts, **options)
  assert [continue_(CONFIG, params, [prompt], **options)[0] for prompt in prompts] == together
  assert continue_(CONFIG, params, prompts[::-1], **options) == together[::-1]


def test_samples_differ_by_seed_and_by_repetition_only(params, prompts):
  prompt = prompts[2]
  sample = functools.partial(continue_, CONFIG, params, temperature=2.0)
  many = sample([prompt] * (ROWS + 2))
  assert many == sample([prompt] * (ROWS + 2))
  assert len({tuple(tokens) for tokens in many}) > ROWS
  assert sample([prompt], seed=1) != sample([prompt], seed=0) == many[:1]


def test_different_prompts_draw_different_numbers(params):
  indifferent = jax.tree.map(np.zeros_like, params)  # all tokens are as likely
  first, second = continue_(CONFIG, indifferent, [[5], [6]], temperature=1.0)
  assert first != second


def test_a_continuation_ends_at_eos_without_it(params, prompts):
  full = continue_(CONFIG, params, prompts)
  for tokens in full:
    ends_at = tokens[3]  # so that it is reached
    shorter = continue_(CONFIG, params, prompts, eos_id=ends_at)
    assert shorter == [t[: t.index(ends_at)] if ends_at in t else t for t in full]


def test_a_shorter_limit_gives_a_prefix(params, prompts):
  full = continue_(CONFIG, params, prompts)
  shorter = continue_(CONFIG, params, prompts, max_new_tokens=NEW - 2)
  assert shorter == [tokens[: NEW - 2] for tokens in full]


def test_sharded_parameters_continue_alike(params, prompts):
  mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2))
  places = parameter_shardings(mesh, decoder.abstract_params(CONFIG), decoder.logical_axes(CONFIG))
  sharded = jax.tree.map(jax.device_put, params, places)
  assert continue_(CONFIG, sharded, prompts, mesh=mesh) == continue_(CONFIG, params, prompts)


def test_no_prompts_give_no_continuations(params):
  assert continue_(CONFIG, params, []) == []


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'temperature': -0.1}, 'temperature is -0.1'),
    ({'temperature': float('nan')}, 'temperature is nan'),
    ({'top_k': -1}, 'top_k is -1'),
    ({'top_p': 0.0}, 'top_p is 0.0.*above 0'),
    ({'top_p': 1.1}, 'top_p is 1.1'),
    ({'max_new_tokens': 0}, 'max_new_tokens is 0'),
    ({'eos_id': 48}, 'id 48.*0 to 47'),
    ({'prompts': [[3], [4, -1]]}, 'prompt 1 has token id -1'),
  ],
)
def test_a_wrong_option_is_named(params, options, message):
  arguments = {'prompts': [[3]], 'max_new_tokens': 1, 'bos_id': BOS, 'eos_id': EOS} | options
  with pytest.raises(UserError, match=message):
    generate(CONFIG, params, **arguments)


def test_bfloat16_generates(params, prompts):
  config = dataclasses.replace(CONFIG, dtype='bfloat16')
  tokens = continue_(config, params, prompts)
  assert any(tokens) and all(0 <= token < 48 for row in tokens for token in row)
