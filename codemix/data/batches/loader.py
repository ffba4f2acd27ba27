"""The loader: global batches of a stage, each process reading only its own rows.

A batch is a function of its step alone. Grain reads ahead in threads; nothing
of its state is kept, since starting at any step is the same as having come to it.
"""

from __future__ import annotations

from collections.abc import Iterator

import grain
import jax
import numpy as np
from jax.sharding import NamedSharding

from codemix.data.batches.ledger import StageRows
from codemix.data.batches.rows import Batch, stack_rows
from codemix.data.batches.stream import StreamedRows

# Of batches of a few rows several are read at a time: finding rows costs more by the call than by the row.
ROWS_TOGETHER = 64


def read_rows(rows: StageRows, positions: np.ndarray) -> Batch:
  """Rows of a stage by position.

  Args:
    rows: the stage's rows.
    positions: int64 [B], ascending.

  Returns:
    arrays [B, L] as `rows.pack_row` says, and `source`: int32 [B], the index
    of each row's source in `rows.names`.
  """
  first = int(positions[0])
  which, _, row = (located[positions - first] for located in rows.locate(first, int(positions[-1]) + 1))
  read = [rows.sources[s].row(r) for s, r in zip(which.tolist(), row.tolist(), strict=True)]
  return {**stack_rows(read), 'source': which.astype(np.int32)}


def local_positions(sharding: NamedSharding, batch: int) -> np.ndarray:
  """int64, ascending: the rows of a global batch that this process's devices hold."""
  held = sharding.addressable_devices_indices_map((batch,))
  return np.unique(np.concatenate([np.arange(batch)[index] for index in held.values()]))


def batches(
  rows: StageRows | StreamedRows, batch: int, steps: range, sharding: NamedSharding, prefetch: int
) -> Iterator[dict[str, jax.Array]]:
  """Global batches on the devices, in order.

  Args:
    rows: the stage's rows.
    batch: rows of a global batch.
    steps: the steps of the stage to give, such as range(17, 100) on resume.
    sharding: how the first axis lies over the devices.
    prefetch: batches read ahead; of batches of a few rows up to twice as many, since these are read
      several at a time.
  """
  mine = local_positions(sharding, batch)
  if isinstance(rows, StreamedRows):
    read = rows.batches(batch, steps, mine)
  else:
    read = _read_ahead(rows, batch, steps, mine, prefetch)
  # Where in `mine` each device's rows begin, which lie together: looked up once, not for every array.
  places = {begin: place for place, begin in enumerate(mine.tolist())}
  for local in read:
    yield {key: _global(value, places, batch, sharding) for key, value in local.items()}


def _read_ahead(rows: StageRows, batch: int, steps: range, mine: np.ndarray, prefetch: int) -> Iterator[Batch]:
  # The rows of all processes are found, and this one's read; so it is the whole batch that has few.
  together = max(min(ROWS_TOGETHER // batch, prefetch), 1)  # steps
  buffered = max(-(-prefetch // together), 1)

  def read(first: int) -> list[Batch]:
    some = range(first, min(first + together, steps.stop))
    positions = (np.asarray(some)[:, None] * batch + mine).reshape(-1)
    found = read_rows(rows, positions)
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
