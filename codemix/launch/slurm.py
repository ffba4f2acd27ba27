"""A run as a job of SLURM: one batch file that is the whole job, and starts it again after what a new start helps against."""

from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from codemix.errors import CodemixError, UserError
from codemix.launch.exit_codes import KILLED, RESTARTED, RESUMABLE

SIGNAL_S = 120  # before the time limit, in which all processes save a checkpoint
_TIME = re.compile(r'(\d+-)?\d+(:\d\d){0,2}')


@dataclasses.dataclass(frozen=True)
class SlurmJob:
  """A study on the nodes of a cluster, with one process a node.

  Attributes:
    gin_arguments: the gin flags of the run.
    output: of the batch files and logs: the run's folder, or another on a file system of all nodes; absolute.
    working_folder: the working folder, from which gin files and data are named; absolute.
    nodes: how many.
    time: limit of each start, as SLURM writes it: '24:00:00'.
    gpus_per_node: 0 to train on CPUs.
    cpu_devices: on CPUs, the devices of each process.
    xla_flags: on GPUs, flags of the compiler, after those of the environment.
    restarts: how often it starts again, at most.
    options: further options of sbatch, such as '--partition=gpu'.
  """

  gin_arguments: Sequence[str]
  output: Path
  working_folder: Path
  nodes: int
  time: str
  gpus_per_node: int = 0
  cpu_devices: int = 1
  xla_flags: str = ''
  restarts: int = 20
  options: Sequence[str] = ()

  def __post_init__(self):
    if not _TIME.fullmatch(self.time):
      raise UserError(f"--time is '{self.time}'; write it as SLURM does: '24:00:00' or '2-12:00:00'.")
    for option in self.options:
      if not option.startswith('-') or not option.isprintable():
        raise UserError(f"--sbatch is '{option}'; it is one option of sbatch, such as --sbatch=--partition=gpu.")

  @property
  def folder(self) -> Path:
    """Where the batch files go."""
    return self.output / 'launch'

  @property
  def training(self) -> str:
    """The batch file that trains."""
    return self._restarting('train', self._words('study'), self.folder / 'train.sbatch')

  def unit(self, key: str) -> str:
    """The batch file, at `unit_file`, that runs one unit of the study, such as 'train/balanced-1a2b3c4d'."""
    return self._restarting(_plain(key), self._words('study', f'--unit={key}'), self.unit_file(key), _REDIRECTED)

  def unit_file(self, key: str) -> Path:
    return self.folder / 'units' / f'{_plain(key)}.sbatch'

  def _restarting(self, what: str, words: str, file: Path, then: Sequence[str] = ()) -> str:
    """A batch file that starts itself again.

    Args:
      then: lines after a job like it was submitted, whose number is in $next.
    """
    devices = [f'--gpus-per-node={self.gpus_per_node}'] if self.gpus_per_node else []
    head = [
      f'--nodes={self.nodes} --ntasks-per-node=1',
      *devices,
      f'--time={self.time}',
      f'--signal=TERM@{SIGNAL_S}',
      '--requeue --open-mode=append',
    ]
    again = '|'.join(map(str, RESTARTED))
    return '\n'.join(
      [
        *self._head(head, what),
        *self._environment(),
        '# When SLURM asks the job to stop, the processes save, and then this script decides what comes next.',
        'trap : TERM',
        self._srun(words, 'process-%t' if what == 'train' else f'{what}-process-%t'),
        'code=$?',
        f'# {", ".join(map(str, RESUMABLE))}: a bucket did not answer, a checkpoint was saved, a process was lost; {", ".join(map(str, KILLED))}: ended by a signal.',
        'starts=$((${CODEMIX_STARTS:-0} + ${SLURM_RESTART_COUNT:-0}))',
        'case $code in',
        f'  {again})',
        f'    if [ "$starts" -lt {self.restarts} ]; then',
        '      # A job that was cancelled, as by PreemptMode=CANCEL, cannot be requeued: one like it follows.',
        *_again(f'--export=ALL,CODEMIX_STARTS=$((starts + 1)) --dependency=afterany:"$SLURM_JOB_ID" {shlex.quote(str(file))}', then),
        '    fi',
        '    ;;',
        'esac',
        'exit $code',
        '',
      ]
    )

  @property
  def preparing(self) -> str:
    """The batch file that prepares, on one node without its GPUs."""
    head = ['--nodes=1 --ntasks=1', f'--time={self.time}', '--requeue --open-mode=append']
    return '\n'.join([*self._head(head, 'prepare'), f'exec {self._words("prepare")}', ''])

  def reporting(self, study: str) -> str:
    """The batch file that writes the report of the study in a folder, as far as it has come, without GPUs."""
    head = ['--nodes=1 --ntasks=1', f'--time={self.time}', '--requeue --open-mode=append']
    report = shlex.join([sys.executable, '-m', 'codemix', 'report', f'--output={study}'])
    return '\n'.join([*self._head(head, 'report'), 'export JAX_PLATFORMS=cpu', f'exec {report}', ''])

  def _head(self, options: Sequence[str], what: str) -> list[str]:
    return [
      '#!/bin/bash',
      '# Written by `codemix launch slurm`; `sbatch` of this file starts it again.',
      f'#SBATCH --job-name=codemix-{what}',
      f'#SBATCH --output={_quoted(self._log(f"{what}-%j"))}',
      f'#SBATCH --chdir={_quoted(str(self.working_folder))}',
      *(f'#SBATCH {option}' for option in options),
      *(f'#SBATCH {_quoted(option)}' for option in self.options),
    ]

  def _environment(self) -> list[str]:
    flags = self.xla_flags if self.gpus_per_node else f'--xla_force_host_platform_device_count={self.cpu_devices}'
    platform = [] if self.gpus_per_node else ['export JAX_PLATFORMS=cpu']
    return [*platform, *([f'export XLA_FLAGS="${{XLA_FLAGS:-}} {flags}"'] if flags else [])]

  def _srun(self, words: str, log: str) -> str:
    return f'srun --kill-on-bad-exit=0 --open-mode=append --output={shlex.quote(self._log(log))} {words}'

  def _log(self, name: str) -> str:
    return f'{str(self.output / "logs").replace("%", "%%")}/{name}.log'  # SLURM replaces %j and %t

  def _words(self, verb: str, *flags: str) -> str:
    return shlex.join([sys.executable, '-m', 'codemix', verb, *flags, *self.gin_arguments])


# The jobs that wait for this one wait for the one that follows it.
_REDIRECTED = (
  'squeue --noheader --user="$(id -un)" --states=PENDING --format="%A %E" | while read -r job on; do',
  '  case $job,$on in',
  '    "$next",*) ;;',
  '    *":$SLURM_JOB_ID("*)',
  '      on=${on//":$SLURM_JOB_ID("/":$next("}',
  '      for state in unfulfilled fulfilled failed; do on=${on//"($state)"/}; done',
  '      scontrol update JobId="$job" Dependency="$on"',
  '      ;;',
  '  esac',
  'done',
)


def _again(submission: str, then: Sequence[str]) -> list[str]:
  if not then:
    return [f'      scontrol requeue "$SLURM_JOB_ID" || sbatch {submission}']
  return ['      if ! scontrol requeue "$SLURM_JOB_ID"; then', f'        next=$(sbatch --parsable {submission})', *(f'        {line}' for line in then), '      fi']


def _plain(key: str) -> str:
  """The key of a unit as the name of a file or job."""
  return key.replace('/', '-')


def _quoted(option: str) -> str:
  """An option of a line of #SBATCH, in which double quotes keep spaces together."""
  return '"' + option.replace('\\', '\\\\').replace('"', '\\"') + '"' if re.search(r'[\s"\\#]', option) else option


def submit(file: Path, *options: str) -> str:
  """Submits a batch file; returns the number of its job.

  Raises UserError if there is no sbatch here, and CodemixError with SLURM's words if it refuses the job.
  """
  try:
    ran = subprocess.run(['sbatch', '--parsable', *options, str(file)], capture_output=True, text=True, check=False)
  except FileNotFoundError:
    raise UserError('there is no sbatch on this machine: submit from a login node of the cluster, or print the files with --dry_run.') from None
  if ran.returncode:
    raise CodemixError(f'SLURM refuses {file}: {ran.stderr.strip()}')
  return ran.stdout.strip().partition(';')[0]
