"""Verifies a stage's `metrics.jsonl`: its steps follow each other, and its tokens are those of the ledger."""

from __future__ import annotations

import collections
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from codemix.data.batches.ledger import TOKENS
from codemix.data.order.row_schedule import RowSchedule
from codemix.errors import UserError
from codemix.storage import lines as appended
from codemix.storage import read_json
from codemix.training.metrics import TOKENS_OF
from codemix.training.rewinds import read_rewinds
from codemix.training.stage import StagePlan
from codemix.training.stage_record import read_ledger

FILE = 'metrics.jsonl'


def read_lines(path: Path) -> list[dict]:
  """The whole lines of the file, each as a record; the last one may still be being written.

  Raises UserError if a line is damaged.
  """
  return [_record(line, f'{path}:{number}') for number, line in enumerate(text_lines(path), 1)]


def text_lines(path: Path) -> list[bytes]:
  """The whole lines of the file, without their ends; none without the file."""
  return (appended.read_lines(path) or b'').split(b'\n')[:-1]


def check_metrics(folder: Path, finished: bool, saved: Sequence[int]) -> int:
  """Checks that the steps of the metrics are 1, 2, 3, ... of the stage, and that their tokens add up, to the ledger if it is finished.

  Raises UserError, naming the first line that is wrong, or the source.

  Args:
    saved: steps of the run with a checkpoint, before each of which the lines were on the disk.

  Returns:
    The number of steps with a line.
  """
  path = folder / FILE
  lines = read_lines(path)
  if not (folder / 'plan.json').exists():  # an imported model
    return 0
  plan = read_json(folder / 'plan.json', {'steps': int, 'first_step': int}, 'Restore it.')
  first_step, tokens = plan['first_step'], collections.Counter()
  for number, line in enumerate(lines, 1):
    if (line.get('step'), line.get('stage_step')) != (first_step + number, number):
      raise UserError(
        f'{path}:{number} is of step {line.get("stage_step")} of the stage (of the run: {line.get("step")}), not of step {number} ({first_step + number}): '
        'lines are missing or were changed. Restore the file.'
      )
    tokens.update({key: count for key, count in line.items() if key.startswith(TOKENS_OF)})
    if line.get('tokens') != tokens.total():
      raise UserError(f'{path}:{number} says {line.get("tokens")} tokens, and those by source add up to {tokens.total()}. Restore the file.')
  wanted = plan['steps'] if finished else max((step - first_step for step in saved), default=0)
  if len(lines) < wanted or len(lines) > plan['steps']:
    raise UserError(f'{path} has {len(lines)} whole lines; {wanted} steps were {"trained" if finished else "saved"}, of {plan["steps"]}. Restore the file.')
  if finished:
    _compare_with_ledger(path, lines, tokens, read_ledger(folder))
    if (rewinds := read_ledger(folder).get('rewinds', [])) != read_rewinds(folder):
      raise UserError(f'{folder}/rewinds.json has other rewinds than ledger.json, which has {len(rewinds)}. Restore it.')
  return len(lines)


def _compare_with_ledger(path: Path, lines: Sequence[dict], tokens: collections.Counter, ledger: dict) -> None:
  for counts in ledger['realised']:
    source = counts['source']
    if tokens[f'{TOKENS_OF}{source}'] != counts['loss_tokens']:
      raise UserError(f"{path} has {tokens[f'{TOKENS_OF}{source}']:,} tokens of '{source}', and the ledger {counts['loss_tokens']:,}. Restore the file.")
  skipped = {line['stage_step']: line['skipped'] for line in lines if 'skipped' in line}
  if skipped != {entry['stage_step']: entry['why'] for entry in ledger.get('skipped', ())}:
    raise UserError(f'{path} has other skipped steps than the ledger: {", ".join(map(str, skipped)) or "none"}. Restore the file.')


def skipped_as_planned(plan: StagePlan, skipped: Sequence[dict]) -> Iterator[str]:
  """What is wrong with the skipped steps of a ledger, whose rows and tokens follow from the plan."""
  schedule, batch = RowSchedule(plan.segments, plan.orders), plan.stage.batch
  for entry in skipped:
    step = entry['stage_step']
    which, _ = schedule.draws((step - 1) * batch, step * batch)
    rows = collections.Counter(plan.draws[source].source for source in which.tolist())
    found = {source: (counts['rows'], counts.get(TOKENS, counts['loss_tokens'])) for source, counts in entry['sources'].items()}
    if found != {source: (count, count * plan.length) for source, count in rows.items()}:
      yield f'step {step}, which was skipped, drew {dict(rows)} rows, and not what it has'


def _record(line: bytes, place: str) -> dict:
  try:
    record = json.loads(line)
  except (ValueError, RecursionError):
    record = None
  if not isinstance(record, dict):
    raise UserError(f'{place} is damaged. Restore the file.')
  return record
