"""The loader: global batches of a stage, each process reading only its own rows.

A batch is a function of its step alone. Grain reads ahead in threads; none of
its state is saved, since starting at a step gives the same batches as reaching it.
"""

from __future__ import annotations

from collections.abc import Iterator

import grain
import jax
import numpy as np
from jax.sharding import NamedSharding

from codemix.data.batches.rows import Batch
from codemix.data.batches.stage_rows import StageRows

# Small batches are read several at a time: locating rows costs more by the call than by the row.
ROWS_TOGETHER = 64


def batches(
  rows: StageRows, batch: int, steps: range, sharding: NamedSharding, prefetch: int
) -> Iterator[dict[str, jax.Array]]:
  """Global batches on the devices, in order.

  Args:
    batch: rows of a global batch.
    steps: the steps of the stage to read, such as range(17, 100) on resume.
    sharding: how the first axis lies over the devices.
    prefetch: batches read ahead; of small batches up to twice as many, since these are read
      several at a time.
  """
  mine = local_positions(sharding, batch)
  read = rows.in_order(batch, steps, mine) if rows.streamed else read_ahead(rows, batch, steps, mine, prefetch)
  # Each device's rows are contiguous in `mine`: their begins are looked up once, not for every array.
  places = {begin: place for place, begin in enumerate(mine.tolist())}
  for local in read:
    yield {key: _global(value, places, batch, sharding) for key, value in local.items()}


def local_positions(sharding: NamedSharding, batch: int) -> np.ndarray:
  """int64, ascending: the rows of a global batch that this process's devices hold."""
  held = sharding.addressable_devices_indices_map((batch,))
  return np.unique(np.concatenate([np.arange(batch)[index] for index in held.values()]))


def read_ahead(rows: StageRows, batch: int, steps: range, mine: np.ndarray, prefetch: int) -> Iterator[Batch]:
  """Rows `mine` (ascending, int64) of each step's batch, read in threads; arguments as of `batches`."""
  # The rows of all processes are located, and this one's read: the size of the global batch counts.
  together = max(min(ROWS_TOGETHER // batch, prefetch), 1)  # steps
  buffered = max(-(-prefetch // together), 1)

  def read(first: int) -> list[Batch]:
    some = range(first, min(first + together, steps.stop))
    found = rows.read((np.asarray(some)[:, None] * batch + mine).reshape(-1))
    parts = {key: value.reshape(len(some), len(mine), *value.shape[1:]) for key, value in found.items()}
    return [dict(zip(parts, values, strict=True)) for values in zip(*parts.values(), strict=True)]

  dataset = grain.MapDataset.range(steps.start, steps.stop, together).map(read)
  options = grain.ReadOptions(num_threads=min(2, buffered), prefetch_buffer_size=buffered)
  for some in dataset.to_iter_dataset(options):
    yield from some


def _global(local: np.ndarray, places: dict[int, int], batch: int, sharding: NamedSharding) -> jax.Array:
  def shard(index: tuple[slice, ...]) -> np.ndarray:
    begin, end, _ = index[0].indices(batch)
    return local[places[begin] : places[begin] + end - begin]

  return jax.make_array_from_callback((batch, *local.shape[1:]), sharding, shard)
