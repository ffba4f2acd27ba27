"""How the processes of a run start together and end.

JAX's own start-up ends the interpreter when a process is missing, without saying which. So a rendezvous
comes first: process 0 listens on the coordinator's port, the others join it, and when all have joined
the port goes to JAX. During the run, `Peers` learns of the end of each process, and `open_relay`
keeps JAX from aborting the others before that.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from typing import NoReturn

import jax
from jax._src import clusters, distributed  # no public way to a cluster's settings

from codemix.errors import CodemixError, UserError, of_collective
from codemix.parallel import rendezvous
from codemix.parallel.peers import Peers
from codemix.parallel.relay import LOCALHOST, open_relay

LAST_S = 10  # that process 0 waits for the others to exit
AFTER_AN_ERROR_S = 3  # that this process waits for the report of an end that caused its error
HEARTBEAT_S = 30
JAX_IS_SLOWER = 10  # JAX's heartbeat time-out, in ours: ours comes first, with names and exit codes

_WITHOUT_PROXY = 'no_grpc_proxy'  # gRPC reads it in lower case, before no_proxy

_peers: Peers | None = None
_joined: tuple[int, float] | None = None


def initialize(
  coordinator_address: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
  timeout_s: float = 300,
  heartbeat_timeout_s: float = HEARTBEAT_S,
) -> None:
  """Joins this process to the others of a run; call it before anything that starts a device.

  Arguments that are None are those of the cluster (SLURM, Cloud TPU, ...), as `jax.distributed` detects
  them. Collectives on CPUs are Gloo's. From then on this process exits, with a line that says why,
  when another one is killed (exit code 76), does not answer (76), or ends with an error (its code).

  Args:
    coordinator_address: 'host:port' of process 0, with a port that is free there.
    num_processes: processes of the run.
    process_id: this one's number, from 0.
    timeout_s: seconds to wait for all processes.
    heartbeat_timeout_s: seconds without a sign of life after which a process counts as lost.

  Raises:
    UserError: arguments that are missing or contradict those of another process.
    PeerEnded: not all processes joined in time; the message names the missing ones.
  """
  global _peers, _joined
  if _peers:
    raise UserError('initialize: this process has joined the others already; call it once.')
  host, port, count, index = _resolve(coordinator_address, num_processes, process_id, timeout_s)
  began = time.monotonic()
  if index == 0:
    connections, names = rendezvous.lead(port, count, timeout_s)
  else:
    connections, names = rendezvous.join(host.strip('[]'), port, count, index, timeout_s)
  _peers = Peers(index, connections, names, heartbeat_timeout_s)
  atexit.register(_report_end_at_exit)
  relay = open_relay('localhost' if index == 0 else host.strip('[]'), port, timeout_s)
  # gRPC would use a proxy to reach this machine.
  exempt = os.environ.get(_WITHOUT_PROXY) or os.environ.get('no_proxy')
  os.environ[_WITHOUT_PROXY] = ','.join(filter(None, [exempt, LOCALHOST]))
  jax.config.update('jax_check_proxy_envs', False)
  jax.config.update('jax_cpu_collectives_implementation', 'gloo')
  jax.distributed.initialize(
    f'{LOCALHOST}:{relay}',
    count,
    index,
    local_device_ids=_local_device_ids(),
    cluster_detection_method='deactivate',
    initialization_timeout=int(max(timeout_s, 1)),
    heartbeat_timeout_seconds=int(heartbeat_timeout_s * JAX_IS_SLOWER),
    # A process that ended with an error must not delay the exit of the others.
    shutdown_timeout_seconds=int(max(heartbeat_timeout_s, 1)),
    coordinator_bind_address=os.environ.get('JAX_COORDINATOR_BIND_ADDRESS', f'[::]:{port}'),
  )
  distributed.global_state.coordinator_address = f'{host}:{port}'  # not the relay's
  _joined = count, time.monotonic() - began


def started_by_cluster() -> bool:
  """Whether a cluster's launcher (SLURM, Cloud TPU, GKE with TPUs) started several processes, this among them.

  Raises CodemixError if this machine is of a cluster that does not say which of them it is.
  """
  with _named_failure():
    return any(
      cluster.is_env_present() and (cluster.get_process_count() or 1) > 1
      # The last one asks a metadata server, but only where JAX finds TPU chips.
      for cluster in (clusters.SlurmCluster, clusters.GkeTpuCluster, clusters.GceTpuCluster)
    )


@contextlib.contextmanager
def _named_failure() -> Iterator[None]:
  """An answer that a cluster owes becomes a CodemixError: a process that does not know of the others would train alone."""
  try:
    yield
  except Exception as error:  # of the HTTP library that JAX uses, or of an answer that it does not expect
    reason = (str(error) or type(error).__name__).splitlines()[0]
    raise CodemixError(f'the cluster does not say which processes there are: {reason}. Give --coordinator_address, --num_processes and --process_id.') from error


def peers() -> Peers | None:
  """The other processes of the run; None for a single process."""
  return _peers


def joined() -> tuple[int, float] | None:
  """The number of processes that have joined, and the seconds that this took; None for a single process."""
  return _joined


def report_end(exit_code: int, reason: str) -> None:
  """Reports to the other processes, if there are any, that this one is about to exit, and why.

  After an error they exit with the same code. An error that all of them meet, each reports itself.
  """
  if _peers:
    _peers.report_end(exit_code, reason)


def wait_for_cause(error: BaseException) -> None:
  """After an error that another process's end may have caused: waits for the report of that, which ends this one.

  A collective with a lost process may fail before the process counts as lost.
  """
  if not _peers:
    return
  causes: BaseException | None = error
  while causes and not isinstance(causes, jax.errors.JaxRuntimeError) and not of_collective(causes):
    causes = causes.__cause__ or causes.__context__
  time.sleep(_peers.silence_s + AFTER_AN_ERROR_S if causes else AFTER_AN_ERROR_S)


def leave(exit_code: int) -> NoReturn:
  """Ends this process with its own exit code; process 0 first waits up to `LAST_S` for the others to exit.

  With several processes an ordinary exit waits for the others, and after an error JAX then aborts the
  process, which loses the exit code.
  """
  if distributed.global_state.client is None:
    sys.exit(exit_code)
  report_end(exit_code, 'its log says why')
  logging.shutdown()
  with contextlib.suppress(OSError, ValueError):
    sys.stdout.flush()
  sys.stderr.flush()
  if _peers and distributed.global_state.process_id == 0:
    with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C; the exit code is that of the first
      _peers.wait_for_ends(LAST_S)
  os._exit(exit_code)


def _report_end_at_exit() -> None:
  """At the exit of Python: after an unhandled error, or at the end of the program."""
  error = getattr(sys, 'last_value', None)
  code = 0 if error is None else getattr(error, 'exit_code', 1)
  report_end(code, 'its log says why' if error is None else str(error) or type(error).__name__)


def _local_device_ids() -> list[int] | None:
  """One device under SLURM with several processes a node, as in JAX; else None: all of the machine."""
  if ids := os.environ.get('JAX_LOCAL_DEVICE_IDS'):
    return [int(number) for number in ids.split(',')]
  if not clusters.SlurmCluster.is_env_present():
    return None
  # The processes of each node in order, such as '4(x2),3'.
  tasks = os.environ.get('SLURM_STEP_TASKS_PER_NODE', '1')
  return None if tasks.split('(')[0] == '1' else [clusters.SlurmCluster.get_local_process_id()]


def _resolve(
  address: str | None, count: int | None, index: int | None, timeout_s: float
) -> tuple[str, int, int, int]:
  """Host, port, number of processes, number of this process."""
  if None in (address, count, index):
    with _named_failure():
      address, count, index, _ = clusters.ClusterEnv.auto_detect_unset_distributed_params(
        address, count, index, None, None, int(timeout_s)
      )
  given = {'coordinator_address': address, 'num_processes': count, 'process_id': index}
  for name, value in given.items():
    if value is None:
      raise UserError(f'initialize: {name} is not given, and no cluster was found that sets it.')
  host, _, port = address.rpartition(':')
  if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
    raise UserError(
      f"initialize: coordinator_address is '{address}': write it as host:port, with a port from 1 to {2**16 - 1}."
    )
  if count < 1:
    raise UserError(f'initialize: num_processes is {count}: it is at least 1.')
  if not 0 <= index < count:
    raise UserError(f'initialize: process_id is {index}: with {count} processes it is 0 to {count - 1}.')
  return host, int(port), count, index
