"""Time and memory of each implementation of attention on this machine.

Packed rows of random numbers, the implementations in turn. Float32 on CPUs, bfloat16 elsewhere.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from codemix.benchmarks.figure import Figure, Sizes
from codemix.benchmarks.measuring import medians, usual_dtype
from codemix.errors import UserError
from codemix.models.attention import IMPLEMENTATIONS, attend

SCORES_MIB = 2048  # 'xla' is left out where the scores of all pairs of tokens take more


@dataclasses.dataclass(frozen=True)
class Size(Sizes):
  """How much is measured.

  Attributes:
    length: tokens of a row.
    rows: of the batch.
    heads, kv_heads, head_dim: as in `ModelConfig`.
    documents: of a row, of equal length.
    repeats: of each measurement; the median counts.
  """

  length: int = 512
  rows: int = 8
  heads: int = 4
  kv_heads: int = 4
  head_dim: int = 64
  documents: int = 1
  repeats: int = 9

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.heads % self.kv_heads:
      raise UserError(f'--size=kv_heads={self.kv_heads}: it must divide heads = {self.heads}.')


def measure(folder: Path, size: Size) -> Iterator[Figure]:
  """Yields the figures of each implementation; `folder` is not used."""
  del folder
  inputs = _inputs(size)
  compiled = {name: _compile(name, inputs) for name in available(size)}
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
  """q, k, v, the gradient by the output, and segment ids."""
  rng = np.random.default_rng(0)
  heads = size.heads, size.kv_heads, size.kv_heads, size.heads
  arrays = (rng.normal(size=(size.rows, size.length, n, size.head_dim)) for n in heads)
  documents = np.arange(size.length) * size.documents // size.length + 1
  segments = jnp.asarray(np.tile(documents, (size.rows, 1)), jnp.int32)
  return *(jnp.asarray(array, usual_dtype()) for array in arrays), segments


def available(size: Size) -> Iterator[str]:
  """Names of the implementations that this platform has, that are verified, and that fit."""
  scores_mib = 4 * size.rows * size.heads * size.length**2 / 2**20
  for name, implementation in IMPLEMENTATIONS.items():
    here = implementation.platform in (None, jax.default_backend())
    fits = name != 'xla' or scores_mib <= SCORES_MIB
    if here and fits and 'documents' in implementation.verified:
      yield name


def _compile(name: str, inputs: tuple[jax.Array, ...]) -> tuple[jax.stages.Compiled, ...]:
  """The forward pass alone, and with the backward pass."""
  run = functools.partial(attend, implementation=name)

  def both(q, k, v, dout, segments):
    out, pull = jax.vjp(lambda q, k, v: run(q, k, v, segments), q, k, v)
    return out, pull(dout)

  def forward(q, k, v, dout, segments):
    return run(q, k, v, segments)

  return tuple(jax.jit(f).lower(*inputs).compile() for f in (forward, both))


def _temporary_mib(program: jax.stages.Compiled) -> float:
  """Memory of the program beside its inputs and outputs."""
  return program.memory_analysis().temp_size_in_bytes / 2**20
