"""`codemix launch` on machines that this one cannot see into: Cloud TPU VMs, GKE by XPK or a JobSet, SkyPilot."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from codemix import config
from codemix.commands.experiment import Experiment, show_line
from codemix.commands.launch_checks import require_buckets, require_ready, warn_of_compiling
from codemix.data.settings import Data
from codemix.errors import CodemixError, UserError
from codemix.launch import xla_flags
from codemix.launch.accelerators import Gpus, Tpus
from codemix.launch.specification import (
  Specification,
  from_working_folder,
  name_of,
  own_files,
)
from codemix.storage import local_path

# Flags by the places that take them.
FLAGS = {
  'topology': ('tpu_vm', 'xpk', 'jobset', 'skypilot'),
  'slices': ('tpu_vm', 'xpk', 'jobset'),
  'gpu': ('jobset', 'skypilot'),
  'name': ('tpu_vm', 'xpk', 'jobset', 'skypilot'),
  'image': ('xpk', 'jobset', 'skypilot'),
  'package': ('tpu_vm', 'skypilot'),
  'spot': ('tpu_vm', 'xpk', 'jobset', 'skypilot'),
  'secret': ('tpu_vm', 'jobset', 'skypilot'),
  'xla_flags': ('local', 'slurm', 'tpu_vm', 'xpk', 'jobset', 'skypilot'),
  'zone': ('tpu_vm', 'xpk'),
  'project': ('tpu_vm', 'xpk'),
  'cluster': ('xpk',),
  'option': ('tpu_vm', 'xpk', 'jobset', 'skypilot'),
  'keep': ('tpu_vm',),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('--topology', metavar='CHIP:SIDES', help='TPU chips of a slice, such as v5e:16x16')
  parser.add_argument('--slices', type=int, metavar='N', help='tpu_vm, xpk, jobset: how many TPU slices; by default 1')
  parser.add_argument('--gpu', metavar='KIND', help='jobset, skypilot: a100, h100, h200 or b200')
  parser.add_argument('--name', metavar='NAME', help="of the machines and jobs; by default from the study's name")
  parser.add_argument('--image', metavar='IMAGE', help='xpk, jobset, skypilot: a container image with codemix')
  parser.add_argument('--package', metavar='REQUIREMENT', help='tpu_vm, skypilot: what pip installs there, or a wheel, which is sent; by default this codemix')
  parser.add_argument('--spot', action='store_true', help='machines that may be taken away at any time, at a lower price')
  parser.add_argument('--secret', action='append', metavar='NAME', help='a variable whose value the processes get and nothing shows; may be repeated')
  parser.add_argument('--xla_flags', metavar='NAME', help='a named set of compiler flags, or none; by default that of the machines, local and slurm: none')
  parser.add_argument('--zone', metavar='ZONE', help='tpu_vm, xpk: of Google Cloud, such as us-west4-a')
  parser.add_argument('--project', metavar='PROJECT', help="tpu_vm, xpk: of Google Cloud; by default gcloud's")
  parser.add_argument('--cluster', metavar='NAME', help='xpk: the cluster')
  parser.add_argument('--option', action='append', metavar='OPTION', help='a further option of gcloud, xpk or sky, such as --option=--reserved; jobset: namespace=, queue=, service_account= or node_label=KEY=VALUE; may be repeated')
  parser.add_argument('--keep', action='store_true', help='tpu_vm: keep the machines when the run has ended; they cost until they are deleted')


def run(experiment: Experiment, arguments: argparse.Namespace) -> int:
  """Launches a run at one of `PLACES`; returns its exit code, or that of the submission."""
  data = experiment.data
  directory = data.directory or os.environ.get('CODEMIX_DATA_DIR')
  require_buckets(experiment, directory)
  warn_of_compiling(experiment, arguments.where)
  of = Specification(
    name=name_of(experiment.study.name) if arguments.name is None else arguments.name,
    accelerators=(machines := _accelerators(arguments)),
    gin_arguments=from_working_folder(experiment.gin_arguments),
    files=own_files(config.files_read()),
    environment=_environment(data, directory, arguments.xla_flags or machines.flag_set),
    secrets=tuple(arguments.secret or ()),
    restarts=arguments.restarts,
    spot=arguments.spot,
  )
  return PLACES[arguments.where](of, arguments, lambda: require_ready(experiment, directory))


def _environment(data: Data, directory: str, flags: str) -> dict[str, str]:
  return {**({} if data.directory else {'CODEMIX_DATA_DIR': directory}), **xla_flags.environment(flags)}


def _accelerators(arguments: argparse.Namespace) -> Tpus | Gpus:
  """Raises UserError if flags are missing or contradict each other."""
  if arguments.topology:
    if arguments.gpu or arguments.nodes or arguments.gpus_per_node:
      raise UserError('--topology is for TPUs, --gpu, --nodes and --gpus_per_node for GPUs: give one or the other.')
    from codemix.parallel.topology import parse_topology

    topology = parse_topology(arguments.topology, arguments.slices or 1)
    if topology.chip == 'cpu':
      raise UserError(f'--topology={arguments.topology}: virtual CPU devices are for `codemix launch local`; name TPU chips, such as v5e:16x16.')
    return Tpus(topology.chip, topology.shape, topology.slices)
  if 'gpu' in [flag for flag, places in FLAGS.items() if arguments.where in places] and arguments.gpu:
    if not arguments.nodes or not arguments.gpus_per_node:
      raise UserError('--gpu needs --nodes and --gpus_per_node.')
    return Gpus(arguments.gpu, arguments.gpus_per_node, arguments.nodes)
  raise UserError(f'codemix launch {arguments.where} needs --topology, such as --topology=v5e:16x16{"" if arguments.where not in FLAGS["gpu"] else ", or --gpu, --nodes and --gpus_per_node"}.')


def _required(arguments: argparse.Namespace, *flags: str) -> None:
  for flag in flags:
    if not getattr(arguments, flag):
      raise UserError(f'codemix launch {arguments.where} needs --{flag}.')


# Each of these is called with what checks the data, just before machines are asked for.


def _tpu_vm(of: Specification, arguments: argparse.Namespace, ready: Callable[[], None]) -> int:
  from codemix.launch.package import constraints, package, python_version
  from codemix.launch.tpu_vm import TpuVm
  from codemix.launch.tpu_vm_run import TpuVmRun

  _required(arguments, 'zone')
  vms = TpuVm(of, arguments.zone, arguments.project, tuple(arguments.option or ()))
  vms.secrets()  # all are set
  sent = vms.sent(constraints())
  if arguments.dry_run:
    _print_files(sent)
    requirement, wheel = package(arguments.package, _extras(of), Path('FOLDER'), build=False)
    files = [Path('FOLDER') / name for name in (*sent, *(['secrets'] if of.secrets else []))]
    print('\n'.join(map(shlex.join, vms.whole(requirement, python_version(), [*files, *filter(None, [wheel])]))))
    return 0
  with tempfile.TemporaryDirectory() as folder:
    requirement, wheel = package(arguments.package, _extras(of), Path(folder))
    ready()
    files = [*_written(sent, Path(folder)), *filter(None, [wheel])]
    logs = local_path(arguments.logs or f'logs-{of.name}', '--logs')
    vm_run = TpuVmRun(vms, requirement, python_version(), files, logs, show_line, lambda line: show_line(f'[0] {line}'))
    with vm_run.stopped_by_signals():
      try:
        code = vm_run.run(arguments.restarts)
        if not arguments.keep:
          vm_run.delete()
      except CodemixError as error:
        raise type(error)(f'{error} Machines are not deleted; to delete them: {shlex.join(vms.delete())}') from None
  if arguments.keep:
    show_line(f'the machines cost until they are deleted: {shlex.join(vms.delete())}')
  return code


def _xpk(of: Specification, arguments: argparse.Namespace, ready: Callable[[], None]) -> int:
  from codemix.launch.client import show
  from codemix.launch.xpk import command, make_way

  _required(arguments, 'image', 'cluster')
  place = [f'--{flag}={value}' for flag in ('zone', 'project') if (value := getattr(arguments, flag))]
  options = [*place, *(arguments.option or ())]
  words = command(of, arguments.image, arguments.cluster, options)
  if arguments.dry_run:
    _print_files({'the script in --command': of.script()})
    print(shlex.join(words))
    return 0
  ready()
  make_way(of.name, arguments.cluster, options, show_line)
  show(words)
  if of.spot:
    show_line(f'XPK counts preemptions as failures: after {of.restarts} of both the workload ends, and the same command goes on')
  return 0


def _jobset(of: Specification, arguments: argparse.Namespace, ready: Callable[[], None]) -> int:
  from codemix.launch.jobset import cluster_of, manifest
  from codemix.launch.jobset_start import logs, start

  _required(arguments, 'image')
  cluster = cluster_of(arguments.option or ())
  text = manifest(of, arguments.image, cluster)  # with errors of its flags
  if arguments.dry_run:
    print(text, end='')
    return 0
  ready()
  started = start(of, arguments.image, cluster, show_line)
  print(f'jobset: {of.name}{"" if started else " is at work already, and nothing was started"}; its logs: {logs(of.name, cluster)}')
  return 0


def _skypilot(of: Specification, arguments: argparse.Namespace, ready: Callable[[], None]) -> int:
  from codemix.launch.client import show
  from codemix.launch.skypilot import command, require_free, task
  from codemix.launch.yaml_text import as_yaml

  if arguments.image and arguments.package:
    raise UserError('--image has codemix, and --package installs it: give one of them.')
  options = arguments.option or ()
  with tempfile.TemporaryDirectory() as temporary:
    folder = Path('FOLDER' if arguments.dry_run else temporary)
    text = as_yaml(task(of, arguments.image) if arguments.image else task(of, installed=_packed(of, arguments, folder), sent=folder))
    if arguments.dry_run:
      print(f'{text}# {shlex.join(command(of, Path("TASK.yaml"), options))}')
      return 0
    ready()
    require_free(of.name, show_line)
    with tempfile.NamedTemporaryFile('w', suffix='.yaml') as file:  # beside the folder, which is sent whole
      file.write(text)
      file.flush()
      show(command(of, Path(file.name), options))
  return 0


def _packed(of: Specification, arguments: argparse.Namespace, folder: Path) -> tuple[str, str]:
  """Fills the folder that SkyPilot sends, unless in a dry run; returns the arguments of its setup.sh."""
  from codemix.launch.package import constraints, package, python_version
  from codemix.launch.skypilot import sent

  requirement, wheel = package(arguments.package, _extras(of), folder, build=not arguments.dry_run)
  if not arguments.dry_run:
    _written(sent(constraints()), folder)
    if wheel and wheel.parent != folder:
      shutil.copy(wheel, folder)
  return python_version(), requirement


def _extras(of: Specification) -> str:
  """Of codemix, for the machines of a run."""
  return 'tpu,gcs' if isinstance(of.accelerators, Tpus) else 'gpu,gcs'


def _written(files: Mapping[str, str], folder: Path) -> list[Path]:
  for name, text in files.items():
    (folder / name).write_text(text)
  return [folder / name for name in files]


def _print_files(files: Mapping[str, str]) -> None:
  for name, text in files.items():
    print(f'# {name}\n{text}')


PLACES = {'tpu_vm': _tpu_vm, 'xpk': _xpk, 'jobset': _jobset, 'skypilot': _skypilot}
