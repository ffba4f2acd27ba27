"""The settings of JAX that decide a run's numbers: codemix sets them, whatever the environment or the program says.

A stage's hash stands for its numbers and does not hold JAX's settings. So `pinned`, around the study's runner and
the other entry points, sets those that would give another initialisation or another type to JAX's defaults, and
sets them back at the end. A setting that can no longer be changed is refused.
Flags of the compiler that merely round differently are left alone, and kept in a study's provenance.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

import jax

from codemix.errors import NonFiniteError, UserError

# Switches that libraries read when they are loaded, or the compiler at every compilation.
VARIABLES = ('XLA_FLAGS', 'LIBTPU_INIT_ARGS', 'NVIDIA_TF32_OVERRIDE')

# Of XLA_FLAGS: how many devices a machine shows, and what is written for debugging.
_OF_A_MACHINE = re.compile(r'--xla_(force_host_platform_device_count|dump_\w+)(=\S*)?')
# It computes as if there were no NaN, by which a run that diverges is recognised.
_FAST_MATH = re.compile(r'--xla_\w*enable_fast_math(=(true|1))?(\s|$)', re.IGNORECASE)


_PINS = {
  'jax_enable_x64': False,
  'jax_threefry_partitionable': True,
  'jax_default_prng_impl': 'threefry2x32',
  'jax_random_seed_offset': 0,
  'jax_default_matmul_precision': None,
  'jax_numpy_rank_promotion': 'allow',
  'jax_numpy_dtype_promotion': 'standard',
  'jax_disable_jit': False,
  'jax_softmax_custom_jvp': False,
  'jax_high_dynamic_range_gumbel': False,
  'jax_allow_f16_reductions': True,
  # No numbers follow from these, but a debugging aid of the environment would end a run at its first batch.
  'jax_transfer_guard_host_to_device': 'allow',
  'jax_transfer_guard_device_to_device': 'allow',
  'jax_transfer_guard_device_to_host': 'allow',
}


@contextlib.contextmanager
def pinned() -> Iterator[None]:
  """JAX computes with codemix's settings in this context, in all threads; also the decorator of a function.

  Raises:
    UserError: a setting that changes the numbers and cannot be set any more.
    NonFiniteError: JAX was asked to look for numbers that are not finite, and found one.
  """
  _refuse()
  with contextlib.ExitStack() as here:
    for name, value in _PINS.items():  # for other threads: the loader's, and those that save
      if name in jax.config.values:  # a later JAX may have dropped it
        here.callback(jax.config.update, name, jax.config.values[name])
        jax.config.update(name, value)
    # A program may itself be in such a context, which goes before the global settings.
    for context in (
      jax.enable_x64(False),
      jax.threefry_partitionable(True),
      jax.default_prng_impl(_PINS['jax_default_prng_impl']),
      jax.default_matmul_precision(None),
      jax.numpy_rank_promotion('allow'),
      jax.numpy_dtype_promotion('standard'),
      jax.disable_jit(False),
      jax.transfer_guard('allow'),
    ):
      here.enter_context(context)
    try:
      yield
    except FloatingPointError as error:  # under JAX_DEBUG_NANS or JAX_DEBUG_INFS, JAX looks itself
      raise NonFiniteError(f'JAX found a number that is not finite: {str(error).splitlines()[0]}') from error


def settings_in_force() -> dict[str, str]:
  """What is set in the environment that may bear on the last digits of numbers, without what is a machine's own."""
  found = {name: _OF_A_MACHINE.sub('', os.environ.get(name, '')).split() for name in VARIABLES}
  return {name: ' '.join(sorted(words)) for name, words in found.items() if words}


def _refuse() -> None:
  if _FAST_MATH.search(os.environ.get('XLA_FLAGS', '')):
    raise UserError(
      'XLA_FLAGS sets fast math, with which a loss that is not a number goes unnoticed: take --xla_cpu_enable_fast_math out of it.'
    )
