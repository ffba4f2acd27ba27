"""Metrics of a run: append-only JSONL files are authoritative, TensorBoard shows a copy.

`metrics.jsonl` depends only on (config, seed, step), so an interrupted run
writes the same file. Seconds and tokens/s, which differ between runs, go to
`timing.jsonl`. After a restart both are cut back to the checkpoint's step.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import json
import math
import os
import re
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codemix.data.batches.ledger import COUNTED
from codemix.errors import UserError
from codemix.files import make_folder, sync, writing

Record = dict[str, float | int]
RowsOf = dict[str, np.ndarray]  # source -> a mask of its rows in a batch

BOARD_FLUSH_S = 30.0


class JsonLines:
  """An append-only file of one JSON object a line, each with a 'step'."""

  def __init__(self, path: Path, after_step: int):
    """Opens the file, dropping half-written lines and lines after `after_step`."""
    self._path = path
    with writing(path):
      _cut_back(path, after_step)
      self._file = open(path, 'a', encoding='utf-8')  # noqa: SIM115 (held open for the stage)

  def append(self, *records: Record) -> None:
    """Flushes lines so that a reader of the file sees them."""
    with writing(self._path):
      self._file.writelines(json.dumps(record) + '\n' for record in records)
      self._file.flush()

  def flush(self) -> None:
    """Syncs every line to disk, before the checkpoint that counts on them."""
    with writing(self._path):
      sync(self._file)

  def close(self) -> None:
    with writing(self._path), self._file:  # closed also where it cannot be flushed
      self.flush()


def _cut_back(path: Path, after_step: int) -> None:
  if not path.exists():
    return
  keep = 0
  with open(path, 'rb') as file:
    for number, line in enumerate(file, 1):
      if not line.endswith(b'\n') or _step_of(line, f'{path}:{number}') > after_step:
        break
      keep += len(line)
  os.truncate(path, keep)


def _step_of(line: bytes, place: str) -> int:
  try:
    return int(json.loads(line)['step'])
  except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
    raise UserError(
      f'{place} is damaged. Restore the file, or delete it to go on without the lines of the steps before.'
    ) from None


def step_record(
  step: int, stage_step: int, stage_tokens: int, rate: float, values: dict[str, np.ndarray], rows_of: RowsOf
) -> Record:
  """One line of `metrics.jsonl` from what the train step returned.

  Args:
    step: the run's step count after the update.
    stage_step: the same within the stage.
    stage_tokens: loss tokens of the stage up to this step.
    rate: the learning rate of the step.
    values: the train step's metrics, on the host.
    rows_of: what `rows_by_source` makes of the values.
  """
  record: Record = {
    'step': step,
    'stage_step': stage_step,
    'tokens': stage_tokens,
    'loss': float(values['loss']),
    'rate': float(rate),
    'grad_norm': float(values['grad_norm']),
  }
  for name, rows in rows_of.items():
    if tokens := int(values['tokens'][rows].sum()):
      record[f'loss/{name}'] = float(values['nll'][rows].sum(dtype=np.float64) / tokens)
      record[f'tokens/{name}'] = tokens
  return record


def count_rows(values: dict[str, np.ndarray], rows_of: RowsOf) -> dict[str, collections.Counter]:
  """The counts of a step for the ledger: `COUNTED` of each source with rows in the batch."""
  counts = {}
  for name, rows in rows_of.items():
    rows = rows & (values['tokens'] > 0)
    counted = (rows.sum(), values['tokens'][rows].sum(), values['documents'][rows].sum())
    counts[name] = collections.Counter(dict(zip(COUNTED, map(int, counted), strict=True)))
  return counts


def rows_by_source(values: dict[str, np.ndarray], names: Sequence[str]) -> RowsOf:
  """A mask of the rows of each source in a batch, which has few of a mixture's sources."""
  return {names[index]: values['source'] == index for index in np.flatnonzero(np.bincount(values['source'])).tolist()}


def is_finite(record: Record) -> bool:
  return math.isfinite(record['loss']) and math.isfinite(record['grad_norm'])


class TensorBoard:
  """Copies records into a TensorBoard folder.

  Writes one event a step directly: `SummaryWriter` makes an event of each number and passes them
  through two threads, about a millisecond of a step. The purge event, with which TensorBoard drops
  what a killed process wrote after the checkpoint, is the same as `SummaryWriter`'s.
  """

  def __init__(self, folder: Path, after_step: int):
    # Imported here: it is slow, and only the process that writes needs it.
    from tensorboardX.proto import event_pb2, summary_pb2
    from tensorboardX.record_writer import RecordWriter

    self._event, self._summary = event_pb2.Event, summary_pb2.Summary
    self._folder, self._flushed = folder, time.monotonic()
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    make_folder(folder)
    with writing(folder):
      self._writer = RecordWriter(str(folder / f'events.out.tfevents.{int(time.time())}.{socket.gethostname()}'))
      self._write(0, file_version='brain.Event:2')
      self._write(after_step + 1, session_log=start)

  def append(self, record: Record) -> None:
    values = [
      self._summary.Value(tag=_tag(key), simple_value=value)
      for key, value in record.items()
      if key not in ('step', 'stage_step')
    ]
    with writing(self._folder):
      self._write(int(record['step']), summary=self._summary(value=values))
      if time.monotonic() - self._flushed > BOARD_FLUSH_S:
        self._flushed = time.monotonic()
        self._writer.flush()

  def _write(self, step: int, **what: object) -> None:
    self._writer.write(self._event(wall_time=time.time(), step=step, **what).SerializeToString())

  def close(self) -> None:
    with writing(self._folder), contextlib.closing(self._writer):  # closed also where it cannot be flushed
      self._writer.flush()


@functools.cache
def _tag(key: str) -> str:
  """The key with only characters that TensorBoard shows."""
  return re.sub(r'[^-/\w.]', '_', key)
