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
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  experiment = load_experiment(arguments)

  from codemix.studies.preparation import prepare_study

  stores = prepare_study(experiment.study, experiment.data, show_line)
  described = {
    f'{task} {split}': {
      'folder': str(store.folder),
      'documents': store.documents,
      'bytes': store.bytes,
      'tokens': store.tokens,
      'digest': store.digest,
    }
    for (task, split), store in stores.items()
  }
  if arguments.format == 'json':
    print(json.dumps(described, indent=1))
    return
  for name, store in described.items():
    print(
      f'{name}: {store["documents"]:,} documents, {store["bytes"]:,} bytes, {store["tokens"]:,} tokens '
      f'({store["bytes"] / store["tokens"]:.2f} bytes a token), in {store["folder"]}'
    )
