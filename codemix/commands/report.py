"""`codemix report`."""

from __future__ import annotations

import argparse
import json

from codemix.commands.experiment import add_format_argument, show_line
from codemix.errors import UserError
from codemix.storage import as_path

OUTPUT = 'runs'  # of a study
SWARM_OUTPUT = 'runs/swarm'


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    '--output', metavar='DIR', help=f'the folder of the study (Runtime.output), {OUTPUT} by default; with --from the folder of the report, {SWARM_OUTPUT} by default'
  )
  parser.add_argument('--files', dest='as_files', action='store_true', help='also write report_files/: the pictures as SVG, PNG and CSV files, the tables as LaTeX, the rows as parquet')
  parser.add_argument('--equal_points', type=float, metavar='X', help='also say which changes of scores are shown to be smaller than X points')
  parser.add_argument('--equal_percent', type=float, metavar='X', help='also say which changes of bits per byte are shown to be smaller than X percent')
  parser.add_argument('--from', dest='files', metavar='RATIOS,METRICS', help="two files about other people's runs, joined by their column 'run': shares of domains, and figures of tasks")
  parser.add_argument('--code', metavar='PATTERNS', help="with --from: the domains of code, comma-separated, as in --code='stack-edu:*'")
  parser.add_argument('--groups', action='append', metavar='NAME=PATTERNS', help="with --from: a group of tasks, as in --groups='MBPP=mbpp*,mt_mbpp*'; may be repeated")
  parser.add_argument('--metric', choices=('bits_per_byte', 'score'), help='with --from: what the figures are; lower is better of bits_per_byte, the default')
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  if arguments.files is not None:
    of_study = {'--files': arguments.as_files, '--equal_points': arguments.equal_points, '--equal_percent': arguments.equal_percent}
    if wrong := [name for name, value in of_study.items() if value not in (None, False)]:
      raise UserError(f'{wrong[0]} is about the report of a study: leave it out with --from.')
    return _report_swarm(arguments)
  if given := [f'--{name}' for name in ('code', 'groups', 'metric') if getattr(arguments, name) is not None]:
    raise UserError(f'{given[0]} is about the files of --from: give --from=ratios.csv,metrics.csv, or leave it out.')
  for name in ('equal_points', 'equal_percent'):
    value = getattr(arguments, name)
    if value is not None and not 0 < value < 100:
      raise UserError(f'--{name}={value:g}: give the largest difference that does not matter, a number above 0 and below 100.')
  from codemix.report.write import write_report

  report = write_report(as_path(arguments.output or OUTPUT), files=arguments.as_files, equal_points=arguments.equal_points, equal_percent=arguments.equal_percent)
  print(json.dumps({'report': str(report)}) if arguments.format == 'json' else f'report: {report}')


def _report_swarm(arguments: argparse.Namespace) -> None:
  from codemix.report.swarm.write import write_swarm_report

  code = [pattern.strip() for pattern in (arguments.code or '').split(',') if pattern.strip()]
  if arguments.code is not None and not code:
    raise UserError(f"--code={arguments.code} names no domain: give patterns, as in --code='stack-edu:*', or leave it out for the domains that are of code by their names.")
  report, content = write_swarm_report(
    arguments.files, arguments.output or SWARM_OUTPUT, code, arguments.groups or (), arguments.metric or 'bits_per_byte'
  )
  for sentence in (*content.left_out, *content.notes):
    show_line(sentence)
  if arguments.format == 'json':
    print(json.dumps({'report': str(report), 'code': content.swarm.code, 'verdicts': {effect.name: effect.verdict for effect in content.groups}}))
    return
  from codemix.report.swarm.summary import print_summary

  print_summary(content)
  print(f'report: {report}')
