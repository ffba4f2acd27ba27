"""`codemix bench`."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import platform
import tempfile
from pathlib import Path

from codemix.commands.experiment import add_format_argument, show_line
from codemix.errors import UserError, nearest

BENCHMARKS = ('attention', 'data')  # modules of codemix.benchmarks, each with Size and measure(folder, size)


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('what', metavar='WHAT', help=f'what to measure: {", ".join(BENCHMARKS)}')
  parser.add_argument('--folder', metavar='DIR', help='where the files that are measured are made, and deleted again; a fast local disk')
  parser.add_argument(
    '--size', action='append', default=[], metavar='NAME=NUMBER', help='how much of something is measured, as in --size=batches=1000'
  )
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  if arguments.what not in BENCHMARKS:
    raise UserError(f"there is no benchmark '{arguments.what}'; there is {', '.join(BENCHMARKS)}.{nearest(arguments.what, BENCHMARKS)}")
  benchmark = importlib.import_module(f'codemix.benchmarks.{arguments.what}')
  size = _size(benchmark.Size, arguments.size)
  if arguments.folder and not Path(arguments.folder).is_dir():
    raise UserError(f'--folder: {arguments.folder} is no folder.')
  show_line(f'{platform.machine()}, {platform.python_implementation()} {platform.python_version()}')
  figures = []
  with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
    for figure in benchmark.measure(Path(folder), size):
      figures.append({**dataclasses.asdict(figure), 'reached': figure.reached})
      if arguments.format == 'text':
        print(figure)
  if arguments.format == 'json':
    print(json.dumps({'benchmark': arguments.what, 'size': dataclasses.asdict(size), 'figures': figures}, indent=1))


def _size(form: type, settings: list[str]):
  """The benchmark's sizes, with those given on the command line."""
  names = [field.name for field in dataclasses.fields(form)]
  given = {}
  for setting in settings:
    name, _, value = setting.partition('=')
    if name not in names or not value.replace('_', '').isdigit() or not int(value):
      raise UserError(f'--size={setting}: write NAME=NUMBER with one of {", ".join(names)}.{nearest(name, names)}')
    given[name] = int(value)
  return form(**given)
