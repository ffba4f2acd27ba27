"""Metrics of a run: append-only JSONL files are authoritative, TensorBoard shows a copy.

`metrics.jsonl` depends only on (config, seed, step), so an interrupted run
writes the same file. Seconds and tokens/s, which differ between runs, go to
`timing.jsonl`. After a restart both are cut back to the checkpoint's step.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import json
import math
import re
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codemix.data.batches.ledger import COUNTED, TOKENS
from codemix.errors import UserError
from codemix.storage import is_remote, make_folder, writing
from codemix.storage.lines import PART_BYTES, open_lines
from codemix.storage.whole import put

Record = dict[str, float | int | str | None]
RowsOf = dict[str, np.ndarray]  # source -> a mask of its rows in a batch

BOARD_FLUSH_S = 30.0
TOKENS_OF = 'tokens/'  # of a line's key, before the source


class JsonLines:
  """An append-only file of one JSON object a line, each with a 'step'."""

  def __init__(self, path: Path, after_step: int):
    """Opens the file, dropping half-written lines and lines after `after_step`."""
    self._lines = open_lines(path, lambda line, place: _step_of(line, place) <= after_step)

  def append(self, *records: Record) -> None:
    """Adds lines; a reader of a disk sees them at once."""
    self._lines.append(json.dumps(record) for record in records)

  def flush(self) -> None:
    """Makes every line durable, before the checkpoint that counts on them."""
    self._lines.flush()

  def close(self) -> None:
    self._lines.close()


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
      record[f'{TOKENS_OF}{name}'] = tokens
  return record


def skipped_record(record: Record, why: str) -> Record:
  """The line of a step that was not learned from: 'skipped' says why, and numbers that are not finite are null."""
  finite = {key: value if math.isfinite(value) else None for key, value in record.items()}
  return {**finite, 'skipped': why}


def count_rows(values: dict[str, np.ndarray], rows_of: RowsOf) -> dict[str, collections.Counter]:
  """The counts of a step for the ledger: `COUNTED` of each source with rows in the batch, and TOKENS."""
  counts = {}
  for name, rows in rows_of.items():
    rows = rows & (values['read'] > 0)
    counted = (rows.sum(), *(values[key][rows].sum() for key in ('tokens', 'documents', 'read')))
    counts[name] = collections.Counter(dict(zip((*COUNTED, TOKENS), map(int, counted), strict=True)))
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
    self._name, self._files = f'events.out.tfevents.{int(time.time())}.{socket.gethostname()}', itertools.count()
    # An object of a bucket cannot be appended to: its files are written here and put there.
    self._temporary = tempfile.TemporaryDirectory(prefix='codemix-tensorboard-') if is_remote(folder) else None
    self._make_writer = RecordWriter
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    make_folder(folder)
    with writing(folder):
      self._begin_file()
      self._write(after_step + 1, session_log=start)

  def append(self, record: Record) -> None:
    values = [
      self._summary.Value(tag=_tag(key), simple_value=value)
      for key, value in record.items()
      if key not in ('step', 'stage_step') and isinstance(value, int | float)
    ]
    with writing(self._folder):
      self._write(int(record['step']), summary=self._summary(value=values))
      if time.monotonic() - self._flushed > BOARD_FLUSH_S:
        self._flush()

  def _write(self, step: int, **what: object) -> None:
    self._writer.write(self._event(wall_time=time.time(), step=step, **what).SerializeToString())

  def _begin_file(self) -> None:
    place = Path(self._temporary.name) if self._temporary else self._folder
    self._path = place / f'{self._name}.{next(self._files)}'
    self._writer = self._make_writer(str(self._path))
    self._write(0, file_version='brain.Event:2')

  def _flush(self) -> None:
    self._flushed = time.monotonic()
    self._writer.flush()
    if self._temporary:
      put(self._path, self._folder / self._path.name)
      if self._path.stat().st_size > PART_BYTES:  # a small file is put again with each flush
        self._writer.close()
        self._begin_file()

  def close(self) -> None:
    with writing(self._folder), self._temporary or contextlib.nullcontext(), contextlib.closing(self._writer):  # closed also where it cannot be flushed
      self._flush()


@functools.cache
def _tag(key: str) -> str:
  """The key with only characters that TensorBoard shows."""
  return re.sub(r'[^-/\w.]', '_', key)
