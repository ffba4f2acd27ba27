"""`codemix launch`."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from codemix.commands.experiment import add_gin_arguments, load_experiment, show_line
from codemix.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('where', choices=('local',), help='local: several processes on this machine')
  add_gin_arguments(parser)
  parser.add_argument('--processes', type=int, metavar='N', help='how many processes; by default one for each GPU')
  parser.add_argument('--cpu_devices', type=int, metavar='N', help='train on CPUs, with N devices in each process')
  parser.add_argument('--restarts', type=int, default=0, metavar='N', help='start all again after exit code 75 or 76, at most N times')
  parser.add_argument('--logs', metavar='FOLDER', help='where the logs of the processes go; by default Runtime.output/logs')
  parser.add_argument('--dry_run', action='store_true', help='print the commands, and run nothing')


def run(arguments: argparse.Namespace) -> int:
  if arguments.restarts < 0:
    raise UserError('--restarts is a number of times, 0 or more.')
  experiment = load_experiment(arguments)

  from codemix.launch.local import RESUMABLE, LocalRun, members
  from codemix.studies.preparation import prepare_in_own_process

  devices = _devices(arguments)
  if arguments.dry_run:
    prepare = members('prepare', experiment.gin_arguments, [{}])
    print('\n'.join(map(str, [*prepare, *members('study', experiment.gin_arguments, devices)])))
    return 0
  prepare_in_own_process(experiment.study, experiment.data, experiment.gin_arguments, experiment.warnings)
  logs = Path(arguments.logs) if arguments.logs else Path(experiment.runtime.output) / 'logs'
  local = LocalRun(logs, lambda number, line: show_line(f'[{number}] {line}'), lambda line: print(line, flush=True))
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda received, frame: local.stop(received))
  for starts_left in reversed(range(arguments.restarts + 1)):
    code = local.run(members('study', experiment.gin_arguments, devices))
    if code not in RESUMABLE or local.stopped_by or not starts_left:
      break
    show_line(f'exit code {code}: all processes start again, and resume from the last checkpoint')
  return code


def _devices(arguments: argparse.Namespace) -> list[dict[str, str]]:
  """The variables that give each process its devices. Raises UserError for numbers that do not fit this machine."""
  from codemix.launch.local import cpu_devices, gpu_devices, visible_gpus

  for name in ('processes', 'cpu_devices'):
    if (number := getattr(arguments, name)) is not None and number < 1:
      raise UserError(f'--{name} is {number}; it is a number from 1.')
  if arguments.cpu_devices:
    if not arguments.processes:
      raise UserError('--cpu_devices needs --processes, how many processes train together.')
    return cpu_devices(arguments.processes, arguments.cpu_devices)
  if not (gpus := visible_gpus()):
    raise UserError('this machine has no GPU that CUDA shows: give --processes and --cpu_devices to train on CPUs.')
  return gpu_devices(arguments.processes or len(gpus), gpus)
