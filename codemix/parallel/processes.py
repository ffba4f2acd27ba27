"""Starting a run of several processes, and waiting for each other by name and with a limit.

JAX's own start-up ends the interpreter when a process is missing, and does not say which. So there
is a roll call first: process 0 listens on the coordinator's port, the others report to it, and
only when all are there does it hand the port over to JAX. In the same way process 0 leaves last:
when it goes, JAX ends whoever is still there, with a stack trace and an exit code of its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import sys
from typing import NoReturn

import jax
from jax._src import clusters, distributed  # no public way to a barrier with a name and a limit

from codemix.errors import CodemixError, UserError
from codemix.parallel import roll_call

LAST_S = 10  # that process 0 waits for the others to leave; one that is stuck would wait for it in turn

# Of process 0 to all others, of each of them to process 0; open until the process ends.
_connections: list[socket.socket] = []


def initialize(
  coordinator_address: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
  timeout_s: float = 300,
  heartbeat_timeout_s: float = 30,
) -> None:
  """Joins this process to the others of a run; call it before anything that starts a device.

  What is None is taken from the cluster (SLURM, Cloud TPU, ...), as `jax.distributed` detects it.
  On CPUs the collectives are Gloo's.

  Args:
    coordinator_address: 'host:port' of process 0, with a port that is free there.
    num_processes: processes of the run.
    process_id: this one's number, from 0.
    timeout_s: seconds to wait for all processes.
    heartbeat_timeout_s: seconds without a sign of life after which a process counts as dead, and
      all others end.

  Raises:
    UserError: arguments that are missing or contradict those of another process.
    CodemixError: not all processes came in time; the message names the missing ones.
  """
  host, port, count, index = _resolve(coordinator_address, num_processes, process_id, timeout_s)
  if index == 0:
    _connections.extend(roll_call.call(port, count, timeout_s))
  else:
    _connections.append(roll_call.report(host.strip('[]'), port, count, index, timeout_s))
  jax.config.update('jax_cpu_collectives_implementation', 'gloo')
  jax.distributed.initialize(
    f'{host}:{port}',
    count,
    index,
    initialization_timeout=int(max(timeout_s, 1)),
    heartbeat_timeout_seconds=int(heartbeat_timeout_s),
    # A process that ends with an error must not make the others wait at their exit for long.
    shutdown_timeout_seconds=int(heartbeat_timeout_s),
  )


def started_by_cluster() -> bool:
  """Whether a cluster's launcher (SLURM, GKE with TPUs) started several processes, this among them."""
  return any(
    cluster.is_env_present() and (cluster.get_process_count() or 1) > 1
    for cluster in (clusters.SlurmCluster, clusters.GkeTpuCluster)
  )


def barrier(name: str, timeout_s: float) -> None:
  """Waits until every process of the run is at the barrier `name`; alone, returns at once.

  Raises:
    CodemixError: not all came within `timeout_s` seconds; the message names the missing ones.
  """
  client = distributed.global_state.client
  if client is None:
    return
  try:
    client.wait_at_barrier(name, int(timeout_s * 1000))
  except jax.errors.JaxRuntimeError as error:
    raise CodemixError(_barrier_message(name, timeout_s, str(error))) from error


def leave(exit_code: int) -> NoReturn:
  """Ends this process with its own exit code: process 0 when the others have gone, or `LAST_S` have.

  Where there are others, an ordinary exit would first wait for them, and after an error JAX would
  then abort the process, which loses the exit code.
  """
  if distributed.global_state.client is None:
    sys.exit(exit_code)
  logging.shutdown()
  sys.stdout.flush()
  sys.stderr.flush()
  if distributed.global_state.process_id == 0:
    with contextlib.suppress(KeyboardInterrupt):  # a second one; the exit code is that of the first
      roll_call.wait_for_ends(_connections, LAST_S)
  os._exit(exit_code)


def _barrier_message(name: str, timeout_s: float, error: str) -> str:
  reached = re.search(r'reached the barrier: (\d+)/(\d+)', error)
  missing = re.search(r'timed out task names:\s*((?:\S*\d+\s+)+)', error)
  if not reached:
    return f"barrier '{name}': {error.splitlines()[0]}"
  message = f"barrier '{name}': {reached[1]} of {reached[2]} processes came in {timeout_s:g} s"
  return message + (f'; missing: {", ".join(missing[1].split())}' if missing else '')


def _resolve(
  address: str | None, count: int | None, index: int | None, timeout_s: float
) -> tuple[str, int, int, int]:
  """Host, port, number of processes, number of this process."""
  if None in (address, count, index):
    address, count, index, _ = clusters.ClusterEnv.auto_detect_unset_distributed_params(
      address, count, index, None, None, int(timeout_s)
    )
  for name, value in (
    ('coordinator_address', address),
    ('num_processes', count),
    ('process_id', index),
  ):
    if value is None:
      raise UserError(f'initialize: {name} is not given, and no cluster that would tell was found.')
  host, _, port = address.rpartition(':')
  if not host or not port.isdigit():
    raise UserError(f"initialize: coordinator_address is '{address}': write it as host:port.")
  if not 0 <= index < count:
    raise UserError(
      f'initialize: process_id is {index}: with {count} processes it is 0 to {count - 1}.'
    )
  return host, int(port), count, index
