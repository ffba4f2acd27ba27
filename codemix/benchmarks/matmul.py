"""What matrix products reach on this device: the ceiling that a step is held against.

Square products, in float32 and bfloat16 (each with sums in float32). A matmul of sides M, K and N is
counted as 2 M K N operations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp

from codemix.benchmarks.figure import Figure
from codemix.benchmarks.sizes import require_counts
from codemix.benchmarks.timing import default_side, matmul_speed


@dataclasses.dataclass(frozen=True)
class Size:
  """How much is measured.

  Attributes:
    side: of the square matrices; 0: 2048 on CPUs, 8192 elsewhere.
    repeats: of each measurement, of which the median is said.
  """

  side: int = 0
  repeats: int = 9

  def __post_init__(self) -> None:
    require_counts(self, may_be_zero=('side',))


def measure(folder: Path, size: Size) -> Iterator[Figure]:
  """Yields the figure of each type; `folder` is not used."""
  del folder
  side = size.side or default_side()
  for dtype in (jnp.dtype(jnp.float32), jnp.dtype(jnp.bfloat16)):
    speed = matmul_speed(dtype, side, size.repeats)
    yield Figure(f'{dtype.name} matmuls of {side} x {side}', speed / 1e12, 'TFLOP/s')
