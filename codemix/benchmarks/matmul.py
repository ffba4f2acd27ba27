"""The FLOP/s of square matmuls on this device: the peak that a step or a loss is compared with.

In float32 and bfloat16, each with sums in float32. A matmul of sides M, K and N counts as 2 M K N FLOPs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp

from codemix.benchmarks.figure import Figure, Sizes
from codemix.benchmarks.measuring import Key, medians

CPU_SIDE, SIDE = 2048, 8192
PRODUCTS = 4  # matmuls in one program, so that its start does not count


@dataclasses.dataclass(frozen=True)
class Size(Sizes):
  """How much is measured.

  Attributes:
    side: of the square matrices; 0: 2048 on CPUs, 8192 elsewhere.
    repeats: of each measurement; the median counts.
  """

  side: int = 0
  repeats: int = 9

  may_be_zero = ('side',)


def measure(folder: Path, size: Size) -> Iterator[Figure]:
  """Yields the figure of each dtype; `folder` is not used."""
  del folder
  side = size.side or default_side()
  for dtype in (jnp.dtype(jnp.float32), jnp.dtype(jnp.bfloat16)):
    speed = matmul_speed(dtype, side, size.repeats)
    yield Figure(f'{dtype.name} matmuls of {side} x {side}', speed / 1e12, 'TFLOP/s')


def matmul_speed(dtype: jnp.dtype, side: int = 0, repeats: int = 9) -> float:
  """FLOP/s of square matmuls (side 0: `default_side`) one after the other, with nothing in between.

  In turn with other programs they are slower, on some CPUs by a third, and an MFU against them would be
  too high.
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
  taken = medians({'matmul': lambda: compiled(matrix)}, repeats, warm_up=2)['matmul']
  return PRODUCTS * 2.0 * side**3 / taken


def medians_and_peak(
  runs: Mapping[Key, Callable[[], object]], repeats: int, dtype: jnp.dtype, warm_up: int = 1
) -> tuple[dict[Key, float], float]:
  """`medians`, and the `matmul_speed` before or after them, whichever is faster."""
  before = matmul_speed(dtype)
  taken = medians(runs, repeats, warm_up)
  return taken, max(before, matmul_speed(dtype))


def default_side() -> int:
  """A side at which matmuls reach the device's full speed."""
  return CPU_SIDE if jax.default_backend() == 'cpu' else SIDE
