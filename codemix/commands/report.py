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
  parser.add_argument('--from', dest='files', metavar='RATIOS,METRICS', help="two files about other people's runs, joined by their column 'run': shares of domains, and figures of tasks")
  parser.add_argument('--code', metavar='PATTERNS', help="with --from: the domains of code, comma-separated, as in --code='stack-edu:*'")
  parser.add_argument('--groups', action='append', metavar='NAME=PATTERNS', help="with --from: a group of tasks, as in --groups='MBPP=mbpp*,mt_mbpp*'; may be repeated")
  parser.add_argument('--metric', choices=('bits_per_byte', 'score'), help='with --from: what the figures are; lower is better of bits_per_byte, the default')
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  if arguments.files is not None:
    return _report_swarm(arguments)
  if given := [f'--{name}' for name in ('code', 'groups', 'metric') if getattr(arguments, name)]:
    raise UserError(f'{given[0]} is about the files of --from: give --from=ratios.csv,metrics.csv, or leave it out.')
  from codemix.report.write import write_report

  report = write_report(as_path(arguments.output or OUTPUT))
  print(json.dumps({'report': str(report)}) if arguments.format == 'json' else f'report: {report}')


def _report_swarm(arguments: argparse.Namespace) -> None:
  from codemix.report.swarm.write import write_swarm_report

  code = [pattern.strip() for pattern in (arguments.code or '').split(',') if pattern.strip()]
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
