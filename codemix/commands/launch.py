"""`codemix launch`."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from codemix.commands import launch_remote
from codemix.commands.experiment import Experiment, add_gin_arguments, load_experiment, show_line
from codemix.errors import UserError
from codemix.storage import as_path, is_remote, local_path

if TYPE_CHECKING:
  from collections.abc import Mapping, Sequence

  from codemix.launch.local import LocalProcesses
  from codemix.launch.slurm import SlurmJob

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
  parser.add_argument('--by_unit', action='store_true', help='local: each process trains stages of its own; slurm: a job for each stage and each evaluation, which wait for those that they need, and one that writes the report')
  launch_remote.add_arguments(parser)
  parser.add_argument('--restarts', type=int, metavar='N', help='start again after exit code 74, 75 or 76, at most N times; by default 20, local 0')
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
  for name in ('processes', 'cpu_devices', 'nodes', 'gpus_per_node', 'slices'):
    if (number := getattr(arguments, name)) is not None and number < 1:
      raise UserError(f'--{name} is {number}; it is a number from 1.')
  if arguments.restarts is not None and arguments.restarts < 0:
    raise UserError('--restarts is a number of times, 0 or more.')


def _local(experiment: Experiment, arguments: argparse.Namespace, restarts: int) -> int:
  from codemix.launch.exit_codes import RESUMABLE
  from codemix.launch.local import LocalProcesses, members, run_together
  from codemix.studies.preparation import prepare_in_own_process

  devices = _devices(arguments)
  if arguments.dry_run and arguments.by_unit:
    raise UserError('which process trains what is decided as they become free: `codemix study --list_commands` with the same gin flags prints the command of each unit.')
  if arguments.dry_run:
    prepare = members('prepare', experiment.gin_arguments, [{}])
    print('\n'.join(map(str, [*prepare, *members('study', experiment.gin_arguments, devices)])))
    return 0
  prepare_in_own_process(experiment.study, experiment.data, experiment.gin_arguments, experiment.warnings)
  logs = local_path(arguments.logs, '--logs') if arguments.logs else _local_folder(experiment) / 'logs'
  processes = LocalProcesses(logs, lambda number, line: show_line(f'[{number}] {line}'), lambda line: print(line, flush=True))
  with processes.stopped_by_signals():
    if arguments.by_unit:
      return _local_by_unit(experiment, processes, devices, restarts)
    for starts_left in reversed(range(restarts + 1)):
      code = run_together(processes, members('study', experiment.gin_arguments, devices))
      if code not in RESUMABLE or processes.stopped_by or not starts_left:
        break
      show_line(f'exit code {code}: all processes start again, and resume from the last checkpoint')
  return code


def _local_by_unit(experiment: Experiment, processes: LocalProcesses, devices: Sequence[Mapping[str, str]], restarts: int) -> int:
  from codemix.launch.local import Member, run_together
  from codemix.launch.local_units import LocalUnits, stage_jobs

  units = LocalUnits(processes, experiment.gin_arguments, devices, lambda: _done(experiment), restarts)
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
  """Keys of the units that are not done -> those that each needs. Raises UserError if data are not prepared, or another process works on a unit."""
  from codemix.commands.study_status import planned_commands

  if (commands := planned_commands(experiment)) is None:
    prepare = shlex.join(['codemix', 'prepare', *experiment.gin_arguments])
    raise UserError(f'the data are not prepared, and the names of units hold digests of them. Run `{prepare}` first.')
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
    if not arguments.processes:
      raise UserError('--cpu_devices needs --processes, how many processes train together.')
    return cpu_devices(arguments.processes, arguments.cpu_devices)
  if not (gpus := visible_gpus()):
    raise UserError('this machine has no GPU that CUDA shows: give --processes and --cpu_devices to train on CPUs.')
  return gpu_devices(arguments.processes or len(gpus), gpus)


def _slurm(experiment: Experiment, arguments: argparse.Namespace, restarts: int) -> int:
  from codemix.launch.slurm import SlurmJob, submit
  from codemix.storage import write_text
  from codemix.studies.preparation import check_sources, missing

  if not arguments.nodes or not arguments.time or bool(arguments.gpus_per_node) == bool(arguments.cpu_devices):
    raise UserError('a job of SLURM needs --nodes, --time, and --gpus_per_node or --cpu_devices.')
  job = SlurmJob(
    gin_arguments=experiment.gin_arguments,
    output=_local_folder(experiment).absolute(),
    working_folder=Path.cwd(),
    nodes=arguments.nodes,
    time=arguments.time,
    gpus_per_node=arguments.gpus_per_node or 0,
    cpu_devices=arguments.cpu_devices or 1,
    restarts=restarts,
    options=arguments.sbatch or (),
  )
  if arguments.by_unit:
    return _slurm_by_unit(experiment, job, arguments.dry_run)
  check_sources(experiment.study, experiment.data)  # now, and not after hours in the queue
  texts = {'prepare': job.preparing} if missing(experiment.study, experiment.data) else {}
  texts['train'] = job.training
  if arguments.dry_run:
    print('\n'.join(f'# {job.folder / name}.sbatch\n{text}' for name, text in texts.items()), end='')
    return 0
  (job.output / 'logs').mkdir(parents=True, exist_ok=True)  # SLURM makes no folders
  before: tuple[str, ...] = ()
  for name, text in texts.items():
    write_text(file := job.folder / f'{name}.sbatch', text)
    number = submit(file, *before)
    before = (f'--dependency=afterok:{number}', '--kill-on-invalid-dep=yes')
    print(f'{name}: job {number}, {file}', flush=True)
  return 0


def _slurm_by_unit(experiment: Experiment, job: SlurmJob, dry_run: bool) -> int:
  from codemix.launch.slurm import submit
  from codemix.launch.slurm_units import submissions
  from codemix.storage import write_text

  work = list(submissions(job, _needs(experiment), experiment.runtime.output))
  if dry_run:
    names = {each.name: f'JOB({each.name})' for each in work}
    for each in work:
      print(f'# {shlex.join(["sbatch", *each.options(names), str(each.file)])}\n{each.text}', end='')
    return 0
  (job.output / 'logs').mkdir(parents=True, exist_ok=True)  # SLURM makes no folders
  numbers: dict[str, str] = {}
  for each in work:
    write_text(each.file, each.text)
    numbers[each.name] = submit(each.file, *each.options(numbers))
    print(f'{each.name}: job {numbers[each.name]}, {each.file}', flush=True)
  if experiment.study.judge:
    show_line(_NO_JUDGE)
  return 0
