"""Compiled programs are kept in a bucket: pods have no disk that outlives them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from codemix.storage import as_path

ROOT = Path(__file__).resolve().parents[2]
COMPILED = """
import sys
import jax
import jax.numpy as jnp
from codemix.commands.experiment import set_up_jax
from codemix.training.runtime import Runtime

set_up_jax(Runtime(output='unused', compilation_cache=sys.argv[1]))
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
events = []
jax.monitoring.register_event_listener(lambda name, **of: events.append(name))
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((64, 64))).block_until_ready()
print(*(f'{what} {events.count("/jax/compilation_cache/" + what)}' for what in ('cache_hits', 'cache_misses')))
"""


@pytest.mark.slow
def test_a_second_process_compiles_nothing(bucket):
  folder = f'{bucket}/compiled'
  environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(ROOT)}
  said = [subprocess.run([sys.executable, '-c', COMPILED, folder], env=environment, capture_output=True, text=True, check=True).stdout.split() for _ in range(2)]
  misses = said[0][3]
  assert said == [['cache_hits', '0', 'cache_misses', misses], ['cache_hits', misses, 'cache_misses', '0']] and misses != '0'
  assert any(as_path(folder).iterdir())
