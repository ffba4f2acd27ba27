"""`codemix import`.

The module is named for its verb, which Python's import statement cannot name; `codemix.cli` imports it
by that name.
"""

from __future__ import annotations

import argparse
import json

from codemix.commands.experiment import add_format_argument, show_line
from codemix.storage import as_path, local_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('folder', metavar='HF_FOLDER', help='a folder with config.json, safetensors and tokenizer.json')
  parser.add_argument('out', metavar='OUT', help='the folder to write, on a disk or in a bucket')
  parser.add_argument('--length', type=int, metavar='N', help='tokens of a row (default: max_position_embeddings)')
  parser.add_argument('--dtype', choices=('float32', 'bfloat16'), help='of activations (default: as the weights are stored)')
  parser.add_argument('--overwrite', action='store_true', help='replace an earlier import')
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  from codemix.huggingface.importing import import_model

  out = as_path(arguments.out)
  found = import_model(
    local_path(arguments.folder, 'HF_FOLDER'), out, overwrite=arguments.overwrite, length=arguments.length, dtype=arguments.dtype
  )
  kind, tokenizer = found.described.kind.architecture, found.tokenizer.tokenizer
  for note in found.notes:
    show_line(f'  {note}')
  if arguments.format == 'json':
    counts = {'parameters': found.parameters, 'length': found.length, 'notes': found.notes}
    print(json.dumps({'folder': str(out), 'class': kind, **counts}, indent=1))
    return
  print(
    f'{out}: {kind}, {found.parameters:,} parameters, rows of {found.length:,} tokens, {tokenizer.kind} tokenizer '
    f'with {tokenizer.vocab_size:,} entries'
  )
