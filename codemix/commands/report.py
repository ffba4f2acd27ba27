"""`codemix report`."""

from __future__ import annotations

import argparse
import json

from codemix.commands.experiment import add_format_argument
from codemix.storage import as_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('--output', default='runs', metavar='DIR', help='the folder of the study (Runtime.output)')
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  from codemix.report.write import write_report

  report = write_report(as_path(arguments.output))
  print(json.dumps({'report': str(report)}) if arguments.format == 'json' else f'report: {report}')
