"""A run as a job of SLURM: one batch file that is the whole job, and starts it again after what a new start helps against."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from codemix.errors import Preempted, UserError
from codemix.launch import xla_flags as compiler_flags
from codemix.launch.exit_codes import RESTARTED
from codemix.launch.slurm_submission import AGAIN

SIGNAL_S = 120  # before the time limit, in which all processes save a checkpoint
LEAST_S = 300  # a limit below this leaves no time to train
_TIME = re.compile(r'(?:(\d+)-)?(\d+)(?::(\d\d))?(?::(\d\d))?')
_SUPERVISION = Path(__file__).with_name('slurm_job.sh')


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
    xla_flags: on GPUs, the name of a set of flags of the compiler (`codemix.launch.xla_flags`), which come after those of the environment.
    restarts: how often it starts again after failures, at most. Stops that SLURM asks for do not count.
    max_jobs: tasks of one job array that run at once, at most; 0 for no limit.
    options: further options of sbatch, such as '--partition=gpu'.
    environment: variables of the processes that the shell which submits a file need not have.
  """

  gin_arguments: Sequence[str]
  output: Path
  working_folder: Path
  nodes: int
  time: str
  gpus_per_node: int = 0
  cpu_devices: int = 1
  xla_flags: str = compiler_flags.NONE
  restarts: int = 20
  max_jobs: int = 0
  options: Sequence[str] = ()
  environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    if not _TIME.fullmatch(self.time):
      raise UserError(f"--time is '{self.time}'; write it as SLURM does: '24:00:00' or '2-12:00:00'.")
    if 0 < _seconds(self.time) < LEAST_S:  # 0: SLURM sets no limit
      raise UserError(f"--time is '{self.time}', which SLURM reads as {_seconds(self.time)} s, and {SIGNAL_S} s before the limit all processes save and stop: give at least {LEAST_S // 60} minutes, such as '24:00:00'.")
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
    return self._restarting('train', '%j', ['task=$SLURM_JOB_ID', *self._environment()], self._on_all_nodes('process-%t.log', self._words('study')), _AGAIN, self._machines)

  def array(self, name: str, units: Mapping[int, str]) -> str:
    """The batch file of a job array whose tasks run one unit of the study each.

    Args:
      units: keys of the units, such as 'train/balanced-1a2b3c4d', by the indices of their tasks.
    """
    begin = [
      'units=(',
      *(f'  [{index}]={shlex.quote(key)}' for index, key in units.items()),
      ')',
      'unit=${units[SLURM_ARRAY_TASK_ID]}',
      'echo "$unit"',
      '# $SLURM_JOB_ID of one of the tasks is the number of the array, which would requeue all of them.',
      'task=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID',
      *self._environment(),
    ]
    throttle = f'%{self.max_jobs}' if self.max_jobs else ''
    words = f'{self._words("study", gin=False)} --unit="$unit" {shlex.join(self.gin_arguments)}'
    work = self._on_all_nodes('"${unit//\\//-}"-process-%t.log', words)
    return self._restarting(name, '%A_%a', begin, work, _REPLACED, [f'--array={_ranges(sorted(units))}{throttle}', *self._machines], '-$SLURM_ARRAY_TASK_ID')

  @property
  def preparing(self) -> str:
    """The batch file that prepares, on one node without its GPUs."""
    return self._preparing([])

  @property
  def preparing_for_units(self) -> str:
    """The batch file that prepares, and then submits the units as this launch would have done."""
    devices = f'--gpus_per_node={self.gpus_per_node}' if self.gpus_per_node else f'--cpu_devices={self.cpu_devices}'
    flags = [f'--nodes={self.nodes}', devices, f'--time={self.time}', f'--restarts={self.restarts}']
    flags += [f'--max_jobs={self.max_jobs}'] if self.max_jobs else []
    flags += [f'--xla_flags={self.xla_flags}'] if self.xla_flags != compiler_flags.NONE else []
    launch = self._words('launch', 'slurm', '--by_unit', *flags, *(f'--sbatch={option}' for option in self.options))
    return self._preparing(['# The names of units hold digests of the data, so they are known only now.', launch])

  def _preparing(self, then: Sequence[str]) -> str:
    # Of this command alone: jobs that are submitted behind it have the variables of this one.
    prepare = self._on_all_nodes('prepare-process-%t.log', f'env JAX_PLATFORMS=cpu {self._words("prepare")}')
    work = [f'{prepare}{" || return" if then else ""}', *then]
    return self._restarting('prepare', '%j', ['task=$SLURM_JOB_ID', *self._variables()], '\n'.join(work), _AGAIN, ['--nodes=1 --ntasks-per-node=1'])

  @property
  def _machines(self) -> list[str]:
    return [f'--nodes={self.nodes} --ntasks-per-node=1', *([f'--gpus-per-node={self.gpus_per_node}'] if self.gpus_per_node else [])]

  def _restarting(self, what: str, number: str, begin: Sequence[str], work: str, again: Sequence[str], options: Sequence[str], which: str = '') -> str:
    """A batch file that starts itself again.

    Args:
      number: of the job, as SLURM replaces it in the name of its log.
      begin: its first lines, which set $task to the number of the job, and the variables of what it runs.
      work: lines that run it.
      again: lines that start it again.
      options: of sbatch, beside those that all have.
      which: tells the tasks of an array apart.
    """
    head = [*options, f'--time={self.time}', f'--signal=TERM@{SIGNAL_S}', '--requeue --open-mode=append']
    return '\n'.join(
      [
        *self._head(head, what, number),
        *begin,
        f'record={shlex.quote(str(self.folder / "state" / what))}{which}',
        f'restarts={self.restarts}',
        '# shellcheck disable=SC2016  # each process sees to the words in quotes',
        'work() {',
        *(f'  {line}' for line in work.splitlines()),
        '}',
        'again() {',
        *(f'  {line}' for line in again),
        '}',
        _supervision(),
      ]
    )

  def reporting(self, study: str) -> str:
    """The batch file that writes the report of the study in a folder, as far as it has come, without GPUs."""
    report = shlex.join([sys.executable, '-m', 'codemix', 'report', f'--output={study}'])
    return self._on_one_node('report', ['export JAX_PLATFORMS=cpu', f'exec {report}'])

  def _on_one_node(self, what: str, lines: Sequence[str]) -> str:
    options = ['--nodes=1 --ntasks=1', f'--time={self.time}', '--requeue --open-mode=append']
    return '\n'.join([*self._head(options, what, '%j'), *lines, ''])

  def _head(self, options: Sequence[str], what: str, number: str) -> list[str]:
    return [
      '#!/bin/bash',
      '# Written by `codemix launch slurm`; `sbatch` of this file starts it again.',
      f'#SBATCH --job-name=codemix-{what}',
      f'#SBATCH --output={_quoted(f"{self._logs}{what}-{number}.log")}',
      f'#SBATCH --chdir={_quoted(str(self.working_folder))}',
      *(f'#SBATCH {option}' for option in options),
      *(f'#SBATCH {_quoted(option)}' for option in self.options),
    ]

  def _variables(self) -> list[str]:
    return [f'export {name}={shlex.quote(value)}' for name, value in self.environment.items()]

  def _environment(self) -> list[str]:
    platform = [] if self.gpus_per_node else ['export JAX_PLATFORMS=cpu']
    flags = compiler_flags.environment(self.xla_flags).get('XLA_FLAGS', '') if self.gpus_per_node else f'--xla_force_host_platform_device_count={self.cpu_devices}'
    return [*self._variables(), *platform, *([f'export XLA_FLAGS="${{XLA_FLAGS:-}} {flags}"'] if flags else [])]

  def _on_all_nodes(self, log: str, words: str) -> str:
    """The command that runs words of a shell in a process of each node; the log of each is a word of a shell, too."""
    return f'srun --kill-on-bad-exit=0 --open-mode=append --output={shlex.quote(self._logs)}{log} bash -c {shlex.quote(_EACH)} "$codes" {words}'

  @property
  def _logs(self) -> str:
    return f'{str(self.output / "logs").replace("%", "%%")}/'  # SLURM replaces %j and %t

  def _words(self, *words: str, gin: bool = True) -> str:
    return shlex.join([sys.executable, '-m', 'codemix', *words, *(self.gin_arguments if gin else ())])


# Each process leaves its exit code.
_EACH = 'trap : TERM; "$@"; code=$?; echo "$code" >"$0/$SLURM_PROCID"; exit "$code"'

# `sbatch "$0"` submits the copy of the batch file that SLURM made when this job was submitted: the file itself may be another one by now.
_NEXT = f'--export=ALL,{AGAIN}=1 --dependency=afterany:"$task"'
_WHY = '# A job that was cancelled, as by PreemptMode=CANCEL, cannot be requeued: one like it follows.'
_AGAIN = (_WHY, f'scontrol requeue "$task" || sbatch {_NEXT} "$0"')
_REPLACED = (
  _WHY,
  f'if ! scontrol requeue "$task" && next=$(sbatch --parsable --array="$SLURM_ARRAY_TASK_ID" {_NEXT} "$0"); then',
  '  next=${next%%;*}  # the name of a cluster may follow',
  '  # What waits for this task waits for that one. Others may write what the report waits for at the same time, so look again.',
  '  for _ in 1 2 3; do',
  '    squeue --noheader --array --user="$(id -un)" --states=PENDING --format="%i %E" | while read -r job on; do',
  '      case $job,$on in',
  '        *_"$SLURM_ARRAY_TASK_ID",aftercorr:"$SLURM_ARRAY_JOB_ID"_\\**) on=aftercorr:$next ;;',
  '        *,afterok:"$task("*) on=afterok:${next}_$SLURM_ARRAY_TASK_ID ;;',
  '        *afterany:"$next"_*) continue ;;',
  '        *afterany:"$SLURM_ARRAY_JOB_ID"_\\**)',
  '          for state in "_*" "(unfulfilled)" "(fulfilled)" "(failed)"; do on=${on//"$state"/}; done',
  '          on=$on,afterany:$next',
  '          ;;',
  '        *) continue ;;',
  '      esac',
  '      scontrol update JobId="$job" Dependency="$on"',
  '    done',
  '    sleep $((1 + RANDOM % 3))',
  '  done',
  'fi',
)


def _supervision() -> str:
  lost = ' | '.join(str(code) for code in RESTARTED if code != Preempted.exit_code)
  return _SUPERVISION.read_text().replace('@SAVED@', str(Preempted.exit_code)).replace('@LOST@', lost)


def _seconds(time: str) -> int:
  """Of a time limit: minutes, minutes:seconds, hours:minutes:seconds, or with days and a dash hours, hours:minutes or hours:minutes:seconds."""
  days, *parts = _TIME.fullmatch(time).groups()
  numbers = [int(part) for part in parts if part is not None]
  if days is not None:
    hours, minutes, seconds = [*numbers, 0, 0][:3]
  else:
    hours, minutes, seconds = {1: (0, *numbers, 0), 2: (0, *numbers), 3: numbers}[len(numbers)]
  return ((24 * int(days or 0) + hours) * 60 + minutes) * 60 + seconds


def _ranges(numbers: Sequence[int]) -> str:
  """Ascending numbers as SLURM writes them: '0-2,5'."""
  ends = [number for number in numbers if number + 1 not in numbers]
  begins = [number for number in numbers if number - 1 not in numbers]
  return ','.join(str(first) if first == last else f'{first}-{last}' for first, last in zip(begins, ends, strict=True))


def _quoted(option: str) -> str:
  """An option of a line of #SBATCH, in which double quotes keep spaces together."""
  return '"' + option.replace('\\', '\\\\').replace('"', '\\"') + '"' if re.search(r'[\s"\\#]', option) else option
