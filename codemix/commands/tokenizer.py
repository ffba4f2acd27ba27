"""`codemix tokenizer`."""

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
  parser.add_argument('action', choices=('train', 'describe'), help='train it if it does not exist, or describe it')
  add_gin_arguments(parser)
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  experiment = load_experiment(arguments)
  data = experiment.data
  if arguments.action == 'train':
    from codemix.data.raw.tensorflow_import import suppress_stderr

    with suppress_stderr():
      from codemix.data.prepare.source import train_tokenizer

    tokenizer = train_tokenizer(data, show_line, asked_for=True)
  else:
    tokenizer = data.load_tokenizer()
  described = {
    'path': None if data.tokenizer == 'bytes' else str(data.tokenizer_path),
    'kind': tokenizer.kind,
    'entries': tokenizer.vocab_size,
    'bos_id': tokenizer.bos_id,
    'eos_id': tokenizer.eos_id,
    'pad_id': tokenizer.pad_id,
    'sha256': tokenizer.digest,
    'changes': list(tokenizer.changes),
  }
  if arguments.format == 'json':
    print(json.dumps(described, indent=1))
  else:
    described['changes'] = '; '.join(tokenizer.changes) or 'nothing in text'
    print('\n'.join(f'{key}: {value}' for key, value in described.items()))
