"""`codemix inspect`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add_gin_arguments(parser)
  parser.add_argument('--stage', metavar='NAME', help='a stage by name, or by the beginning of its hash')
  parser.add_argument('--step', type=int, metavar='N', help='show the rows of this step of --stage, counted from 1')
  parser.add_argument('--check', action='store_true', help='compare the ledgers of finished stages with the plan, computed anew')
  add_format_argument(parser)


def run(arguments: argparse.Namespace) -> None:
  experiment = load_experiment(arguments)
  plan = plan_study(experiment.study, experiment.data)
  if arguments.step is not None:
    rows = _rows(plan, _find_stage(plan, arguments.stage), arguments.step)
    _print(rows, arguments.format, _row_line)
  elif arguments.check:
    _print(_check_ledgers(experiment, plan), arguments.format, lambda line: f'{line["stage"]}: {line["ledger"]}')
  elif arguments.format == 'json':
    print(json.dumps(_describe(plan), indent=1))
  else:
    from codemix.parallel.mesh import make_mesh
    from codemix.studies.announce import show_plan

    runtime = experiment.runtime
    show_plan(plan, make_mesh(runtime.mesh), runtime.output, sys.stdout)


def _print(records: list[dict], form: str, line) -> None:
  print(json.dumps(records, indent=1) if form == 'json' else '\n'.join(map(line, records)))


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


def _rows(plan: StudyPlan, stage_plan: StagePlan, step: int) -> list[dict]:
  """The rows of one global batch: where each comes from, and what it says."""
  from codemix.data.ledger import StageRows

  if not 1 <= step <= stage_plan.steps:
    raise UserError(f"stage '{stage_plan.stage.name}' has steps 1 to {stage_plan.steps:,}, not {step}.")
  rows = StageRows(plan.sources, stage_plan.draws, stage_plan.segments, stage_plan.seed)
  batch = stage_plan.stage.batch
  located = rows.locate((step - 1) * batch, step * batch)
  described = []
  for s, epoch, row in zip(*(a.tolist() for a in located), strict=True):
    read = rows.sources[s].row(row)
    described.append(
      {
        'source': rows.names[s],
        'epoch': epoch,
        'row': row,
        'documents': int(read['segment_ids'].max()),
        'text': plan.tokenizer.decode(read['targets'].tolist()),
      }
    )
  return described


def _row_line(row: dict) -> str:
  text = ' '.join(row['text'].split())[:100]
  return f'{row["source"]} epoch {row["epoch"]} row {row["row"]:,} ({row["documents"]} documents): {text}'


def _check_ledgers(experiment: Experiment, plan: StudyPlan) -> list[dict]:
  from codemix.data import ledger
  from codemix.files import read_json
  from codemix.training.stage import is_done, namesake, stage_folder

  checked, hashes = [], {}
  for stage_plan in plan.stages():
    folder = stage_folder(experiment.runtime.output, stage_plan)
    if not is_done(experiment.runtime.output, stage_plan):
      other = namesake(experiment.runtime.output, stage_plan, plan.stages())
      checked.append({'stage': folder.name, 'ledger': 'not finished' + (f'; {other}' if other else '')})
      continue
    written = read_json(folder / 'ledger.json')
    realised = {d.source: {key: getattr(d, key) for key in ledger.COUNTED} for d in stage_plan.draws}
    parent = hashes.get(stage_plan.parent.hash) if stage_plan.parent else None
    expected = ledger.entry(written['stage'], stage_plan.draws, realised, parent)
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
