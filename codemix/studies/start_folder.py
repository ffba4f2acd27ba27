"""Reads the folder that `Recipe.start` names."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import get_args

from codemix.checkpoints import sealed_digest
from codemix.data.batches.source import Cursor
from codemix.errors import UserError
from codemix.identity import digest
from codemix.models.config import ModelConfig
from codemix.storage import read_json, require_form
from codemix.studies.load_stage import read_finished
from codemix.training.curves import Curve
from codemix.training.schedules import Schedule
from codemix.training.stage_record import read_ledger
from codemix.training.start import Read, Start

_READ = {'data': str, 'length': int, 'seed': int, **{field.name: int for field in dataclasses.fields(Cursor)}}

_USE = {'cursor': int, 'rows': int, 'rows_cumulative': int, 'unique_tokens_cumulative': int | None}


def read_start(folder: str) -> Start:
  """What the folder says, without its arrays.

  Raises UserError if it is not a finished stage or an imported model, or its files do not belong
  together.
  """
  try:
    path, stage, done = read_finished(folder)
    start = Start(
      folder=path,
      name=stage['name'],
      identity=stage['identity'],
      hash=stage['hash'],
      checkpoint=done['checkpoint'],
      ledger=stage['hash'],
      last_step=done['step'],
      rate=None,
      rest=None,
      read={},
      read_all=True,
    )
    _require_checkpoint(start)
    if start.imported:
      return start
    ledger = read_ledger(path)
    if not ledger['hash'] == done['ledger'] == digest({key: value for key, value in ledger.items() if key != 'hash'}):
      raise UserError(f'{path}/ledger.json is not the ledger with which the stage was done. Restore it.')
    before = _read_before(path)
    return dataclasses.replace(
      start,
      ledger=ledger['hash'],
      rate=_last_rate(path),
      rest=_rest_of_curve(stage),
      # plan.json has no digest, so the ledger decides about the sources that it has.
      read={**(before or {}), **_read_sources(start, ledger)},
      read_all=before is not None or stage['parent'] is None,
    )
  except UserError as error:
    raise UserError(f'Recipe.start: {error}') from None


def model_of_start(folder: str) -> ModelConfig:
  """The decoder of a start. Raises UserError as `read_start`."""
  return config_of(read_start(folder))


def config_of(start: Start) -> ModelConfig:
  """The decoder. Raises UserError if this version of codemix has no such decoder."""
  try:
    return ModelConfig(**start.identity['model'])
  except (KeyError, TypeError, UserError) as error:
    raise UserError(f'Recipe.start: {start.folder}/stage.json has a model that this version of codemix does not know: {error}') from None


def _require_checkpoint(start: Start) -> None:
  """That the sealed checkpoint is the one of done.json; `Start.require_whole` reads its files."""
  checkpoint = start.folder / 'checkpoints' / str(start.last_step)
  if not checkpoint.is_dir():
    raise UserError(f'the checkpoint {checkpoint} is missing. {start.fix}')
  if sealed_digest(checkpoint.parent, start.last_step) != start.checkpoint:
    raise UserError(f'the checkpoint {checkpoint} is another than the one with which its stage was done. {start.fix}')


def _last_rate(folder: Path) -> float:
  path = folder / 'rate.csv'
  try:
    rate = float(list(csv.DictReader(path.read_text().splitlines()))[-1]['rate'])
  except (FileNotFoundError, IsADirectoryError, ValueError, IndexError, KeyError, TypeError):
    rate = math.nan
  if not 0 <= rate < math.inf:
    raise UserError(f'{path} is damaged: it does not end with a rate. Restore it.')
  return rate


def _rest_of_curve(stage: dict) -> Curve | None:
  """The stage's curve after its last step.

  It is laid out again from what was written, which is not hashed, and taken only if it gives the
  rates in the identity. None if the curve began in an earlier stage or at that stage's last rate.
  """
  kinds = {kind.__name__: kind for kind in get_args(Schedule)}
  try:
    written, identity = stage['written'], stage['identity']
    fields = dict(written['schedule'])
    schedule = kinds[fields.pop('kind')](**fields)
    tokens, steps = Fraction(written['tokens']), identity['steps']
    horizon = tokens if schedule.horizon is None else Fraction(schedule.horizon)
    curve = schedule.lay_out(horizon, tokens / steps, None)
    laid_out = curve.describe(tokens, steps)
  except (KeyError, TypeError, ValueError, ZeroDivisionError, UserError):
    return None
  return curve.after(tokens) if json.loads(json.dumps(laid_out)) == identity.get('rates') else None


def _read_sources(start: Start, ledger: dict) -> dict[str, Read]:
  """How far the stage read the sources that it drew."""
  require_form(start.identity, {'length': int, 'seed': int, 'sources': dict}, start.folder / 'stage.json')
  length, seed, digests = (start.identity[key] for key in ('length', 'seed', 'sources'))
  require_form(digests, {use['source']: str for use in ledger['planned']}, start.folder / 'stage.json')
  require_form(ledger, {'planned': [_USE]}, start.folder / 'ledger.json')
  if not length:
    raise UserError(f'{start.folder}/stage.json is damaged: length is 0. Restore it.')
  read = {}
  for use in ledger['planned']:
    at, unique = use['cursor'] + use['rows'], use['unique_tokens_cumulative'] or 0
    cursor = Cursor(at, use['rows_cumulative'], max(at, unique // length))
    read[use['source']] = Read(digests[use['source']], length, seed, cursor)
  return read


def _read_before(folder: Path) -> dict[str, Read] | None:
  """How far sources were read at the end of the stage, as plan.json has it; None in that of an earlier version."""
  path = folder / 'plan.json'
  if 'read' not in read_json(path):
    return None
  read = read_json(path, {'read': {...: _READ}})['read']
  return {
    source: Read(at['data'], at['length'], at['seed'], Cursor(at['cursor'], at['drawn'], at['furthest']))
    for source, at in read.items()
  }
