"""Re-reads what a stage left: its checkpoints against their digests, its ledger, its scores."""

from __future__ import annotations

import json
from pathlib import Path

from codemix.checkpoints import damage, sealed_digest
from codemix.errors import UserError
from codemix.evaluation.results import read_results
from codemix.identity import digest
from codemix.studies.load_stage import load_stage
from codemix.training.stage_record import read_done, read_ledger, read_stage


def verify_stage(folder: Path) -> dict:
  """Re-reads every checkpoint of a stage, and what else stands in its folder.

  Returns:
    'name', 'finished', 'checkpoints' (their steps), 'cut_off' (steps of checkpoints that were never
    wholly written, which a resumed run passes over) and 'bytes_read'.

  Raises:
    UserError: naming the first file that is not as it was written.
  """
  stage = read_stage(folder)
  if stage['hash'] != digest(stage['identity']) or not folder.resolve().name.endswith(f'-{stage["hash"][:12]}'):
    raise UserError(f'{folder}/stage.json was changed: its hash is not that of its identity and its folder. Restore it.')
  finished = (folder / 'done.json').exists()
  checkpoints = folder / 'checkpoints'
  steps = sorted(int(path.name) for path in checkpoints.glob('[0-9]*') if path.is_dir() and path.name.isdigit())
  sealed = [step for step in steps if (checkpoints / f'{step}.digest.json').exists()]
  for step in sealed:
    if why := damage(checkpoints, step):
      raise UserError(f'the checkpoint {checkpoints / str(step)} is damaged: {why}. {_fix(folder, finished)}')
  if finished:
    _check_finished(folder, stage, sealed)
  _check_lines(folder / 'metrics.jsonl')
  read = [path for step in sealed for path in (checkpoints / str(step)).rglob('*') if path.is_file()]
  return {
    'name': stage['name'],
    'finished': finished,
    'checkpoints': sealed,
    'cut_off': [step for step in steps if step not in sealed],
    'bytes_read': sum(path.stat().st_size for path in read),
  }


def _check_finished(folder: Path, stage: dict, sealed: list[int]) -> None:
  load_stage(folder)  # its tokenizer
  done, ledger = read_done(folder), read_ledger(folder)
  at = folder / 'checkpoints' / str(done['step'])
  if done['step'] not in sealed:
    raise UserError(f'the checkpoint {at}, with which its stage was done, is missing. {_fix(folder, True)}')
  if sealed_digest(at.parent, done['step']) != done['checkpoint']:
    raise UserError(f'the checkpoint {at} is another than the one with which its stage was done. {_fix(folder, True)}')
  if not ledger['hash'] == done['ledger'] == digest({key: value for key, value in ledger.items() if key != 'hash'}):
    raise UserError(f'{folder}/ledger.json is not the ledger with which the stage was done. {_fix(folder, True)}')
  for parent in folder.parent.glob(f'*-{stage["parent"][:12]}') if stage['parent'] else ():
    if (parent / 'ledger.json').exists() and read_ledger(parent)['hash'] != ledger['parent_hash']:
      raise UserError(f'{folder}/ledger.json does not go on from {parent}/ledger.json: one of them is of another run.')
  for results in read_results(folder).values():
    results.items()  # checks the file


def _check_lines(path: Path) -> None:
  """Each line but one that is still being written is a record."""
  lines = path.read_bytes().split(b'\n')[:-1] if path.exists() else []
  for number, line in enumerate(lines, 1):
    try:
      whole = isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
      whole = False
    if not whole:
      raise UserError(f'{path}:{number} is damaged. Restore the file.')


def _fix(folder: Path, finished: bool) -> str:
  if finished:
    return f'Restore it, or delete the folder {folder} to train the stage again.'
  return 'Restore it, or delete it to go on from the one before.'
