"""`codemix contamination`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time

from codemix.commands.experiment import (
  Experiment,
  add_format_argument,
  add_gin_arguments,
  load_experiment,
  show_line,
)
from codemix.errors import UserError
from codemix.storage import as_path

PROGRESS_S = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add_gin_arguments(parser)
  parser.add_argument(
    '--items', action='append', default=[], metavar='NAME=FILE', help='an evaluation set as it is distributed; may be repeated'
  )
  parser.add_argument(
    '--no_held_out', action='store_true', help='do not check the held-out splits that the stages are scored on'
  )
  parser.add_argument('--output', metavar='FILE', help='the file of the result; default: contamination.json in Runtime.output')
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  experiment = load_experiment(arguments, also=['Contamination'])
  from codemix.contamination import items
  from codemix.contamination.check import check
  from codemix.contamination.report import table
  from codemix.storage import write_json
  from codemix.studies.planning import plan_study, scored_names

  if experiment.data.streaming:
    raise UserError('a streamed source has no stored rows to search; set Data.streaming to False and prepare it.')
  settings = experiment.also['Contamination']
  settings = dataclasses.replace(settings, sets=(*settings.sets, *map(_evaluation_set, arguments.items)))
  plan = plan_study(experiment.study, experiment.data)
  if plan.other_lengths:
    raise UserError(f'the rows of the study have {len(plan.other_lengths) + 1} lengths, and the search is of rows of one length: bind Study.recipes to those of one Recipe.length.')
  sets = [chosen.read() for chosen in settings.sets]
  for task in () if arguments.no_held_out else scored_names(plan.study):
    store = experiment.data.open_store(task, 'validation', plan.tokenizer)
    sets.append(items.held_out(task, store, plan.tokenizer))
  path = as_path(arguments.output or as_path(experiment.runtime.output) / 'contamination.json')
  result = check(
    sets,
    plan.sources,
    _stages(experiment, plan),
    plan.tokenizer,
    path.parent,
    settings,
    experiment.data.make_workers(),
    _progress(),
  )
  write_json(path, result)
  print(json.dumps(result, indent=1) if arguments.format == 'json' else f'{table(result)}\n{path}')


def _progress():
  """Reports progress every `PROGRESS_S` seconds."""
  reported = time.monotonic()

  def progress(done: int) -> None:
    nonlocal reported
    if time.monotonic() - reported > PROGRESS_S:
      reported = time.monotonic()
      show_line(f'contamination: {done:,} parts of the consumed tokens are searched')

  return progress


def _evaluation_set(argument: str):
  from codemix.contamination.items import EvaluationSet

  name, equals, files = argument.partition('=')
  if not (name and equals and files):
    raise UserError(f"--items={argument} names no set: write --items=NAME=FILE, such as --items=gsm8k=data/gsm8k/test.jsonl.")
  return EvaluationSet(name, files)


def _stages(experiment: Experiment, plan) -> list:
  """The rows that each stage of the plan reads; the ledger of a finished stage must agree."""
  from codemix.contamination.consumed import StageDraws
  from codemix.training.stage import is_done, stage_folder
  from codemix.training.stage_record import read_ledger

  output = experiment.runtime.output
  stages = []
  for stage_plan in plan.stages():
    folder = stage_folder(output, stage_plan)
    draws = {draw.source: (draw.cursor, draw.rows) for draw in stage_plan.draws}
    finished = is_done(output, stage_plan)
    if finished:
      realised = {entry['source']: entry['rows'] for entry in read_ledger(folder)['realised']}
      if realised != {source: rows for source, (_, rows) in draws.items()}:
        raise UserError(f'{folder}/ledger.json does not agree with its recipe; `codemix inspect --check` shows the difference.')
    lineage = tuple(stage_folder(output, ancestor).name for ancestor in stage_plan.lineage())
    stages.append(StageDraws(folder.name, lineage, draws, stage_plan.seed, finished))
  return stages
