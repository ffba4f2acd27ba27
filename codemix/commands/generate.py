"""`codemix generate`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from codemix.commands.experiment import add_format_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('--stage', required=True, metavar='DIR', help="a finished stage's folder")
  parser.add_argument('--prompt', action='append', required=True, metavar='TEXT', help='may be repeated')
  parser.add_argument('--max_new_tokens', type=int, default=64, metavar='N')
  parser.add_argument('--temperature', type=float, default=0.0, metavar='T', help='0 is greedy (default)')
  parser.add_argument('--top_k', type=int, default=0, metavar='K', help='0 is all (default)')
  parser.add_argument('--top_p', type=float, default=1.0, metavar='P', help='1 is all (default)')
  parser.add_argument('--seed', type=int, default=0)
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  from codemix.parallel.mesh import MeshConfig, make_mesh
  from codemix.studies.load_stage import load_stage

  options = {name: getattr(arguments, name) for name in ('max_new_tokens', 'temperature', 'top_k', 'top_p', 'seed')}
  model = load_stage(Path(arguments.stage)).model(make_mesh(MeshConfig()))
  texts = model.continue_texts(arguments.prompt, **options)
  pairs = list(zip(arguments.prompt, texts, strict=True))
  if arguments.format == 'json':
    print(json.dumps([{'prompt': prompt, 'text': text} for prompt, text in pairs], indent=1))
    return
  for prompt, text in pairs:
    print(f'{prompt}{text}')
