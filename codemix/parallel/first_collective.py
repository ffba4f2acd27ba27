"""The first collective of a run over all devices, by itself: what hangs here is the network, not the model."""

from __future__ import annotations

import time

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codemix.errors import CodemixError
from codemix.parallel import processes, watchdog

LIMIT_S = 120.0  # making the connections of a pod takes seconds

HINT = (
  'The processes have found each other, but their devices do not reach each other: look for a firewall between the hosts, '
  'and for the network interface that the collectives use (NCCL_SOCKET_IFNAME for GPUs).'
)


def first_collective(mesh: Mesh, limit_s: float = LIMIT_S) -> float:
  """Sums one number of each device over all of them; with `watchdog.watched` for `limit_s` seconds at most.

  Returns:
    The seconds that it took, compiling included.

  Raises CodemixError: the sum is wrong.
  """
  watchdog.at('the first collective over all devices', limit_s, HINT)
  began = time.monotonic()
  each = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
  numbers = jax.make_array_from_callback((mesh.size,), each, lambda index: np.arange(mesh.size, dtype=np.int32)[index])
  total = int(jax.jit(lambda numbers: numbers.sum(), out_shardings=NamedSharding(mesh, PartitionSpec()))(numbers))
  if total != (expected := mesh.size * (mesh.size - 1) // 2):
    raise CodemixError(f'the first collective added {total} over {mesh.size} devices, not {expected}: a device or the network is faulty.')
  return time.monotonic() - began


def start_line(collective_s: float) -> str | None:
  """'2 of 2 processes joined in 1.2 s; the first collective took 0.4 s'; None for a single process."""
  if not (joined := processes.joined()):
    return None
  count, seconds = joined
  return f'{count} of {count} processes joined in {seconds:.1f} s; the first collective took {collective_s:.1f} s'
