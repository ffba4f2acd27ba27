"""A stage's files beside checkpoints and metrics: its identity, its plan, its result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codemix.data.batches import ledger
from codemix.errors import UserError
from codemix.identity import differences, digest
from codemix.models.config import ModelConfig
from codemix.storage import read_json, require_form, write_json, write_text
from codemix.training.drawn import Drawn
from codemix.training.rewinds import read_rewinds
from codemix.training.sealed_files import digests
from codemix.training.stage import StagePlan
from codemix.training.stage_changes import as_written

_FIX = 'Restore it, or delete the folder to train the stage again.'


def read_stage(folder: Path) -> dict:
  """Reads stage.json: `name`, `hash`, `parent`, `identity`. Raises UserError if it is damaged."""
  return read_json(folder / 'stage.json', {'name': str, 'hash': str, 'parent': str | None, 'identity': dict}, _FIX)


def read_done(folder: Path) -> dict:
  """Reads done.json: `step`, digests of `checkpoint` and `ledger`, and of `files`, {} if an earlier codemix wrote it. Raises UserError if it is damaged or was changed."""
  path = folder / 'done.json'
  done = read_json(path, {'step': int, 'checkpoint': str, 'ledger': str}, _FIX)
  if ('files' in done or 'digest' in done) and done != sealed(done):
    raise UserError(f'{path} was changed after it was written: its digest is not that of its content. {_FIX}')
  require_form(done.setdefault('files', {}), {...: str}, path, _FIX)
  return done


def sealed(done: Mapping[str, Any]) -> dict:
  """What done.json says, with the digest of all of it: so its `files` cannot be left out unseen."""
  rest = {key: value for key, value in done.items() if key != 'digest'}
  return {**rest, 'digest': digest(rest)}


def read_ledger(folder: Path) -> dict:
  """Reads the ledger of a finished stage. Raises UserError if it is damaged."""
  counts = {'source': str, **dict.fromkeys(ledger.COUNTED, int)}
  form = {'stage': str, 'planned': [{'source': str}], 'realised': [counts], 'hash': str, 'parent_hash': str | None}
  written = read_json(folder / 'ledger.json', form, _FIX)
  require_form(written.get('skipped', []), [{'stage_step': int, 'why': str, 'sources': {...: {'rows': int, 'loss_tokens': int}}}], folder / 'ledger.json', _FIX)
  return written


def write_plan(folder: Path, plan: StagePlan, model: ModelConfig) -> None:
  """Writes plan.json, rate.csv and, last, stage.json.

  Raises UserError if the folder's stage.json is of something else.
  """
  written = folder / 'stage.json'
  if written.exists() and (
    different := list(differences(plan.identity, read_stage(folder)['identity']))
  ):
    raise UserError(
      f'{written} belongs to another stage: {"; ".join(different[:3])}. Move the folder away.'
    )
  write_json(
    folder / 'plan.json',
    {
      'steps': plan.steps,
      'batch': plan.stage.batch,
      'length': plan.length,
      'tokens': plan.tokens,
      'remainder_tokens': plan.remainder_tokens,
      'first_step': plan.first_step,
      'parameters': model.parameter_count()['total'],
      'flops_per_token': model.flops_per_token(plan.length)['total'],
      'mixture': plan.mixture().to_json(),
      'sources': [draw.as_json() for draw in plan.draws],
      'read': {source: read.as_json() for source, read in plan.read_after().items()},
    },
  )
  lines = [f'{plan.first_step + i + 1},{rate!r}\n' for i, rate in enumerate(plan.rates.tolist())]
  write_text(folder / 'rate.csv', 'step,rate\n' + ''.join(lines))
  write_json(
    written,
    {
      'name': plan.stage.name,
      'hash': plan.hash,
      'parent': plan.identity['parent'],
      'identity': plan.identity,
      'written': as_written(plan),
      **({'start': plan.start.describe()} if plan.start else {}),
    },
  )


def write_result(
  folder: Path, plan: StagePlan, drawn: Drawn, checkpoint: str, parent_folder: Path | None
) -> None:
  """Compares the ledger with the plan, writes it, and marks the stage as done.

  Raises CodemixError if the ledger does not agree with the plan.

  Args:
    checkpoint: digest of the stage's last checkpoint.
    parent_folder: of the stage before, to whose ledger this one is chained; without one it is
      chained to that of the start, if there is one.
  """
  ledger.compare(plan.draws, drawn.realised, f"stage '{plan.stage.name}'")
  parent_hash = read_ledger(parent_folder)['hash'] if parent_folder else plan.start and plan.start.ledger
  entry = ledger.entry(plan.stage.name, plan.draws, drawn.realised, parent_hash, drawn.skipped, read_rewinds(folder))
  write_json(folder / 'ledger.json', entry)
  write_json(
    folder / 'done.json',
    sealed({'step': plan.last_step, 'checkpoint': checkpoint, 'ledger': entry['hash'], 'files': digests(folder)}),
  )
