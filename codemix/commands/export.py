"""`codemix export`."""

from __future__ import annotations

import argparse
import json
import re

from codemix.commands.experiment import add_format_argument
from codemix.errors import UserError
from codemix.storage import as_path, local_path

_UNITS = {'': 1, 'B': 1, 'KB': 10**3, 'MB': 10**6, 'GB': 10**9}


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('stage', metavar='STAGE_FOLDER', help="a finished stage's folder")
  parser.add_argument('out', metavar='OUT', help='the folder to write, on a disk or in a bucket')
  parser.add_argument('--dtype', choices=('float32', 'bfloat16'), default='float32', help='in which the weights are stored')
  parser.add_argument('--shard_size', metavar='SIZE', default='5GB', help='the most bytes of a file of weights, such as 500MB')
  parser.add_argument('--overwrite', action='store_true', help='replace an earlier export')
  parser.add_argument('--without_tokenizer', action='store_true', help='write the model alone')
  parser.add_argument('--verify_with', metavar='PYTHON', help='a Python with torch and transformers, which loads what was written')
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  shard_bytes = _bytes(arguments.shard_size)

  from codemix.huggingface.export import Export, export_stage

  out = as_path(arguments.out)
  how = Export(
    dtype=arguments.dtype,
    shard_bytes=shard_bytes,
    overwrite=arguments.overwrite,
    without_tokenizer=arguments.without_tokenizer,
    verify_with=local_path(arguments.verify_with, '--verify_with') if arguments.verify_with else None,
  )
  kind, verified = export_stage(as_path(arguments.stage), out, how)
  if arguments.format == 'json':
    print(json.dumps({'folder': str(out), 'class': kind.architecture, 'verified': verified._asdict()}, indent=1))
    return
  print(
    f'{out}: {kind.architecture}, {arguments.dtype}; verified by {verified.by}: over {verified.tokens:,} tokens no logit differs by more '
    f'than {verified.difference:.1g} (the largest is {verified.largest:.3g})'
  )


def _bytes(size: str) -> int:
  """'500MB' -> 500,000,000, with the units of transformers."""
  match = re.fullmatch(r'(\d+)\s*([KMG]?B|)', size.strip(), re.ASCII | re.IGNORECASE)
  if not match or not int(match[1]):
    raise UserError(f"--shard_size is '{size}': write a number of bytes, such as 500MB or 5GB.")
  return int(match[1]) * _UNITS[match[2].upper()]
