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
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from codemix.benchmarks.figure import Figure
from codemix.benchmarks.sizes import require_counts
from codemix.benchmarks.timing import one_device_mesh, seconds
from codemix.checkpoints import Checkpoints
from codemix.errors import UserError

BLOCK = 2**23  # bytes that the disk is given at a time
NUMBERS = 2**18  # of float32 in a mebibyte


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

  def __post_init__(self) -> None:
    require_counts(self)
    if self.arrays > self.mebibytes * NUMBERS:
      raise UserError(f'--size=arrays={self.arrays}: that is more than the numbers in {self.mebibytes} MiB.')


def measure(folder: Path, size: Size) -> Iterator[Figure]:
  """Yields the disk's figure, then those of a checkpoint.

  Args:
    folder: an empty one on the disk that is meant; three times the state must fit.
  """
  state = _state(size)
  # Of arrays of their own: one keeps what was fetched of it, and its save would have less to do.
  same = list(jax.device_get(_state(size)).values())
  target = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), state)
  taken: dict[str, list[float]] = {}

  def time_it(name: str, work: Callable[[], object]) -> None:
    taken.setdefault(name, []).append(seconds(work))

  with contextlib.closing(Checkpoints(folder / 'checkpoints', keep=1)) as checkpoints:
    for step in range(1, size.repeats + 2):
      time_it('disk', lambda: _write(folder / 'plain', same))
      (folder / 'plain').unlink()
      time_it('stop', lambda step=step: checkpoints.save(step, state, {'step': step}))
      time_it('rest', checkpoints.wait)
      time_it('verify', lambda: checkpoints.newest('stop', print))
      time_it('restore', lambda step=step: checkpoints.restore_state(step, target))
  mebibytes = sum(array.nbytes for array in jax.tree.leaves(state)) / 2**20
  saves = [a + b for a, b in zip(taken['stop'], taken['rest'], strict=True)]
  middle = lambda times: statistics.median(times[1:])  # the first also warms up
  speed = lambda times: mebibytes / middle(times)
  disk = speed(taken['disk'])
  where = f'{mebibytes:,.0f} MiB in {size.arrays} arrays'
  yield Figure(f'the disk, written in sequence: {where}', disk, 'MiB/s')
  yield Figure('a save, as long as steps stop', 1e3 * middle(taken['stop']), 'ms')
  yield Figure('bytes over that', speed(taken['stop']), 'MiB/s')
  yield Figure('a save until it is sealed', speed(saves), 'MiB/s')
  yield Figure('that to the disk', speed(saves) / disk, 'x')
  yield Figure('verifying', speed(taken['verify']), 'MiB/s')
  yield Figure('restoring onto the device', speed(taken['restore']), 'MiB/s')


def _state(size: Size) -> dict[str, jax.Array]:
  """Random float32 numbers on the first device: as hard to compress as weights."""
  place = NamedSharding(one_device_mesh(), PartitionSpec())
  numbers = size.mebibytes * NUMBERS // size.arrays
  keys = jax.random.split(jax.random.key(0), size.arrays)
  make = jax.jit(lambda key: jax.random.normal(key, (numbers,), jnp.float32), out_shardings=place)
  return jax.block_until_ready({f'{index}': make(key) for index, key in enumerate(keys)})


def _write(path: Path, arrays: Iterable[np.ndarray]) -> None:
  """The bytes of these arrays in one plain file, until they are on the disk."""
  with open(path, 'wb') as file:
    for array in arrays:
      view = memoryview(array).cast('B')
      for begin in range(0, len(view), BLOCK):
        file.write(view[begin : begin + BLOCK])
    file.flush()
    os.fsync(file.fileno())
