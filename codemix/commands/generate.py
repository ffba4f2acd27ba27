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
  from codemix.models.generate import generate
  from codemix.parallel.mesh import MeshConfig, make_mesh
  from codemix.studies.load_stage import open_stage

  stage = open_stage(Path(arguments.stage))
  tokenizer = stage.tokenizer
  mesh = make_mesh(MeshConfig())
  continued = generate(
    stage.model,
    stage.restore_params(mesh),
    [tokenizer.encode(prompt) for prompt in arguments.prompt],
    max_new_tokens=arguments.max_new_tokens,
    bos_id=tokenizer.bos_id,
    eos_id=tokenizer.eos_id,
    temperature=arguments.temperature,
    top_k=arguments.top_k,
    top_p=arguments.top_p,
    seed=arguments.seed,
    mesh=mesh,
  )
  texts = [tokenizer.decode(ids) for ids in continued]
  if arguments.format == 'json':
    pairs = zip(arguments.prompt, texts, strict=True)
    print(json.dumps([{'prompt': prompt, 'text': text} for prompt, text in pairs], indent=1))
    return
  for prompt, text in zip(arguments.prompt, texts, strict=True):
    print(f'{prompt}{text}')
