"""`codemix inspect`."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from codemix.commands.experiment import (
  Experiment,
  add_format_argument,
  add_gin_arguments,
  load_experiment,
)
from codemix.commands.written import STORE, find_written
from codemix.errors import UserError
from codemix.studies.planning import StudyPlan, plan_study
from codemix.studies.stage_names import find_stage
from codemix.training.goodput import read_times, total
from codemix.training.stage import StagePlan, stage_folder

SHOWN_DOCUMENTS = 5
SHOWN_CHARACTERS = 100  # of a row's text, on a line


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('store', nargs='*', metavar='CACHE', help='folders of token stores: shows their documents and lengths')
  add_gin_arguments(parser)
  parser.add_argument('--stage', metavar='NAME', help='a stage by name, or by the beginning of its hash')
  # One question at a time: a second one would get no answer.
  asked = parser.add_mutually_exclusive_group()
  asked.add_argument('--step', type=int, metavar='N', help='show the rows of this step of --stage, counted from 1')
  asked.add_argument('--find', metavar='TEXT', help='name the steps that read this passage, in --stage or in all stages')
  asked.add_argument('--check', action='store_true', help='compare the ledgers of finished stages with the plan, computed anew')
  asked.add_argument('--time', action='store_true', help='show where the time of the stages went, or of --stage, over all processes that worked on them')
  asked.add_argument('--model', action='store_true', help='show parameters, FLOPs and memory of the models alone; needs no data')
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  if arguments.store:
    _refuse_questions_about_a_study(arguments)
    return _print(_stores(arguments), arguments.format, _store_lines)
  by_stage = arguments.find is not None or arguments.step is not None or arguments.time
  if arguments.stage is not None and not by_stage:
    raise UserError(f"--stage={arguments.stage}: add --step=N, --find=TEXT or --time, to say what of the stage to show.")
  if arguments.model:
    from codemix.commands.model import show_models

    return show_models(arguments)
  experiment = load_experiment(arguments)
  if not by_stage and not arguments.check:
    return _show_plan(experiment, arguments.format)
  plan = plan_study(experiment.study, experiment.data)
  stages = plan.stages() if arguments.stage is None else [find_stage(arguments.stage, plan.stages())]
  if arguments.find is not None:
    _print(_places(plan, stages, arguments), arguments.format, _place_lines)
  elif arguments.step is not None:
    if arguments.stage is None:
      raise UserError(f'--step wants --stage, one of {", ".join(sorted({p.name for p in stages}))}.')
    from codemix.studies.trace import trace_step

    _print(trace_step(plan, stages[0], arguments.step), arguments.format, _row_lines)
  elif arguments.check:
    from codemix.studies.verify import check_ledgers

    checked = check_ledgers(plan, experiment.runtime.output)
    _print(checked, arguments.format, lambda line: [f'{line["stage"]}: {line["ledger"]}'])
  else:
    times = list(stage_times(experiment.runtime.output, stages))
    if not times and arguments.format == 'text':
      print(f'no stage of this study was begun in {experiment.runtime.output}.')
    _print(times, arguments.format, lambda line: [f'{line["stage"]}: {line["summary"]}'])


def _refuse_questions_about_a_study(arguments: argparse.Namespace) -> None:
  for name in ('gin_file', 'gin_bindings', 'stage', 'step', 'find', 'check', 'time', 'model'):
    value = getattr(arguments, name)
    if value is not None and value is not False and value != []:
      flag = '--gin.NAME' if name == 'gin_bindings' else f'--{name}'
      raise UserError(f'{flag} asks about a recipe or study, and {arguments.store[0]} about a token store: give one of the two.')


def _show_plan(experiment: Experiment, form: str) -> None:
  """Shows the plan of the study; raises the UserError that `codemix train` would raise."""
  from codemix.parallel.mesh import make_mesh
  from codemix.studies.preflight import check_machine, check_unlocked, preflight
  from codemix.studies.preparation import check_sources
  from codemix.studies.show import show_plan

  runtime = experiment.runtime
  mesh = make_mesh(runtime.mesh)
  # In the order of `codemix train`, which prepares between the two.
  check_machine(experiment.study, runtime, mesh, keep_folders=False)
  check_sources(experiment.study, experiment.data)
  ready = preflight(experiment.study, experiment.data, runtime, mesh, keep_folders=False)
  if form == 'json':
    print(json.dumps(_describe(ready.plan), indent=1))
  else:
    show_plan(ready.plan, ready.validation, runtime.placement(mesh), runtime.output, sys.stdout)
  check_unlocked(ready.plan.stages(), runtime)


def _print(records: Iterable[dict], form: str, lines: Callable[[dict], Iterable[str]]) -> None:
  if form == 'json':
    print(json.dumps(list(records), indent=1))
    return
  for record in records:  # each as soon as it is found
    for line in lines(record):
      print(line)


def _row_lines(row: dict) -> Iterator[str]:
  documents = row['documents']
  named = f'document {documents[0]:,}' if len(documents) == 1 else f'documents {documents[0]:,} to {documents[-1]:,}'
  yield f'{row["source"]} epoch {row["epoch"]} row {row["row"]:,} ({named}): {_one_line(row["text"])}'


def _one_line(text: str) -> str:
  """The beginning of a text, with escape sequences as text so that no terminal executes them."""
  shown = ' '.join(text.split())[:SHOWN_CHARACTERS]
  return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in shown)


def _places(plan: StudyPlan, stages: list[StagePlan], arguments: argparse.Namespace) -> Iterator[dict]:
  from codemix.studies.trace import trace_text

  found = trace_text(plan, stages, arguments.find)
  first = next(found, None)
  if first is None and arguments.format == 'text':
    sources = {draw.source for stage_plan in stages for draw in stage_plan.draws}
    print(f'no document of {", ".join(sorted(sources))} holds this passage.')
  yield from () if first is None else itertools.chain([first], found)


def _place_lines(place: dict) -> Iterator[str]:
  times = f' ({place["times"]:,} times)' if place['times'] > 1 else ''
  where = f'{place["source"]} document {place["document"]:,}{times}'
  if not place['seen']:
    yield f'{where}: no step read it'
  for seen in place['seen']:
    yield f'{where}: stage {seen["stage"]} step {seen["step"]:,} (of the run: {seen["run_step"]:,}), row {seen["row"]} of the batch, epoch {seen["epoch"]}'


def _stores(arguments: argparse.Namespace) -> Iterator[dict]:
  from codemix.data.store.describe import describe, find_tokenizer, first_documents
  from codemix.data.store.token_store import open_store

  for _, folder in find_written(arguments.store, (STORE,)):
    store = open_store(folder)
    tokenizer = find_tokenizer(store)
    yield {
      **describe(store),
      'accounts': store.manifest.get('accounts'),
      'first_documents': first_documents(store, tokenizer, SHOWN_DOCUMENTS) if tokenizer else [],
    }


def _store_lines(store: dict) -> Iterator[str]:
  yield f'{store["folder"]}: {store["task"]} {store["split"]}'
  yield (
    f'  {store["documents"]:,} documents, {store["tokens"]:,} tokens, {store["bytes"]:,} bytes '
    f'({store["bytes"] / store["tokens"]:.2f} bytes a token), digest {store["digest"][:12]}'
  )
  if 'loss_tokens' in store:
    yield f'  {store["loss_tokens"]:,} of the tokens ({store["loss_tokens"] / store["tokens"]:.1%}) count in the loss; the others are prompts'
  for unit in ('tokens', 'bytes'):
    spread = store['lengths'][unit]
    quantiles = ', '.join(f'{float(q):.0%} {value:,}' for q, value in spread['quantiles'].items())
    yield f'  {unit} of a document: mean {spread["mean"]:,.1f}; quantiles {quantiles}'
  for begin, documents, tokens in store['lengths']['histogram']:
    bar = '█' * round(40 * tokens / store['tokens'])
    yield f'  {begin:>10,} tokens and more: {documents:>11,} documents, {tokens / store["tokens"]:7.2%} of the tokens {bar}'
  for number, text in enumerate(store['first_documents']):
    yield f'  document {number}: {_one_line(text)}'


def stage_times(output: str, stages: Iterable[StagePlan]) -> Iterator[dict]:
  """The time account of each stage that was begun, and of all of them together."""
  folders = [stage_folder(output, stage_plan) for stage_plan in stages]
  found = {folder.name: times for folder in folders if (times := read_times(folder))}
  if len(found) > 1:
    found['all stages'] = total(found.values())
  for stage, times in found.items():
    yield {'stage': stage, **dataclasses.asdict(times), 'goodput': times.goodput, 'summary': str(times)}


def _describe(plan: StudyPlan) -> dict:
  return {
    name: [
      {
        'stage': p.stage.name,
        'hash': p.hash,
        'steps': p.steps,
        'tokens': p.tokens,
        'remainder_tokens': p.remainder_tokens,
        **({'start': p.start.describe()} if p.start else {}),
        'rates': [float(rate) for rate in p.rates[np.linspace(0, p.steps - 1, min(p.steps, 9)).astype(int)]],
        'sources': [draw.as_json() for draw in p.draws],
      }
      for p in plans
    ]
    for name, plans in plan.recipes.items()
  }
