"""Verifies what stages wrote: checkpoints, ledgers and results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from codemix.checkpoints import damage, sealed_digest
from codemix.checkpoints.seal import checked_bytes, digest_file, lost_steps
from codemix.data.batches import ledger
from codemix.errors import UserError
from codemix.evaluation.results import evaluated_steps, read_results
from codemix.identity import digest
from codemix.studies.load_stage import load_stage, require_unchanged
from codemix.studies.planning import StudyPlan
from codemix.studies.stage_names import SHORT
from codemix.studies.verify_metrics import check_metrics, skipped_as_planned
from codemix.training.rewinds import read_rewinds
from codemix.training.sealed_files import unlike
from codemix.training.stage import is_done, stage_folder
from codemix.training.stage_changes import namesake
from codemix.training.stage_record import read_done, read_ledger, read_stage
from codemix.training.start import IMPORTED


def verify_stage(folder: Path, reread: bool = False) -> dict:
  """Compares every checkpoint of a stage and the other files in its folder with their digests.

  Raises UserError, naming the first file that is not as it was written.

  Args:
    reread: the checksums that a bucket keeps of a checkpoint's files are not taken: all of it is read.

  Returns:
    'name', 'finished', 'checkpoints' (their steps), 'cut_off' (steps of checkpoints that were not
    completely written, which a resumed run passes over), 'steps' (with a line of metrics), 'sealed' (whether the metrics have a digest: not before
    the stage is finished, nor if an earlier codemix finished it), 'bytes_read' of checkpoints, and their 'bytes_compared' with the checksums of a bucket alone; 'start', the folder that `Recipe.start` named, if the stage began with it.
  """
  stage = read_stage(folder)
  require_unchanged(folder, stage)
  # An imported checkpoint has the name that its user gave.
  if 'imported' not in stage['identity'] and not folder.resolve().name.endswith(f'-{stage["hash"][:SHORT]}'):
    raise UserError(f'{folder}/stage.json was changed: its hash is not that of its folder. Restore it.')
  finished = (folder / 'done.json').exists()
  checkpoints = folder / 'checkpoints'
  there = {int(path.name) for path in checkpoints.glob('[0-9]*') if path.is_dir() and path.name.isdigit()}
  # A finished stage knows its last checkpoint itself.
  steps = sorted(there if finished else there | lost_steps(checkpoints, there))
  sealed = [step for step in steps if digest_file(checkpoints, step).exists()]
  for step in sealed:
    if why := damage(checkpoints, step, reread):
      raise UserError(f'the checkpoint {checkpoints / str(step)} is damaged: {why}. {_fix(folder, finished)}')
  if finished:
    _check_finished(folder, stage, sealed)
  lines = check_records(folder, finished, sealed)
  checked = [checked_bytes(checkpoints, step, reread) for step in sealed]
  return {
    'name': stage['name'],
    'finished': finished,
    'checkpoints': sealed,
    'steps': lines,
    'sealed': finished and bool(read_done(folder)['files']),
    'cut_off': [step for step in steps if step not in sealed],
    'bytes_read': sum(read for read, _ in checked),
    'bytes_compared': sum(compared for _, compared in checked),
    **({'start': stage['start']['folder']} if 'start' in stage else {}),
  }


def check_unit(folder: Path) -> None:
  """Compares everything of a stage but its checkpoints with their digests. Raises UserError as `verify_stage`."""
  require_unchanged(folder, read_stage(folder))
  finished = (folder / 'done.json').exists()
  if finished:
    _check_ledger(folder, read_done(folder)['ledger'])
  check_records(folder, finished, [])


def check_records(folder: Path, finished: bool, saved: Sequence[int]) -> int:
  """Checks the results of all evaluations and the metrics of a stage.

  Raises UserError, naming the first file or line that is not as it was written.

  Args:
    saved: as of `check_metrics`.

  Returns:
    The number of steps with a line of metrics.
  """
  _check_results(folder)
  lines = check_metrics(folder, finished, saved)
  # After the checks that can name the line.
  if finished and (wrong := unlike(folder, read_done(folder)['files'])):
    raise UserError(f'{wrong}. {_fix(folder, True)}')
  return lines


def _check_finished(folder: Path, stage: dict, sealed: list[int]) -> None:
  done, written = load_stage(folder), read_ledger(folder)
  at = folder / 'checkpoints' / str(done.step)
  if done.step not in sealed:
    raise UserError(f'the checkpoint {at}, with which its stage was done, is missing. {_fix(folder, True)}')
  if sealed_digest(at.parent, done.step) != done.checkpoint:
    raise UserError(f'the checkpoint {at} is another than the one with which its stage was done. {_fix(folder, True)}')
  _check_ledger(folder, done.ledger)
  for parent in folder.parent.glob(f'*-{stage["parent"][:SHORT]}') if stage['parent'] else ():
    if (parent / 'ledger.json').exists() and read_ledger(parent)['hash'] != written['parent_hash']:
      raise UserError(f'{folder}/ledger.json does not continue {parent}/ledger.json: one of them is of another run.')
  if stage.get('start', {}).get(IMPORTED) and written['parent_hash'] != stage['parent']:
    raise UserError(f'{folder}/ledger.json does not continue the imported model with which the stage began: one of them is of another run.')


def _check_ledger(folder: Path, known: str) -> None:
  written = read_ledger(folder)
  if not written['hash'] == known == digest({key: value for key, value in written.items() if key != 'hash'}):
    raise UserError(f'{folder}/ledger.json is not the ledger with which the stage was done. {_fix(folder, True)}')


def _check_results(folder: Path) -> None:
  """Reads all results of a stage, whose files have digests."""
  for step in (None, *evaluated_steps(folder)):
    for results in read_results(folder, step).values():
      results.items()


def _fix(folder: Path, finished: bool) -> str:
  if finished:
    return f'Restore it, or delete the folder {folder} to train the stage again.'
  return 'Restore it, or delete it to continue from the one before.'


def check_ledgers(plan: StudyPlan, output: str) -> list[dict]:
  """Compares the ledgers of finished stages with the plan.

  Raises UserError if one differs.

  Returns:
    For each stage `stage` (its folder) and `ledger` ('agrees' with the beginning of its hash, or
    why it is not finished).
  """
  checked, hashes = [], {}
  for stage_plan in plan.stages():
    folder = stage_folder(output, stage_plan)
    if not is_done(output, stage_plan):
      other = namesake(output, stage_plan, plan.stages())
      checked.append({'stage': folder.name, 'ledger': 'not finished' + (f'; {other}' if other else '')})
      continue
    written = read_ledger(folder)
    counted = {counts['source']: counts for counts in written['realised']}
    # What a streamed source holds was not planned.
    realised = {
      d.source: {key: counted[d.source][key] if getattr(d, key) is None else getattr(d, key) for key in ledger.counted(d)}
      for d in stage_plan.draws
    }
    parent = hashes.get(stage_plan.parent.hash) if stage_plan.parent else stage_plan.start and stage_plan.start.ledger
    draws = ledger.with_shares_of(stage_plan.draws, written['planned'])
    skipped = written.get('skipped', [])
    expected = ledger.entry(written['stage'], draws, realised, parent, skipped, read_rewinds(folder))
    hashes[stage_plan.hash] = written['hash']
    if wrong := next(skipped_as_planned(stage_plan, skipped), None):
      raise UserError(f'{folder}/ledger.json is not that of its recipe: {wrong}; the file or the data were changed.')
    if written != json.loads(json.dumps(expected)):
      raise UserError(f'{folder}/ledger.json is not that of its recipe; the file or the data were changed.')
    checked.append({'stage': folder.name, 'ledger': f'agrees, {written["hash"][:SHORT]}'})
  return checked
