"""What matrix products reach on this device: the ceiling that a step is held against.

Square products, in float32 and bfloat16 (each with sums in float32). A matmul of sides M, K and N is
counted as 2 M K N operations.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp

from codemix.benchmarks.figure import Figure

CPU_SIDE, SIDE = 2048, 8192
PRODUCTS = 4  # one after the other in one program, so that its start does not count


@dataclasses.dataclass(frozen=True)
class Size:
  """How much is measured.

  Attributes:
    side: of the square matrices; 0: 2048 on CPUs, 8192 elsewhere.
    repeats: of each measurement, of which the median is said.
  """

  side: int = 0
  repeats: int = 9


def measure(folder: Path, size: Size) -> Iterator[Figure]:
  """Yields the figure of each type; `folder` is not used."""
  del folder
  for dtype in (jnp.float32, jnp.bfloat16):
    run, flops = square_products(jnp.dtype(dtype), size.side)
    taken = [seconds(run) for _ in range(size.repeats + 1)][1:]  # the first is for warming up
    name = f'{jnp.dtype(dtype).name} matmuls of {size.side or default_side()} x {size.side or default_side()}'
    yield Figure(name, flops / statistics.median(taken) / 1e12, 'TFLOP/s')


def default_side() -> int:
  """Large enough for the device's full speed."""
  return CPU_SIDE if jax.default_backend() == 'cpu' else SIDE


def square_products(dtype: jnp.dtype, side: int = 0) -> tuple[Callable[[], jax.Array], float]:
  """A compiled program that multiplies square matrices, and its FLOPs.

  Args:
    side: of the matrices; 0: `default_side`.
  """
  side = side or default_side()

  @jax.jit
  def power(a: jax.Array) -> jax.Array:
    b = a
    for _ in range(PRODUCTS):
      b = jnp.matmul(b, a, preferred_element_type=jnp.float32).astype(dtype)
    return b

  matrix = jnp.full((side, side), 1 / side, dtype)
  compiled = power.lower(matrix).compile()
  return lambda: compiled(matrix), PRODUCTS * 2.0 * side**3


def seconds(run: Callable[[], object]) -> float:
  """By the clock, until the result is there."""
  began = time.perf_counter()
  jax.block_until_ready(run())
  return time.perf_counter() - began
