"""`codemix bench`."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import json
import platform
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from codemix import config
from codemix.commands.experiment import add_format_argument, add_gin_arguments, parse_gin, show_line
from codemix.errors import UserError, nearest
from codemix.storage import as_path, is_remote, remove, require_writable

# Modules of codemix.benchmarks, each with Size and measure(folder, size); some take a model too.
BENCHMARKS = ('attention', 'checkpoint', 'data', 'generation', 'hosts', 'loop', 'loss', 'matmul', 'scoring', 'soak', 'start', 'step')
OF_A_MODEL = ('scoring', 'step')
IN_A_BUCKET = ('data', 'hosts', 'soak')  # those that also measure a bucket


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('what', metavar='WHAT', help=f'what to measure: {", ".join(BENCHMARKS)}')
  parser.add_argument('--folder', metavar='DIR', help=f'where temporary files are written: a fast local disk, or for {", ".join(IN_A_BUCKET)} also a folder of a bucket')
  parser.add_argument(
    '--size', action='append', default=[], metavar='NAME=NUMBER', help='how much of something is measured, as in --size=batches=1000'
  )
  add_gin_arguments(parser)
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  if arguments.what not in BENCHMARKS:
    raise UserError(f"there is no benchmark '{arguments.what}'; there is {', '.join(BENCHMARKS)}.{nearest(arguments.what, BENCHMARKS)}")
  benchmark = importlib.import_module(f'codemix.benchmarks.{arguments.what}')
  size = given_size(benchmark.Size, arguments.size)
  given = given_model(arguments)
  figures = []
  with temporary_folder(arguments) as folder:
    for figure in benchmark.measure(folder, size, **given):
      figures.append({**dataclasses.asdict(figure), 'reached': figure.reached})
      if arguments.format == 'text':
        print(figure)
  show_line(f'measured on {_machine()}')
  if arguments.format == 'json':
    print(json.dumps({'benchmark': arguments.what, 'size': dataclasses.asdict(size), 'figures': figures}, indent=1))


@contextlib.contextmanager
def temporary_folder(arguments: argparse.Namespace) -> Iterator[Path]:
  """An empty folder in --folder, on a disk or in a bucket; what is written there is deleted."""
  if is_remote(arguments.folder or ''):
    if arguments.what not in IN_A_BUCKET:
      raise UserError(f"--folder: 'bench {arguments.what}' measures nothing of a bucket; {', '.join(IN_A_BUCKET)} do.")
    require_writable(folder := as_path(arguments.folder) / f'bench-{secrets.token_hex(8)}', 0)
    try:
      yield folder
    finally:
      remove(folder)
    return
  if arguments.folder and not Path(arguments.folder).is_dir():
    raise UserError(f'--folder: {arguments.folder} is not a folder.')
  with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
    yield Path(folder)


def given_model(arguments: argparse.Namespace) -> dict[str, object]:
  """The model of the gin files and flags, as an argument of `measure`; empty without any."""
  if not (arguments.gin_file or arguments.gin_bindings):
    return {}
  if arguments.what not in OF_A_MODEL:
    flag = '--gin_file' if arguments.gin_file else f'--gin.{arguments.gin_bindings[0].partition("=")[0]}'
    others = ' and '.join(f"'bench {name}'" for name in OF_A_MODEL)
    raise UserError(f"{flag}: 'bench {arguments.what}' measures no model of yours; {others} do.")
  parse_gin(arguments)
  model = config.build('ModelConfig')
  config.check_used()
  return {'model': model}


def _machine() -> str:
  import jax

  devices = jax.devices()
  python = f'{platform.python_implementation()} {platform.python_version()}'
  return f'{len(devices)} x {devices[0].device_kind} ({platform.machine()}, {python}, jax {jax.__version__})'


def given_size(form: type, settings: list[str]):
  """The benchmark's `Size`, with the numbers given on the command line."""
  names = [field.name for field in dataclasses.fields(form)]
  given = {}
  for setting in settings:
    name, _, value = setting.partition('=')
    number = _count(value)
    if name not in names or number is None:
      raise UserError(f'--size={setting}: write NAME=NUMBER with one of {", ".join(names)}.{nearest(name, names)}')
    given[name] = number
  return form(**given)


def _count(text: str) -> int | None:
  """A number from 0 as Python writes it; None: `text` is not one."""
  try:
    number = int(text)
  except ValueError:
    return None
  return number if number >= 0 else None
