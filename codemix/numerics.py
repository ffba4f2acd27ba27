"""JAX settings that change a run's numbers, pinned whatever the environment or the program sets.

A stage's hash stands for its numbers, but does not include JAX's settings. So `pinned`, around the runner and the
other entry points, sets those that would change initialisation or types to JAX's defaults, and restores them at the
end. Compiler flags that only change rounding are left alone, and recorded in a study's provenance.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

import jax

from codemix.errors import NonFiniteError, UserError

# Read by libraries when they are loaded, or by the compiler at every compilation.
VARIABLES = ('XLA_FLAGS', 'LIBTPU_INIT_ARGS', 'NVIDIA_TF32_OVERRIDE')

# In XLA_FLAGS: the number of devices, and dumps for debugging.
_OF_A_MACHINE = re.compile(r'--xla_(force_host_platform_device_count|dump_\w+)(=\S*)?')
# Fast math assumes that there is no NaN, which codemix needs to detect divergence.
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
  # These do not change numbers, but a debugging setting in the environment would end a run at its first batch.
  'jax_transfer_guard_host_to_device': 'allow',
  'jax_transfer_guard_device_to_device': 'allow',
  'jax_transfer_guard_device_to_host': 'allow',
}


@contextlib.contextmanager
def pinned() -> Iterator[None]:
  """Pins JAX's settings in this context, in all threads; also a decorator.

  Raises:
    UserError: XLA_FLAGS sets fast math.
    NonFiniteError: JAX checks for numbers that are not finite, and found one.
  """
  _refuse()
  with contextlib.ExitStack() as here:
    for name, value in _PINS.items():  # globally, for the threads that load and save
      if name in jax.config.values:  # a later JAX may have dropped it
        here.callback(jax.config.update, name, jax.config.values[name])
        jax.config.update(name, value)
    # Contexts of the program win over global settings, so enter contexts too.
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
    except FloatingPointError as error:  # raised under JAX_DEBUG_NANS or JAX_DEBUG_INFS
      raise NonFiniteError(f'JAX found a number that is not finite: {str(error).splitlines()[0]}') from error


def settings_in_force() -> dict[str, str]:
  """Settings of the environment that may change the last digits of numbers, without those of the machine."""
  found = {name: _OF_A_MACHINE.sub('', os.environ.get(name, '')).split() for name in VARIABLES}
  return {name: ' '.join(sorted(words)) for name, words in found.items() if words}


def _refuse() -> None:
  if _FAST_MATH.search(os.environ.get('XLA_FLAGS', '')):
    raise UserError(
      'XLA_FLAGS sets fast math, with which a loss that is not a number goes unnoticed: remove --xla_cpu_enable_fast_math from it.'
    )
