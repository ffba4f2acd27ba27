"""A real SLURM of two nodes on this machine: munged, slurmctld, and two slurmd."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

NODES = ('codemix-n0', 'codemix-n1')
HOSTS = Path('/etc/hosts')  # processes find each other by the names of their nodes
DAEMONS = ('munged', 'slurmctld', 'slurmd', 'sbatch', 'srun')


def is_possible() -> bool:
  """Whether SLURM is installed and this process may start its daemons."""
  return os.geteuid() == 0 and os.access(HOSTS, os.W_OK) and all(shutil.which(name) for name in DAEMONS)


def _ports(count: int) -> list[int]:
  with contextlib.ExitStack() as held:
    return [held.enter_context(socket.create_server(('', 0))).getsockname()[1] for _ in range(count)]


def _configuration(root: Path) -> str:
  control, *nodes = _ports(3)
  host, (first, second) = socket.gethostname(), NODES
  return f"""
ClusterName=codemix
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
KillWait=5
InactiveLimit=0
MinJobAge=7200
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=2,sched_interval=2
SelectType=select/linear
NodeName={first} NodeHostname={host} NodeAddr=127.0.0.1 Port={nodes[0]} CPUs=1
NodeName={second} NodeHostname={host} NodeAddr=127.0.0.1 Port={nodes[1]} CPUs=1
PartitionName=low Nodes={first},{second} Default=YES PriorityTier=1 GraceTime=60 PreemptMode=CANCEL
PartitionName=high Nodes={first},{second} PriorityTier=10
"""


def _node_of(pid: int) -> str:
  """The node that a process was started on by SLURM."""
  try:
    variables = Path(f'/proc/{pid}/environ').read_bytes().split(b'\0')
  except OSError:
    return ''
  return next((value.removeprefix(b'SLURMD_NODENAME=').decode() for value in variables if value.startswith(b'SLURMD_NODENAME=')), '')


class Cluster:
  """A running SLURM; `environment` lets its commands find it."""

  def __init__(self, root: Path):
    self.root = root
    self._daemons: dict[str, subprocess.Popen] = {}
    (root / 'slurm.conf').write_text(_configuration(root))
    for name in ('munge', 'state', *(f'spool-{node}' for node in NODES)):
      (root / name).mkdir()
    self.environment = {**os.environ, 'SLURM_CONF': str(root / 'slurm.conf')}

  def start(self) -> None:
    key = self.root / 'munge' / 'key'
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    place = self.root / 'munge'
    self._run('munged', 'munged', '--foreground', '--force', f'--key-file={key}', f'--socket={place}/socket', f'--pid-file={place}/pid', f'--log-file={place}/log', f'--seed-file={place}/seed')
    self._until(lambda: (place / 'socket').exists(), 'munged')
    self._run('slurmctld', 'slurmctld', '-D', '-f', str(self.root / 'slurm.conf'))
    for name in NODES:
      self.start_node(name)
    self._until(lambda: self('sinfo', '-h', '-N', '-o', '%t').split() == ['idle'] * 4, 'two idle nodes')

  def start_node(self, name: str) -> None:
    self._run(name, 'slurmd', '-D', '-N', name, '-f', str(self.root / 'slurm.conf'))

  def stop_node(self, name: str) -> None:
    """Ends a node as a power cut does: its daemon, and all that it started."""
    of_node = [pid for pid in map(int, filter(str.isdigit, os.listdir('/proc'))) if _node_of(pid) == name]
    daemon = self._daemons.pop(name)
    for pid in (daemon.pid, *of_node):
      with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    daemon.wait()

  def __call__(self, *words: str) -> str:
    """What a command of SLURM prints."""
    return subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False).stdout

  def jobs(self) -> list[str]:
    """Numbers of the jobs that wait or run. SLURM delays those that it requeues by two minutes; here they need not wait."""
    if delayed := [job for job, reason in (line.split(maxsplit=1) for line in self('squeue', '-h', '-a', '-o', '%i %r').splitlines()) if reason == 'BeginTime']:
      time.sleep(2)  # the credentials of the start before are revoked for its second
      for job in delayed:
        self('scontrol', 'update', f'JobId={job}', 'StartTime=now')
    return self('squeue', '-h', '-a', '-o', '%i').split()

  def state(self, job: str) -> str:
    return self('squeue', '-h', '-a', '-t', 'all', '-j', job, '-o', '%T').strip()

  def wait(self, condition, what: str, timeout_s: float = 120) -> None:
    self._until(condition, what, timeout_s)

  def _until(self, condition, what: str, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
      if time.monotonic() > deadline:
        logs = {log.name: log.read_text()[-1500:] for log in self.root.glob('*.log')}
        raise AssertionError(f'no {what} in {timeout_s} s: {logs}\n{self("squeue", "-a", "-t", "all")}\n{self("sinfo")}')
      time.sleep(0.2)

  def _run(self, name: str, *words: str) -> None:
    with open(self.root / f'{name}.out', 'w') as out:
      self._daemons[name] = subprocess.Popen(words, env=self.environment, stdout=out, stderr=out)

  def close(self) -> None:
    self('scancel', '--signal=KILL', '--full', '--user=root')
    self('scancel', '--user=root')
    for process in reversed(list(self._daemons.values())):
      process.terminate()
    for process in self._daemons.values():
      with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
      process.kill()


@contextlib.contextmanager
def running() -> Iterator[Cluster]:
  """A SLURM of two nodes, as long as the context lasts."""
  hosts = HOSTS.read_text()
  with tempfile.TemporaryDirectory(prefix='slurm-') as root:  # a short name: a socket's path has at most 107 bytes
    found = Cluster(Path(root))
    HOSTS.write_text(f'{hosts.rstrip()}\n127.0.0.1 {" ".join(NODES)}\n')
    try:
      try:
        found.start()
      except AssertionError as error:  # such as in a container without what munge wants
        pytest.skip(f'SLURM is installed, but does not start here: {error}')
      yield found
    finally:
      found.close()
      HOSTS.write_text(hosts)
