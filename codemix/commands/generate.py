"""`codemix generate`."""

from __future__ import annotations

import argparse
import dataclasses
import json

from codemix.commands.experiment import add_format_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('--stage', required=True, metavar='DIR', help="a finished stage's folder")
  parser.add_argument('--prompt', action='append', required=True, metavar='TEXT', help='may be repeated')
  parser.add_argument('--max_new_tokens', type=int, default=64, metavar='N')
  parser.add_argument('--temperature', type=float, default=0.0, metavar='T', help='0 is greedy (default)')
  parser.add_argument('--top_k', type=int, default=0, metavar='K', help='0 is all (default)')
  parser.add_argument('--top_p', type=float, default=1.0, metavar='P', help='1 is all (default)')
  parser.add_argument('--stop', action='append', metavar='TEXT', help='end before this text; may be repeated')
  parser.add_argument('--samples', type=int, default=1, metavar='N', help='continuations of each prompt (default: 1)')
  parser.add_argument('--seed', type=int, default=0)
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  from codemix.models.decoding import Decoding
  from codemix.studies.load_stage import load_stage

  options = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(Decoding)}
  decoding = Decoding(**options | {'stop': tuple(arguments.stop or ())})
  completions = load_stage(arguments.stage).model().complete(arguments.prompt, None, decoding)
  pairs = [(prompt, one) for prompt, samples in zip(arguments.prompt, completions, strict=True) for one in samples]
  if arguments.format == 'json':
    print(json.dumps([{'prompt': prompt, 'text': one.text, 'ended_by': one.ended_by} for prompt, one in pairs], indent=1))
    return
  for prompt, one in pairs:
    print(f'{prompt}{one.text}')
