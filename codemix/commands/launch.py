"""`codemix launch`."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from codemix.commands import launch_remote
from codemix.commands.experiment import Experiment, add_gin_arguments, load_experiment, show_line
from codemix.errors import CodemixError, Preempted, UserError
from codemix.storage import as_path, is_remote, local_path

if TYPE_CHECKING:
  from collections.abc import Mapping, Sequence

  from codemix.launch.local import LocalProcesses
  from codemix.launch.restarts import Restarts
  from codemix.launch.slurm import SlurmJob
  from codemix.launch.slurm_submission import Submission

# What may be given where, if not everywhere.
_REMOTE = tuple(launch_remote.PLACES)
_PLACES = {
  'processes': ('local',),
  'cpu_devices': ('local', 'slurm'),
  'logs': ('local', 'tpu_vm'),
  'nodes': ('slurm', 'jobset', 'skypilot'),
  'gpus_per_node': ('slurm', 'jobset', 'skypilot'),
  'time': ('slurm',),
  'sbatch': ('slurm',),
  'by_unit': ('local', 'slurm'),
  'max_jobs': ('slurm',),
  **launch_remote.FLAGS,
}
_RESTARTS = 20
_NO_JUDGE = 'Study.judge is not a unit: when all of them are done, `codemix study` with the same flags asks it.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('where', choices=('local', 'slurm', *_REMOTE), help='local: several processes on this machine; the others: where it runs')
  add_gin_arguments(parser)
  parser.add_argument('--processes', type=int, metavar='N', help='local: how many processes; by default one for each GPU')
  parser.add_argument('--cpu_devices', type=int, metavar='N', help='train on CPUs, with N devices in each process')
  parser.add_argument('--logs', metavar='FOLDER', help='local, tpu_vm: where the logs of the processes go')
  parser.add_argument('--nodes', type=int, metavar='N', help='how many nodes of GPUs, with one process each')
  parser.add_argument('--gpus_per_node', type=int, metavar='N', help='GPUs of each node')
  parser.add_argument('--time', metavar='LIMIT', help="slurm: the time limit of each start, such as 24:00:00")
  parser.add_argument('--sbatch', action='append', metavar='OPTION', help='slurm: a further option of sbatch, such as --sbatch=--partition=gpu; may be repeated')
  parser.add_argument('--by_unit', action='store_true', help='local: each process trains stages of its own; slurm: job arrays with a task for each stage and each evaluation, which waits for the one that it needs, and a job that writes the report')
  parser.add_argument('--max_jobs', type=int, metavar='N', help='slurm, with --by_unit: tasks of each job array that run at once, at most')
  launch_remote.add_arguments(parser)
  parser.add_argument('--restarts', type=int, metavar='N', help='start again after failures that a new start may help against, at most N times (preemptions count with xpk only; skypilot has no bound); by default 20, local 0')
  parser.add_argument('--dry_run', action='store_true', help='print what would be run, and run nothing')


def run(arguments: argparse.Namespace) -> int:
  _check_flags(arguments)
  experiment = load_experiment(arguments)
  if arguments.restarts is None:
    arguments.restarts = 0 if arguments.where == 'local' else _RESTARTS
  if arguments.where in _REMOTE:
    return launch_remote.run(experiment, arguments)
  return _local(experiment, arguments, arguments.restarts) if arguments.where == 'local' else _slurm(experiment, arguments, arguments.restarts)


def _check_flags(arguments: argparse.Namespace) -> None:
  for name, places in _PLACES.items():
    if arguments.where not in places and getattr(arguments, name) not in (None, False):
      *others, last = (f'`{place}`' for place in places)
      raise UserError(f'--{name} is for {", ".join(others)}{" and " if others else ""}{last}, not for {arguments.where}.')
  for name in ('processes', 'cpu_devices', 'nodes', 'gpus_per_node', 'slices', 'max_jobs'):
    if (number := getattr(arguments, name)) is not None and number < 1:
      raise UserError(f'--{name} is {number}; it is a number from 1.')
  if arguments.max_jobs and not arguments.by_unit:
    raise UserError('--max_jobs is for the job arrays of --by_unit: add that, or leave --max_jobs out.')
  if arguments.restarts is not None and arguments.restarts < 0:
    raise UserError('--restarts is a number of times, 0 or more.')


def _local(experiment: Experiment, arguments: argparse.Namespace, restarts: int) -> int:
  from codemix.launch.local import LocalProcesses, members, run_together
  from codemix.launch.restarts import Restarts

  devices = _devices(arguments)
  if arguments.dry_run and arguments.by_unit:
    raise UserError('which process trains what is decided as they become free: `codemix study --list_commands` with the same gin flags prints the command of each unit.')
  if arguments.dry_run:
    prepare = members('prepare', experiment.gin_arguments, [{}])
    print('\n'.join(map(str, [*prepare, *members('study', experiment.gin_arguments, devices)])))
    return 0
  starts = Restarts(restarts)
  _prepare(experiment, starts)
  logs = local_path(arguments.logs, '--logs') if arguments.logs else _local_folder(experiment) / 'logs'
  processes = LocalProcesses(logs, lambda number, line: show_line(f'[{number}] {line}'), lambda line: print(line, flush=True))
  with processes.stopped_by_signals():
    if arguments.by_unit:
      return _local_by_unit(experiment, processes, devices, starts)
    while True:
      code = run_together(processes, members('study', experiment.gin_arguments, devices))
      if processes.stopped_by or not starts.allow(code):
        return code
      show_line(f'exit code {code}: all processes start again, and resume from the last checkpoint')


def _prepare(experiment: Experiment, starts: Restarts) -> None:
  """Prepares what is missing, again after an exit code that this may help against. Raises the CodemixError of the last time."""
  from codemix.studies.preparation import prepare_in_own_process

  while True:
    try:
      return prepare_in_own_process(experiment.study, experiment.data, experiment.gin_arguments, experiment.warnings)
    except Preempted:  # this process was asked to stop
      raise
    except CodemixError as error:
      if not starts.allow(error.exit_code):
        raise
      show_line(f'{error} Exit code {error.exit_code}: `codemix prepare` starts again')


def _local_by_unit(experiment: Experiment, processes: LocalProcesses, devices: Sequence[Mapping[str, str]], starts: Restarts) -> int:
  from codemix.launch.local import Member, run_together
  from codemix.launch.local_units import LocalUnits, stage_jobs

  units = LocalUnits(processes, experiment.gin_arguments, devices, lambda: _done(experiment), starts)
  code = units.run(stage_jobs(_needs(experiment)))
  if not processes.stopped_by and (as_path(experiment.runtime.output) / 'study.json').is_file():  # a stage has begun
    written = run_together(processes, [Member({'JAX_PLATFORMS': 'cpu'}, ('codemix', 'report', f'--output={experiment.runtime.output}'))])
    code = code or written
  if units.left_out:
    show_line(f'not run, because of what failed: {", ".join(units.left_out)}')
  if units.failed:
    show_line(f'failed: {", ".join(units.failed)}. The same command tries again; what is done is not done twice.')
  if experiment.study.judge:
    show_line(_NO_JUDGE)
  return code


def _done(experiment: Experiment) -> set[str]:
  """Keys of the units that are done."""
  from codemix.commands.study_status import planned_commands

  return {command.unit.key for command in planned_commands(experiment) or () if not command.is_left}


def _needs(experiment: Experiment) -> dict[str, tuple[str, ...]]:
  """Keys of the units that are not done -> those that each needs; the data are prepared. Raises UserError if another process works on a unit."""
  from codemix.commands.study_status import planned_commands

  commands = planned_commands(experiment)
  assert commands is not None, 'the data are prepared'
  if running := [command.unit.key for command in commands if command.state == 'running']:
    raise UserError(f'{running[0]} is run by another process now, and a second one would be refused. Wait for it, or stop it; `codemix study --status` shows it.')
  return {command.unit.key: command.needs for command in commands if command.is_left}


def _local_folder(experiment: Experiment) -> Path:
  """Where logs and batch files go: the run's folder, or if that is in a bucket a folder here with its name."""
  output = as_path(experiment.runtime.output)
  return Path('codemix-logs', output.name) if is_remote(output) else output


def _devices(arguments: argparse.Namespace) -> list[dict[str, str]]:
  """The variables that give each process its devices. Raises UserError for numbers that do not fit this machine."""
  from codemix.launch.local import cpu_devices, gpu_devices, visible_gpus

  if arguments.cpu_devices:
    _gpu_flags(arguments)  # refuses them
    if not arguments.processes:
      raise UserError('--cpu_devices needs --processes, how many processes train together.')
    return cpu_devices(arguments.processes, arguments.cpu_devices)
  if not (gpus := visible_gpus()):
    raise UserError('this machine has no GPU that CUDA shows: give --processes and --cpu_devices to train on CPUs.')
  devices = gpu_devices(arguments.processes or len(gpus), gpus)
  if not (flags := _gpu_flags(arguments)):
    return devices
  flags = f'{os.environ.get("XLA_FLAGS", "")} {flags}'.strip()
  return [{**each, 'XLA_FLAGS': flags} for each in devices]


def _gpu_flags(arguments: argparse.Namespace) -> str:
  """The compiler flags that --xla_flags names; '' without. Raises UserError if they are not for GPUs, or there are none."""
  from codemix.launch import xla_flags

  name = arguments.xla_flags or xla_flags.NONE
  found = xla_flags.environment(name)
  if found and (arguments.cpu_devices or 'XLA_FLAGS' not in found):
    gpus = ', '.join(each for each, its in xla_flags.SETS.items() if its.variable == 'XLA_FLAGS')
    raise UserError(f'--xla_flags={name}: codemix launch {arguments.where} sets flags of GPUs only, {gpus} or none, and none with --cpu_devices.')
  return found.get('XLA_FLAGS', '')


def _slurm(experiment: Experiment, arguments: argparse.Namespace, restarts: int) -> int:
  from codemix.launch import xla_flags
  from codemix.launch.slurm import SlurmJob

  if not arguments.nodes or not arguments.time or bool(arguments.gpus_per_node) == bool(arguments.cpu_devices):
    raise UserError('a job of SLURM needs --nodes, --time, and --gpus_per_node or --cpu_devices.')
  _gpu_flags(arguments)  # refuses those of other machines
  job = SlurmJob(
    gin_arguments=experiment.gin_arguments,
    output=_local_folder(experiment).absolute(),
    working_folder=Path.cwd(),
    nodes=arguments.nodes,
    time=arguments.time,
    gpus_per_node=arguments.gpus_per_node or 0,
    cpu_devices=arguments.cpu_devices or 1,
    xla_flags=arguments.xla_flags or xla_flags.NONE,
    restarts=restarts,
    max_jobs=arguments.max_jobs or 0,
    options=arguments.sbatch or (),
    environment={name: os.environ[name] for name in ('CODEMIX_DATA_DIR',) if os.environ.get(name)},
  )
  work = (_slurm_units if arguments.by_unit else _slurm_study)(experiment, job)
  if arguments.dry_run:
    names = {each.name: f'JOB({each.name})' for each in work}
    for each in work:
      print(f'# {shlex.join(["sbatch", *each.options(names), str(each.file)])}\n{each.text}', end='')
  else:
    _submit(work, job)
  return 0


def _slurm_study(experiment: Experiment, job: SlurmJob) -> list[Submission]:
  """The study as one job, after one that prepares what is missing."""
  from codemix.launch.slurm_submission import Submission

  before = [Submission('prepare', job.folder / 'prepare.sbatch', job.preparing)] if _to_prepare(experiment) else []
  return [*before, Submission('train', job.folder / 'train.sbatch', job.training, tuple(each.name for each in before))]


def _slurm_units(experiment: Experiment, job: SlurmJob) -> list[Submission]:
  """The study as jobs of units, or the one that prepares and submits those."""
  from codemix.launch.slurm_submission import Submission
  from codemix.launch.slurm_units import submissions

  if experiment.study.judge:
    show_line(_NO_JUDGE)
  if not _to_prepare(experiment):
    return list(submissions(job, _needs(experiment), experiment.runtime.output))
  show_line('the data are not prepared, and the names of units hold digests of them: the job that prepares submits the others at its end.')
  return [Submission('prepare', job.folder / 'prepare.sbatch', job.preparing_for_units)]


def _to_prepare(experiment: Experiment) -> bool:
  """Whether data are missing. Raises UserError if they cannot be prepared: now, and not after hours in the queue."""
  from codemix.studies.preparation import check_sources, missing

  check_sources(experiment.study, experiment.data)
  return bool(missing(experiment.study, experiment.data))


def _submit(work: Sequence[Submission], job: SlurmJob) -> None:
  """Submits all, or none: those before one that SLURM refuses are cancelled."""
  from codemix.launch.slurm_submission import cancel, submit
  from codemix.storage import write_text

  (job.output / 'logs').mkdir(parents=True, exist_ok=True)  # SLURM makes no folders
  numbers: dict[str, str] = {}
  for each in work:
    write_text(each.file, each.text)
  for each in work:
    try:
      numbers[each.name] = submit(each.file, *each.options(numbers))
    except CodemixError as error:
      if not numbers:
        raise
      cancel(numbers.values())
      raise CodemixError(f'{error} The jobs that were submitted before it are cancelled.') from None
    for name, number in each.jobs(numbers[each.name]).items():
      print(f'{name}: job {number}, {each.file}', flush=True)
