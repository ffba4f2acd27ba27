"""How fast a state is saved, verified and restored, beside the speed of the disk.

A save is asynchronous: training stops only while arrays are copied from the devices. The figures are of
that part and of the whole save, until the checkpoint is sealed. Bytes are those of the arrays.
TensorFlow is not imported.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import statistics
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from codemix.benchmarks.figure import Figure, Sizes
from codemix.benchmarks.measuring import one_device_mesh, seconds
from codemix.checkpoints import Checkpoints
from codemix.checkpoints.array_digests import array_digests
from codemix.errors import UserError

BLOCK = 2**23  # bytes of a write
NUMBERS = 2**18  # float32 numbers in a mebibyte


@dataclasses.dataclass(frozen=True)
class Size(Sizes):
  """How much is measured.

  Attributes:
    mebibytes: of the state.
    arrays: of float32, into which the state is divided.
    repeats: of each measurement; the median counts.
  """

  mebibytes: int = 512
  arrays: int = 32
  repeats: int = 5

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.arrays > self.mebibytes * NUMBERS:
      raise UserError(f'--size=arrays={self.arrays}: that is more than the numbers in {self.mebibytes} MiB.')


def measure(folder: Path, size: Size) -> Iterator[Figure]:
  """Yields the disk's figure, then those of a checkpoint.

  Args:
    folder: an empty one on the disk to measure, with room for three times the state.
  """
  state = _state(size)
  # Other arrays than the saved ones: an array caches its copy on the host, which a save would then skip.
  same = list(jax.device_get(_state(size)).values())
  target = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), state)
  taken: dict[str, list[float]] = {}

  def time_it(name: str, work: Callable[[], object]) -> None:
    taken.setdefault(name, []).append(seconds(work))

  with contextlib.closing(Checkpoints(folder / 'checkpoints', keep=1)) as checkpoints:
    for step in range(1, size.repeats + 2):
      time_it('disk', lambda: write_plain(folder / 'plain', same))
      (folder / 'plain').unlink()
      time_it('digests', lambda: array_digests(state))
      time_it('stop', lambda step=step: checkpoints.save(step, state, {'step': step}))
      time_it('rest', checkpoints.wait)
      time_it('verify', lambda: checkpoints.newest('stop', print))
      time_it('restore', lambda step=step: checkpoints.restore_state(step, target))
  mebibytes = sum(array.nbytes for array in jax.tree.leaves(state)) / 2**20
  saves = [a + b for a, b in zip(taken['stop'], taken['rest'], strict=True)]
  middle = lambda times: statistics.median(times[1:])  # the first warms up
  speed = lambda times: mebibytes / middle(times)
  disk = speed(taken['disk'])
  where = f'{mebibytes:,.0f} MiB in {size.arrays} arrays'
  yield Figure(f'the disk, written in sequence: {where}', disk, 'MiB/s')
  yield Figure('a save, as long as steps stop', 1e3 * middle(taken['stop']), 'ms')
  yield Figure('bytes over that', speed(taken['stop']), 'MiB/s')
  yield Figure('of it, the digests of the arrays', 1e3 * middle(taken['digests']), 'ms')
  yield Figure('a save until it is sealed', speed(saves), 'MiB/s')
  yield Figure('that to the disk', speed(saves) / disk, 'x')
  yield Figure('verifying', speed(taken['verify']), 'MiB/s')
  yield Figure('restoring onto the device', speed(taken['restore']), 'MiB/s')


def _state(size: Size) -> dict[str, jax.Array]:
  """Random float32 numbers on the first device, which compress as little as weights."""
  place = NamedSharding(one_device_mesh(), PartitionSpec())
  numbers = size.mebibytes * NUMBERS // size.arrays
  keys = jax.random.split(jax.random.key(0), size.arrays)
  make = jax.jit(lambda key: jax.random.normal(key, (numbers,), jnp.float32), out_shardings=place)
  return jax.block_until_ready({f'{index}': make(key) for index, key in enumerate(keys)})


def write_plain(path: Path, arrays: Iterable[np.ndarray]) -> None:
  """Writes the bytes of the arrays to one file, and waits until they are on the disk."""
  with open(path, 'wb') as file:
    for array in arrays:
      view = memoryview(array).cast('B')
      for begin in range(0, len(view), BLOCK):
        file.write(view[begin : begin + BLOCK])
    file.flush()
    os.fsync(file.fileno())
