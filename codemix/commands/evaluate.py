"""`codemix evaluate`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from codemix.commands.experiment import (
  add_format_argument,
  add_gin_arguments,
  load_experiment,
  set_up_jax,
)
from codemix.errors import UserError
from codemix.formatting import count


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add_gin_arguments(parser)
  parser.add_argument('--stage', metavar='NAME', help='only stages of this name, or whose hash begins so')
  parser.add_argument(
    '--contamination', metavar='FILE', help='also score the documents that are clean by what `codemix contamination` wrote'
  )
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  experiment = load_experiment(arguments)
  if not experiment.study.validation:
    raise UserError("Study.validation names no task; write Study.validation = ('local_text', 'local_code'), say.")

  if arguments.contamination:
    from codemix.contamination.clean import read_result

    read_result(Path(arguments.contamination))  # before anything is scored for hours

  from codemix.studies.preparation import prepare_in_own_process
  from codemix.studies.runner import evaluate_finished

  prepare_in_own_process(experiment.study, experiment.data, experiment.gin_arguments, experiment.warnings)
  set_up_jax(experiment.runtime)
  results = evaluate_finished(experiment.study, experiment.data, experiment.runtime, arguments.stage)
  if arguments.contamination:
    from codemix.contamination.clean_scores import clean_scores

    for folder, result in results.items():
      result['clean'] = clean_scores(Path(folder), result['sources'], Path(arguments.contamination))
  if arguments.format == 'json':
    print(json.dumps(results, indent=1))
    return
  for folder, result in results.items():
    print(folder)
    for name, score in result['sources'].items():
      print(f'  {name}: {_scores(score)}')
      if clean := result.get('clean', {}).get(name):
        left_out = f'{count(clean["left_out"], "document")} left out'
        print(f'    clean: {_scores(clean) if clean["documents"] else "no document"}, {left_out}')


def _scores(score: dict) -> str:
  documents = count(score['documents'], 'document')
  if 'of_documents' in score:
    documents = f'{score["documents"]:,} of {count(score["of_documents"], "document")}'
  return (
    f'{score["bits_per_byte"]:.4f} bits per byte, {score["loss"]:.4f} nats a token, '
    f'{documents}, {score["tokens"]:,} tokens'
  )
