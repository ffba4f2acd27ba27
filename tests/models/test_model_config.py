"""What a model's shape says by arithmetic is what the model is."""

import dataclasses
import math
import pathlib
import subprocess
import sys

import jax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.errors import UserError
from codemix.models import decoder
from codemix.models.config import ModelConfig

STUDY_470M = ModelConfig(256_000, layers=16, width=1024, ffn_width=2816, heads=8, head_dim=128)
STUDY_2800M = ModelConfig(256_000, layers=27, width=2560, ffn_width=6912, heads=20, head_dim=128)
TINY = ModelConfig(64, layers=2, width=16, ffn_width=24, heads=4, head_dim=4)


def test_the_studys_models_have_the_published_sizes():
  assert STUDY_470M.parameter_count()['total'] == 467_682_304
  assert STUDY_2800M.parameter_count()['total'] == 2_796_492_800


@settings(deadline=None, max_examples=12)
@given(
  layers=st.integers(1, 3),
  kv_heads=st.sampled_from([None, 1, 2, 4]),
  block=st.sampled_from(['parallel', 'serial']),
  tied=st.booleans(),
  qk_norm=st.booleans(),
)
def test_parameter_count_is_that_of_the_real_parameters(layers, kv_heads, block, tied, qk_norm):
  config = dataclasses.replace(
    TINY, layers=layers, kv_heads=kv_heads, block=block, tied=tied, qk_norm=qk_norm
  )
  shapes = decoder.abstract_params(config)
  counts = config.parameter_count()
  assert sum(math.prod(a.shape) for a in jax.tree.leaves(shapes)) == counts['total']
  assert sum(counts.values()) == 2 * counts['total']
  assert counts['embedding'] == math.prod(shapes['embedding'].shape)
  assert counts['ffn'] == sum(math.prod(a.shape) for a in jax.tree.leaves(shapes['layers']['ffn']))
  assert counts['head'] == (0 if tied else counts['embedding'])


@pytest.mark.parametrize('length', [1024, 8192])
def test_flops_are_six_per_weight_and_half_the_attention_square(length):
  config = STUDY_470M
  flops = config.flops_per_token(length)
  matrices = config.parameter_count()['total'] - config.parameter_count()['norm']
  scores = 16 * 12 * 8 * 128 * length / 2
  assert flops['total'] == 6 * matrices + scores
  assert flops['total'] == sum(value for part, value in flops.items() if part != 'total')


def test_flops_give_the_rooflines_of_the_design():
  peak = 197e12  # bf16 FLOP/s of a v5e chip
  assert peak / STUDY_470M.flops_per_token(8192)['total'] == pytest.approx(54.5e3, rel=2e-3)
  assert peak / STUDY_2800M.flops_per_token(8192)['total'] == pytest.approx(9.8e3, rel=5e-3)


def test_untying_changes_parameters_but_not_flops():
  untied = dataclasses.replace(STUDY_470M, tied=False)
  assert untied.flops_per_token(64) == STUDY_470M.flops_per_token(64)
  assert untied.parameter_count()['total'] == 467_682_304 + 256_000 * 1024


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'block': 'paralel'}, "Did you mean 'parallel'"),
    ({'norm': 'rms_norm'}, "Did you mean 'rmsnorm'"),
    ({'dtype': 'bf16'}, 'bfloat16, float32'),
    ({'remat': 'dot'}, "Did you mean 'dots'"),
    ({'attention': 'xlaa'}, "attention is 'xlaa'; it is one of .*Did you mean 'xla'"),
    ({'attention': None}, 'attention is None; it is one of'),
    ({'attention': ['xla']}, 'attention is .*; it is one of'),
    ({'head_dim': 5}, 'even number'),
    ({'kv_heads': 3}, 'use one of 1, 2, 4'),
    ({'layers': 0}, 'at least 1'),
    ({'width': 16.5}, 'whole number'),
    ({'loss_chunk': True}, 'whole number'),
    ({'tied': 1}, 'True or False'),
    ({'rope_theta': 0}, 'above 0'),
    ({'z_loss': -1e-4}, 'at least 0'),
    ({'logit_scale': float('nan')}, 'above 0'),
  ],
)
def test_a_wrong_value_is_named_with_what_to_write_instead(change, message):
  with pytest.raises(UserError, match=message) as error:
    dataclasses.replace(TINY, **change)
  assert next(iter(change)) in str(error.value)
  assert '\n' not in str(error.value)


def test_a_configuration_can_be_a_key():
  assert len({TINY, dataclasses.replace(TINY), dataclasses.replace(TINY, layers=3)}) == 2


def test_reading_a_configuration_does_not_start_jax():
  code = 'import sys, codemix.models.config; sys.exit("jax" in sys.modules)'
  root = pathlib.Path(__file__).parents[2]
  assert subprocess.run([sys.executable, '-c', code], cwd=root, check=False).returncode == 0
