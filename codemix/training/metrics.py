"""What a run says of itself: append-only JSONL as the truth, TensorBoard as its mirror.

`metrics.jsonl` holds what follows from (config, seed, step) alone, so that it
is the same file whether or not a run was interrupted. Seconds and tokens/s,
which no two runs share, go to `timing.jsonl`. After a restart both are cut back
to the checkpoint's step.
"""

from __future__ import annotations

import collections
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codemix.data.ledger import COUNTED
from codemix.files import writing

Record = dict[str, float | int]


class JsonLines:
  """An append-only file of one JSON object a line, each with a 'step'."""

  def __init__(self, path: Path, after_step: int):
    """Opens the file, dropping half-written lines and lines after `after_step`."""
    self._path = path
    with writing(path):
      _cut_back(path, after_step)
      self._file = open(path, 'a', encoding='utf-8')  # noqa: SIM115 (held open for the stage)

  def append(self, record: Record) -> None:
    with writing(self._path):
      self._file.write(json.dumps(record) + '\n')

  def flush(self) -> None:
    """Puts every line on disk, before a checkpoint says that they are there."""
    with writing(self._path):
      self._file.flush()
      os.fsync(self._file.fileno())

  def close(self) -> None:
    self.flush()
    self._file.close()


def _cut_back(path: Path, after_step: int) -> None:
  if not path.exists():
    return
  keep = 0
  with open(path, 'rb') as file:
    for line in file:
      if not line.endswith(b'\n') or json.loads(line)['step'] > after_step:
        break
      keep += len(line)
  os.truncate(path, keep)


def step_record(
  step: int, stage_step: int, stage_tokens: int, rate: float, values: dict[str, np.ndarray], names: Sequence[str]
) -> Record:
  """One line of `metrics.jsonl` from what the train step returned.

  Args:
    step: the run's step count after the update.
    stage_step: the same within the stage.
    stage_tokens: loss tokens of the stage before this step.
    rate: the learning rate of the step.
    values: the train step's metrics, on the host.
    names: the sources by index.
  """
  record: Record = {
    'step': step,
    'stage_step': stage_step,
    'tokens': stage_tokens + int(values['tokens'].sum()),
    'loss': float(values['loss']),
    'rate': float(rate),
    'grad_norm': float(values['grad_norm']),
  }
  for index, name in enumerate(names):
    rows = values['source'] == index
    if tokens := int(values['tokens'][rows].sum()):
      record[f'loss/{name}'] = float(values['nll'][rows].sum(dtype=np.float64) / tokens)
      record[f'tokens/{name}'] = tokens
  return record


def count_rows(values: dict[str, np.ndarray], names: Sequence[str]) -> dict[str, collections.Counter]:
  """What a step drew from each source, for the ledger: `COUNTED` by source."""
  counts = {}
  for index, name in enumerate(names):
    rows = (values['source'] == index) & (values['tokens'] > 0)
    counted = (rows.sum(), values['tokens'][rows].sum(), values['documents'][rows].sum())
    counts[name] = collections.Counter(dict(zip(COUNTED, map(int, counted), strict=True)))
  return counts


def is_finite(record: Record) -> bool:
  return math.isfinite(record['loss']) and math.isfinite(record['grad_norm'])


class TensorBoard:
  """Mirrors records into a TensorBoard folder."""

  def __init__(self, folder: Path, after_step: int):
    # Imported here: it takes a second, and only the process that writes needs it.
    from tensorboardX import SummaryWriter

    with writing(folder):
      self._writer = SummaryWriter(str(folder), purge_step=after_step + 1, flush_secs=30)

  def append(self, record: Record) -> None:
    step = int(record['step'])
    for key, value in record.items():
      if key not in ('step', 'stage_step'):
        self._writer.add_scalar(key, value, step)

  def close(self) -> None:
    self._writer.close()
