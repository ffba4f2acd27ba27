"""How far a stage has come, read from its folder while it is trained elsewhere."""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from collections.abc import Collection
from pathlib import Path

from codemix.evaluation.results import read_results
from codemix.storage import Holder, holder, is_remote
from codemix.storage.lines import read_tail
from codemix.training.goodput import FILE as TIMES
from codemix.training.goodput import Times, read_times
from codemix.training.stage_record import read_done

MEASURED = 100  # last steps whose mean time is that of a step


@dataclasses.dataclass(frozen=True)
class StageProgress:
  """What is in a stage's folder.

  Attributes:
    is_done: whether it is trained.
    steps: of the stage, in its metrics so far.
    step_s: seconds of a step, the mean of the last ones; None before there are two.
    evaluated: how many evaluators have results of its last checkpoint.
    times: None before it has begun.
    holder: the process that trains or evaluates it now.
  """

  is_done: bool = False
  steps: int = 0
  step_s: float | None = None
  evaluated: int = 0
  times: Times | None = None
  holder: Holder | None = None

  @property
  def devices(self) -> float | None:
    """The mean number of devices of the time so far; None if it was not written down."""
    return self.times.device_seconds / self.times.total if self.times and self.times.total and self.times.device_seconds else None

  @property
  def evaluation_s(self) -> float:
    return self.times.seconds['evaluation'] if self.times else 0.0

  @property
  def training_s(self) -> float:
    """Everything but evaluation, lost steps included."""
    return self.times.total - self.evaluation_s if self.times else 0.0


def read_progress(folder: Path, evaluators: Collection[str]) -> StageProgress:
  """The progress of the stage of a folder, which need not exist. Raises UserError if a file of it is damaged.

  Args:
    evaluators: names of those that are counted.
  """
  if not is_remote(folder) and not folder.exists():
    return StageProgress()
  done = read_done(folder) if (folder / 'done.json').exists() else None
  # Results of the stage's end name the checkpoint that they are of.
  results = read_results(folder) if done else {}
  return StageProgress(
    is_done=done is not None,
    steps=_last_step(folder),
    step_s=_step_seconds(folder),
    evaluated=sum(name in evaluators and found.identity.get('checkpoint') == done['checkpoint'] for name, found in results.items()),
    times=read_times(folder),
    holder=_holder(folder),
  )


def _last_step(folder: Path) -> int:
  lines = _records(folder / 'metrics.jsonl')
  step = lines[-1].get('stage_step') if lines else 0
  return step if isinstance(step, int) else 0


def _step_seconds(folder: Path) -> float | None:
  # The first step of a process may compile, and has no speed.
  seconds = [line['seconds'] for line in _records(folder / 'timing.jsonl') if 'tokens_per_second' in line and isinstance(line.get('seconds'), int | float)]
  return statistics.mean(seconds[-MEASURED:]) if seconds else None


def _records(path: Path) -> list[dict]:
  """The last records of a file that may be written at this moment."""
  try:
    records = [json.loads(line) for line in read_tail(path)]
  except (ValueError, RecursionError):
    return []
  return [record for record in records if isinstance(record, dict)]


def _holder(folder: Path) -> Holder | None:
  """The process that holds the stage's lock; on a disk its last sign of life is that of its account of time."""
  found = holder(folder)
  if found and found.silent_s is None and (times := folder / TIMES).exists():
    return dataclasses.replace(found, silent_s=max(time.time() - times.stat().st_mtime, 0.0))
  return found
