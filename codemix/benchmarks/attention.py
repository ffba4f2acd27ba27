"""What each implementation of attention takes on this machine: time, and memory beside its inputs.

Packed rows of random numbers, all implementations in turn, so that what else the machine does meets
all of them. Float32 on CPUs, bfloat16 elsewhere, as models are trained there.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from codemix.benchmarks.figure import Figure
from codemix.benchmarks.sizes import require_counts
from codemix.benchmarks.timing import medians, usual_dtype
from codemix.errors import UserError
from codemix.models.attention import IMPLEMENTATIONS, VERIFIED, attend

SCORES_MIB = 2048  # where the scores of all pairs of tokens are more than that, 'xla' is left out


@dataclasses.dataclass(frozen=True)
class Size:
  """How much is measured.

  Attributes:
    length: tokens of a row.
    rows: of the batch.
    heads, kv_heads, head_dim: as of a `ModelConfig`.
    documents: of a row, of equal length.
    repeats: of each measurement, of which the median is said.
  """

  length: int = 512
  rows: int = 8
  heads: int = 4
  kv_heads: int = 4
  head_dim: int = 64
  documents: int = 1
  repeats: int = 9

  def __post_init__(self) -> None:
    require_counts(self)
    if self.heads % self.kv_heads:
      raise UserError(f'--size=kv_heads={self.kv_heads}: it must divide heads = {self.heads}.')


def measure(folder: Path, size: Size) -> Iterator[Figure]:
  """Yields the figures of one implementation after the other; `folder` is not used."""
  del folder
  inputs = _inputs(size)
  compiled = {name: _compile(name, inputs) for name in _available(size)}
  runs = {
    (name, part): functools.partial(program, *inputs)
    for name, programs in compiled.items()
    for part, program in zip(('forward', 'both'), programs, strict=True)
  }
  seconds = medians(runs, size.repeats)
  for name, (forward, both) in compiled.items():
    shape = f'{name}, {inputs[0].dtype.name} {"x".join(map(str, inputs[0].shape))}'
    yield Figure(f'{shape}: forward', 1e3 * seconds[name, 'forward'], 'ms')
    yield Figure(f'{shape}: forward and backward', 1e3 * seconds[name, 'both'], 'ms')
    yield Figure(f'{shape}: memory, forward', _temporary_mib(forward), 'MiB')
    yield Figure(f'{shape}: memory, forward and backward', _temporary_mib(both), 'MiB')
    if name != 'xla' and 'xla' in compiled:
      yield Figure(
        f'{shape}: times as fast as xla', seconds['xla', 'both'] / seconds[name, 'both'], 'x'
      )


def _inputs(size: Size) -> tuple[jax.Array, ...]:
  """q, k, v, the gradient by the result, and segment ids."""
  rng = np.random.default_rng(0)
  heads = size.heads, size.kv_heads, size.kv_heads, size.heads
  arrays = (rng.normal(size=(size.rows, size.length, n, size.head_dim)) for n in heads)
  documents = np.arange(size.length) * size.documents // size.length + 1
  segments = jnp.asarray(np.tile(documents, (size.rows, 1)), jnp.int32)
  return *(jnp.asarray(array, usual_dtype()) for array in arrays), segments


def _available(size: Size) -> Iterator[str]:
  """Names of what this platform has, as far as it is verified and fits."""
  scores_mib = 4 * size.rows * size.heads * size.length**2 / 2**20
  for name, implementation in IMPLEMENTATIONS.items():
    here = implementation.platform in (None, jax.default_backend())
    fits = name != 'xla' or scores_mib <= SCORES_MIB
    if here and fits and 'documents' in VERIFIED.get(name, ()):
      yield name


def _compile(name: str, inputs: tuple[jax.Array, ...]) -> tuple[jax.stages.Compiled, ...]:
  """The forward pass, and forward and backward pass."""
  run = functools.partial(attend, implementation=name)

  def both(q, k, v, dout, segments):
    out, pull = jax.vjp(lambda q, k, v: run(q, k, v, segments), q, k, v)
    return out, pull(dout)

  def forward(q, k, v, dout, segments):
    return run(q, k, v, segments)

  return tuple(jax.jit(f).lower(*inputs).compile() for f in (forward, both))


def _temporary_mib(program: jax.stages.Compiled) -> float:
  """What the program needs beside its inputs and outputs."""
  return program.memory_analysis().temp_size_in_bytes / 2**20
