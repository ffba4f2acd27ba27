"""A stage's hash stands for its numbers, whatever JAX's settings are in the environment or the program."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from codemix.errors import NonFiniteError, UserError
from codemix.numerics import pinned, settings_in_force
from tests.faults import runs

FIRST_NUMBERS = """
import jax, jax.numpy as jnp
from codemix.models import decoder
from codemix.numerics import pinned
from tests.tiny_study import MODEL
with pinned():
  params = jax.jit(lambda: decoder.init_params(MODEL, 3))()
  leaves = jax.tree.leaves(params)
  print([(str(leaf.dtype), float(jnp.abs(leaf).sum())) for leaf in leaves], jnp.asarray(1.5).dtype)
"""


def first_numbers(**environment: str) -> str:
  ran = subprocess.run(
    [sys.executable, '-c', FIRST_NUMBERS],
    env={**runs.environment(), **environment},
    cwd=runs.ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  return ran.stdout


def test_variables_of_jax_give_no_other_initialisation():
  settings = {
    'JAX_ENABLE_X64': '1',
    'JAX_THREEFRY_PARTITIONABLE': '0',
    'JAX_DEFAULT_PRNG_IMPL': 'rbg',
    'JAX_RANDOM_SEED_OFFSET': '7',
    'JAX_NUMPY_RANK_PROMOTION': 'raise',
    'JAX_NUMPY_DTYPE_PROMOTION': 'strict',
  }
  assert first_numbers(**settings) == first_numbers()


def test_a_program_has_its_own_settings_back_afterwards():
  with jax.enable_x64(True):
    with pinned():
      assert jnp.zeros(3).dtype == jnp.float32
    assert jnp.zeros(3).dtype == jnp.float64


def test_fast_math_is_refused(monkeypatch):
  monkeypatch.setenv('XLA_FLAGS', '--xla_cpu_enable_fast_math=true --xla_dump_to=x')
  with pytest.raises(UserError, match='fast math'), pinned():
    pass


def test_what_is_a_machines_own_is_no_setting(monkeypatch):
  monkeypatch.setenv('XLA_FLAGS', '--xla_force_host_platform_device_count=8 --xla_allow_excess_precision=false --xla_dump_to=x')
  assert settings_in_force()['XLA_FLAGS'] == '--xla_allow_excess_precision=false'


def test_a_number_that_jax_itself_finds_not_finite_is_the_error_of_codemix():
  with jax.debug_nans(True), pytest.raises(NonFiniteError, match='not finite'), pinned():
    jax.jit(lambda value: value / value)(jnp.zeros(3)).block_until_ready()


def test_a_guard_of_transfers_in_the_environment_does_not_end_a_run():
  assert first_numbers(JAX_TRANSFER_GUARD='disallow') == first_numbers()
  guarded = first_numbers(JAX_TRANSFER_GUARD_HOST_TO_DEVICE='disallow', JAX_TRANSFER_GUARD_DEVICE_TO_HOST='disallow')
  assert guarded == first_numbers()
