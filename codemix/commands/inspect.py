"""`codemix inspect`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from codemix.commands.experiment import (
  Experiment,
  add_format_argument,
  add_gin_arguments,
  load_experiment,
)
from codemix.errors import UserError, nearest
from codemix.studies.planning import StudyPlan, plan_study
from codemix.training.stage import StagePlan

SHOWN_DOCUMENTS = 5
SHOWN_CHARACTERS = 100  # of a row's text, on a line


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('store', nargs='*', metavar='CACHE', help='folders of token stores: shows their documents and lengths')
  add_gin_arguments(parser)
  parser.add_argument('--stage', metavar='NAME', help='a stage by name, or by the beginning of its hash')
  # One question at a time: of two, one would not be answered.
  asked = parser.add_mutually_exclusive_group()
  asked.add_argument('--step', type=int, metavar='N', help='show the rows of this step of --stage, counted from 1')
  asked.add_argument('--find', metavar='TEXT', help='name the steps that read this passage, in --stage or in all stages')
  asked.add_argument('--check', action='store_true', help='compare the ledgers of finished stages with the plan, computed anew')
  asked.add_argument('--time', action='store_true', help='say where the time of the stages went, or of --stage, over all processes that worked on them')
  asked.add_argument('--model', action='store_true', help='show parameters, FLOPs and memory of the models alone; needs no data')
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  if arguments.store:
    _print(_stores(arguments), arguments.format, _store_lines)
    return
  if arguments.model:
    from codemix.commands.model import show_models

    return show_models(arguments)
  if arguments.stage and arguments.step is None and arguments.find is None and not arguments.time:
    raise UserError(f"--stage={arguments.stage}: add --step=N, --find=TEXT or --time, to say what of the stage to show.")
  experiment = load_experiment(arguments)
  plan = plan_study(experiment.study, experiment.data)
  if arguments.find is not None:
    _print(_places(plan, arguments), arguments.format, _place_lines)
  elif arguments.step is not None:
    from codemix.studies.seen import rows_of_step

    _print(rows_of_step(plan, _find_stage(plan, arguments.stage), arguments.step), arguments.format, _row_lines)
  elif arguments.check:
    _print(_check_ledgers(experiment, plan), arguments.format, lambda line: [f'{line["stage"]}: {line["ledger"]}'])
  elif arguments.time:
    _print(_times(experiment, plan, arguments), arguments.format, lambda line: [f'{line["stage"]}: {line["told"]}'])
  elif arguments.format == 'json':
    print(json.dumps(_describe(plan), indent=1))
  else:
    from codemix.parallel.mesh import make_mesh
    from codemix.studies.announce import show_plan

    runtime = experiment.runtime
    show_plan(plan, runtime.placement(make_mesh(runtime.mesh)), runtime.output, sys.stdout)


def _print(records: Iterable[dict], form: str, lines: Callable[[dict], Iterable[str]]) -> None:
  if form == 'json':
    print(json.dumps(list(records), indent=1))
    return
  for record in records:  # each as soon as it is found
    for line in lines(record):
      print(line)


def _find_stage(plan: StudyPlan, name: str | None) -> StagePlan:
  names = {p.stage.name for p in plan.stages()}
  if name is None:
    raise UserError(f'--step wants --stage, one of {", ".join(sorted(names))}.')
  found = [p for p in plan.stages() if p.stage.name == name or p.hash.startswith(name)]
  if not found:
    raise UserError(f"no stage is named '{name}'.{nearest(name, names)}")
  if len(found) > 1:
    raise UserError(
      f"{len(found)} stages are named '{name}'; name one by its hash: {', '.join(p.hash[:12] for p in found)}."
    )
  return found[0]


def _row_lines(row: dict) -> Iterator[str]:
  documents = row['documents']
  named = f'document {documents[0]:,}' if len(documents) == 1 else f'documents {documents[0]:,} to {documents[-1]:,}'
  yield f'{row["source"]} epoch {row["epoch"]} row {row["row"]:,} ({named}): {_one_line(row["text"])}'


def _one_line(text: str) -> str:
  return ' '.join(text.split())[:SHOWN_CHARACTERS]


def _places(plan: StudyPlan, arguments: argparse.Namespace) -> Iterator[dict]:
  from codemix.studies.seen import where_seen

  stages = [_find_stage(plan, arguments.stage)] if arguments.stage else plan.stages()
  places = 0
  for place in where_seen(plan, stages, arguments.find):
    places += 1
    yield place
  if not places and arguments.format == 'text':
    sources = {draw.source for stage_plan in stages for draw in stage_plan.draws}
    print(f'no document of {", ".join(sorted(sources))} holds this passage.')


def _place_lines(place: dict) -> Iterator[str]:
  where = f'{place["source"]} document {place["document"]:,}'
  if not place['seen']:
    yield f'{where}: no step read it'
  for seen in place['seen']:
    yield f'{where}: stage {seen["stage"]} step {seen["step"]:,} (of the run: {seen["run_step"]:,}), row {seen["row"]} of the batch, epoch {seen["epoch"]}'


def _stores(arguments: argparse.Namespace) -> Iterator[dict]:
  from codemix.data.store_description import describe, find_tokenizer, first_documents
  from codemix.data.token_store import open_store

  for folder in map(Path, arguments.store):
    if not (folder / 'manifest.json').exists():
      raise UserError(f'{folder} is no token store: there is no manifest.json in it. Name a folder that `codemix prepare` printed.')
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
  for unit in ('tokens', 'bytes'):
    spread = store['lengths'][unit]
    quantiles = ', '.join(f'{float(q):.0%} {value:,}' for q, value in spread['quantiles'].items())
    yield f'  {unit} of a document: mean {spread["mean"]:,.1f}; quantiles {quantiles}'
  for begin, documents, tokens in store['lengths']['histogram']:
    bar = '█' * round(40 * tokens / store['tokens'])
    yield f'  {begin:>10,} tokens and more: {documents:>11,} documents, {tokens / store["tokens"]:7.2%} of the tokens {bar}'
  for number, text in enumerate(store['first_documents']):
    yield f'  document {number}: {_one_line(text)}'


def _times(experiment: Experiment, plan: StudyPlan, arguments: argparse.Namespace) -> Iterator[dict]:
  """The time account of each stage that was begun, and of all together."""
  from codemix.training.stage import stage_folder
  from codemix.training.time_account import read_times, total

  stages = [_find_stage(plan, arguments.stage)] if arguments.stage else plan.stages()
  folders = [stage_folder(experiment.runtime.output, stage_plan) for stage_plan in stages]
  found = {folder.name: times for folder in folders if (times := read_times(folder))}
  if len(found) > 1:
    found['all stages'] = total(found.values())
  for stage, times in found.items():
    yield {'stage': stage, **dataclasses.asdict(times), 'goodput': times.goodput, 'told': str(times)}
  if not found and arguments.format == 'text':
    print(f'no stage of this study was begun in {experiment.runtime.output}.')


def _check_ledgers(experiment: Experiment, plan: StudyPlan) -> list[dict]:
  from codemix.data import ledger
  from codemix.training.stage import is_done, stage_folder
  from codemix.training.stage_changes import namesake
  from codemix.training.stage_record import read_ledger

  checked, hashes = [], {}
  for stage_plan in plan.stages():
    folder = stage_folder(experiment.runtime.output, stage_plan)
    if not is_done(experiment.runtime.output, stage_plan):
      other = namesake(experiment.runtime.output, stage_plan, plan.stages())
      checked.append({'stage': folder.name, 'ledger': 'not finished' + (f'; {other}' if other else '')})
      continue
    written = read_ledger(folder)
    counted = {counts['source']: counts for counts in written['realised']}
    realised = {
      # What a streamed source holds was not planned.
      d.source: {key: counted[d.source][key] if getattr(d, key) is None else getattr(d, key) for key in ledger.COUNTED}
      for d in stage_plan.draws
    }
    parent = hashes.get(stage_plan.parent.hash) if stage_plan.parent else None
    draws = ledger.with_shares_of(stage_plan.draws, written['planned'])
    expected = ledger.entry(written['stage'], draws, realised, parent)
    hashes[stage_plan.hash] = written['hash']
    if written != json.loads(json.dumps(expected)):
      raise UserError(f'{folder}/ledger.json is not what its recipe comes to; it was changed, or the data were.')
    checked.append({'stage': folder.name, 'ledger': f'agrees, {written["hash"][:12]}'})
  return checked


def _describe(plan: StudyPlan) -> dict:
  return {
    name: [
      {
        'stage': p.stage.name,
        'hash': p.hash,
        'steps': p.steps,
        'tokens': p.tokens,
        'remainder_tokens': p.remainder_tokens,
        'rates': [float(rate) for rate in p.rates[np.linspace(0, p.steps - 1, min(p.steps, 9)).astype(int)]],
        'sources': [dataclasses.asdict(draw) for draw in p.draws],
      }
      for p in plans
    ]
    for name, plans in plan.recipes.items()
  }
