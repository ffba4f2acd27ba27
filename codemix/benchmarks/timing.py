"""How the benchmarks take a time, and what they hold it against."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from codemix.parallel.host_allocator import retain_heap
from codemix.parallel.mesh import MeshConfig, make_mesh

CPU_SIDE, SIDE = 2048, 8192
PRODUCTS = 4  # one after the other in one program, so that its start does not count

Key = TypeVar('Key')


def seconds(run: Callable[[], object]) -> float:
  """By the clock, until the result is there."""
  began = time.perf_counter()
  jax.block_until_ready(run())
  return time.perf_counter() - began


def medians(
  runs: Mapping[Key, Callable[[], object]], repeats: int, warm_up: int = 1
) -> dict[Key, float]:
  """Seconds of each, all in turn, so that what else the machine does meets all of them.

  Args:
    repeats: turns that count.
    warm_up: turns before those.
  """
  turns = [{key: seconds(run) for key, run in runs.items()} for _ in range(warm_up + repeats)]
  return {key: statistics.median(turn[key] for turn in turns[warm_up:]) for key in runs}


def matmul_speed(dtype: jnp.dtype, side: int = 0, repeats: int = 9) -> float:
  """FLOP/s of square matmuls that follow each other, with nothing between: the ceiling of what is measured.

  In turn with other programs they would be slower, by a third on some CPUs, and an MFU against
  them would flatter.

  Args:
    side: of the matrices; 0: `default_side`.
  """
  multiply, flops = _square_products(dtype, side or default_side())
  return flops / medians({'matmul': multiply}, repeats, warm_up=2)['matmul']


def _square_products(dtype: jnp.dtype, side: int) -> tuple[Callable[[], jax.Array], float]:
  """A compiled program that multiplies square matrices, and its FLOPs."""

  @jax.jit
  def power(a: jax.Array) -> jax.Array:
    b = a
    for _ in range(PRODUCTS):
      b = jnp.matmul(b, a, preferred_element_type=jnp.float32).astype(dtype)
    return b

  matrix = jnp.full((side, side), 1 / side, dtype)
  compiled = power.lower(matrix).compile()
  return lambda: compiled(matrix), PRODUCTS * 2.0 * side**3


def default_side() -> int:
  """Of square matrices, large enough for the device's full speed."""
  return CPU_SIDE if jax.default_backend() == 'cpu' else SIDE


def usual_dtype() -> jnp.dtype:
  """In which models are trained here: CPUs have no fast bfloat16."""
  return jnp.dtype(jnp.float32 if jax.default_backend() == 'cpu' else jnp.bfloat16)


def one_device_mesh() -> Mesh:
  """Of the first device, also where there are more; its process is set up as that of `codemix train`."""
  retain_heap()
  return make_mesh(MeshConfig(data=1), jax.devices()[:1])
