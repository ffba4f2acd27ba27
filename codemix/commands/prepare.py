"""`codemix prepare`."""

from __future__ import annotations

import argparse
import json

from codemix.commands.experiment import (
  add_format_argument,
  add_gin_arguments,
  load_experiment,
  show_line,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add_gin_arguments(parser)
  parser.add_argument('--again', action='store_true', help='write each token store again, even if it exists: for changes that codemix cannot see, such as in a file that a function of yours reads')
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  experiment = load_experiment(arguments)

  from codemix.studies import preparation_table
  from codemix.studies.preparation import prepare_study

  stores = prepare_study(experiment.study, experiment.data, show_line, arguments.again)
  if arguments.format == 'json':
    described = {f'{name} {split}': preparation_table.describe(store) for (name, split), store in stores.items()}
    print(json.dumps(described, indent=1))
  else:
    preparation_table.show(stores)
