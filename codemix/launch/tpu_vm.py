"""Cloud TPU VMs as queued resources: the commands of gcloud, and what is sent to the machines."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from codemix.errors import UserError
from codemix.launch.accelerators import TPUS, Tpus
from codemix.launch.specification import Specification

_SCRIPTS = Path(__file__).parent
# With these a connection whose other end is gone ends after two minutes, and not when TCP gives up.
_ALIVE = ('-oConnectTimeout=30', '-oServerAliveInterval=30', '-oServerAliveCountMax=4')
_GROUP = ('gcloud', 'compute', 'tpus', 'queued-resources')


@dataclasses.dataclass(frozen=True)
class TpuVm:
  """A run on TPU VMs of its own.

  Attributes:
    of: the run.
    zone: of Cloud TPU: 'us-west4-a'.
    project: of Google Cloud; None for gcloud's default.
    options: further options of `queued-resources create`, such as '--reserved'; they win over codemix's.
  """

  of: Specification
  zone: str
  project: str | None = None
  options: Sequence[str] = ()

  def __post_init__(self):
    if not isinstance(self.of.accelerators, Tpus):
      raise UserError('`codemix launch tpu_vm` is for TPUs: use `slurm`, `jobset` or `skypilot` for GPUs.')

  @property
  def folder(self) -> str:
    """The run's folder, in the home of each machine."""
    return f'codemix-{self.of.name}'

  @property
  def script(self) -> str:
    """The script's name there, by its content: another one is another run."""
    return f'run-{hashlib.sha256(self.of.script().encode()).hexdigest()[:12]}.sh'

  def create(self) -> list[str]:
    """Asks for the machines; returns when they are in the queue."""
    tpus = self.of.accelerators
    nodes = [f'--node-count={tpus.slices}', f'--node-prefix={self.of.name}'] if tpus.slices > 1 else [f'--node-id={self.of.name}']
    return [
      *self._words('create', self.of.name),
      f'--accelerator-type={tpus.accelerator_type}',
      f'--runtime-version={TPUS[tpus.chip].runtime}',
      *nodes,
      *(['--spot'] if self.of.spot else []),
      '--quiet',
      *self.options,
    ]

  def state(self) -> list[str]:
    """Prints the state, and the message if the request has failed."""
    return [*self._words('describe', self.of.name), '--format=value(state.state,state.failedData.error.message)']

  def delete(self) -> list[str]:
    """Deletes the machines too; returns when they are gone."""
    return [*self._words('delete', self.of.name), '--force', '--quiet']

  def ssh(self, command: str, everywhere: bool = True) -> list[str]:
    """Runs a command of the run's folder on all machines, or on the first of the first slice.

    gcloud runs it on 64 machines at a time, and repeats it where the connection breaks: it must end by itself, and may run twice.
    """
    return self._ssh(f'cd {shlex.quote(self.folder)} && {command}', 'all' if everywhere else '0')

  def make_folder(self) -> list[str]:
    """Only its owner reads it."""
    return self._ssh(f'mkdir -p -m 700 {shlex.quote(self.folder)}', 'all')

  def _ssh(self, command: str, where: str) -> list[str]:
    alive = [f'--ssh-flag={option}' for option in _ALIVE]
    return [*self._words('ssh', self.of.name), f'--node={where}', f'--worker={where}', '--quiet', *alive, f'--command={command}']

  def copy(self, files: Sequence[Path]) -> list[str]:
    """Copies files into the run's folder on all machines."""
    alive = [f'--scp-flag={option}' for option in _ALIVE]
    return [*self._words('scp'), *map(str, files), f'{self.of.name}:{self.folder}/', '--node=all', '--worker=all', '--quiet', *alive, *self._place()]

  def install(self, requirement: str, python: str) -> list[str]:
    """Makes the environment on all machines."""
    return self.ssh(shlex.join(['bash', 'setup.sh', python, requirement]))

  def start(self, token: str) -> list[str]:
    """Starts the processes, once for each token."""
    return self.ssh(shlex.join(['bash', 'worker.sh', 'start', self.script, token]))

  def follow(self, shown: int) -> list[str]:
    """Shows the log of the first machine, without the bytes that were shown, until its process ends."""
    return self.ssh(f'bash worker.sh follow {shown}', everywhere=False)

  def end(self, how: str = 'end') -> list[str]:
    """Waits for the end of all processes, and shows their logs and exit codes; with 'stop' it asks them to end."""
    return self.ssh(f'bash worker.sh {how}')

  def whole(self, requirement: str, python: str, files: Sequence[Path]) -> list[list[str]]:
    """The commands of a run that nothing disturbs, in order."""
    prepared = [self.create(), self.state(), self.make_folder(), self.copy(files), self.install(requirement, python)]
    return [*prepared, self.start('TOKEN'), self.follow(0), self.end(), self.delete()]

  def sent(self, constraints: str) -> dict[str, str]:
    """The text of the files that are sent, beside a wheel and the secrets."""
    scripts = {name: (_SCRIPTS / name).read_text() for name in ('setup.sh', 'worker.sh')}
    return {**scripts, 'constraints.txt': constraints, self.script: self.of.script()}

  def secrets(self) -> str:
    """The lines that set the secrets. Raises UserError if one is not set here."""
    return ''.join(f'export {name}={shlex.quote(value)}\n' for name, value in self._values())

  def _values(self) -> Iterator[tuple[str, str]]:
    for name in self.of.secrets:
      if name not in os.environ:
        raise UserError(f'--secret={name}: this variable is not set here; export it first.')
      yield name, os.environ[name]

  def _words(self, verb: str, *names: str) -> list[str]:
    return [*_GROUP, verb, *names, *(self._place() if names else [])]

  def _place(self) -> list[str]:
    return [f'--zone={self.zone}', *([f'--project={self.project}'] if self.project else [])]
