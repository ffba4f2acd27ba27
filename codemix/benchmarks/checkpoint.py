"""How fast a state is saved, verified and restored, beside the disk that it is saved on.

A save is asynchronous: the steps stop only while the devices' arrays are copied. Both are said, that
part and the whole, until the checkpoint is sealed. Bytes are those of the arrays. TensorFlow is not
imported.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from codemix.benchmarks.figure import Figure
from codemix.checkpoints import Checkpoints
from codemix.parallel.mesh import MeshConfig, make_mesh

BLOCK = 2**23  # bytes that the disk is given at a time


@dataclasses.dataclass(frozen=True)
class Size:
  """How much is measured.

  Attributes:
    mebibytes: of the state.
    arrays: into which it is divided, of float32.
    repeats: of each measurement, of which the median is said.
  """

  mebibytes: int = 512
  arrays: int = 32
  repeats: int = 5


def measure(folder: Path, size: Size) -> Iterator[Figure]:
  """Yields the disk's figure, then those of a checkpoint.

  Args:
    folder: an empty one on the disk that is meant; three times the state must fit.
  """
  state = _state(size)
  target = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), state)
  seconds: dict[str, list[float]] = {}

  def time_it(name: str, work: Callable[[], object]) -> None:
    began = time.perf_counter()
    jax.block_until_ready(work())
    seconds.setdefault(name, []).append(time.perf_counter() - began)

  with contextlib.closing(Checkpoints(folder / 'checkpoints', keep=1)) as checkpoints:
    for step in range(1, size.repeats + 2):
      time_it('disk', lambda: _write(folder / 'plain', state))
      time_it('stop', lambda step=step: checkpoints.save(step, state, {'step': step}))
      time_it('rest', checkpoints.wait)
      time_it('verify', lambda: checkpoints.newest('stop', print))
      time_it('restore', lambda step=step: checkpoints.restore_state(step, target))
  mebibytes = sum(array.nbytes for array in jax.tree.leaves(state)) / 2**20
  saves = [a + b for a, b in zip(seconds['stop'], seconds['rest'], strict=True)]
  speed = lambda taken: mebibytes / statistics.median(taken[1:])  # the first also warms up
  disk = speed(seconds['disk'])
  where = f'{mebibytes:,.0f} MiB in {size.arrays} arrays'
  yield Figure(f'the disk, written in sequence: {where}', disk, 'MiB/s')
  yield Figure('a save, as long as steps stop', 1e3 * statistics.median(seconds['stop'][1:]), 'ms')
  yield Figure('bytes over that', speed(seconds['stop']), 'MiB/s')
  yield Figure('a save until it is sealed', speed(saves), 'MiB/s')
  yield Figure('that to the disk', speed(saves) / disk, 'x')
  yield Figure('verifying', speed(seconds['verify']), 'MiB/s')
  yield Figure('restoring onto the device', speed(seconds['restore']), 'MiB/s')


def _state(size: Size) -> dict[str, jax.Array]:
  """Random float32 numbers on the first device: as hard to compress as weights."""
  mesh = make_mesh(MeshConfig(data=1), jax.devices()[:1])
  place = NamedSharding(mesh, PartitionSpec())
  numbers = size.mebibytes * 2**18 // size.arrays
  keys = jax.random.split(jax.random.key(0), size.arrays)
  make = jax.jit(lambda key: jax.random.normal(key, (numbers,), jnp.float32), out_shardings=place)
  return jax.block_until_ready({f'{index}': make(key) for index, key in enumerate(keys)})


def _write(path: Path, state: dict[str, jax.Array]) -> None:
  """The same bytes as one plain file, until they are on the disk."""
  block = bytes(memoryview(jax.device_get(state['0'])).cast('B')[:BLOCK])
  left = sum(array.nbytes for array in state.values())
  with open(path, 'wb') as file:
    while left > 0:
      left -= file.write(block[: min(left, len(block))])
    file.flush()
    os.fsync(file.fileno())
  path.unlink()
