"""Logs a stage step by step: its metrics to files, its rows to the realised ledger."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from codemix.data.batches.ledger import TOKENS
from codemix.errors import NonFiniteError, UserError
from codemix.training import metrics
from codemix.training.drawn import Drawn
from codemix.training.rewinds import SpikeGuard
from codemix.training.skips import NONFINITE, SPIKE
from codemix.training.stage import StagePlan

# Lines that come faster are written together: writing between short steps would cost more, with cold caches.
WRITE_EVERY_S = 1.0


class StageLog:
  """Writes each step's metrics and adds up the realised ledger; a context that closes the files.

  Args:
    plan: of the stage.
    folder: of the stage; None if another process writes.
    names: the sources by index.
    done: steps of the stage done before.
    drawn: what those steps drew; it is added to.
    guard: looks for spikes.
    peak_tflops: of all devices together, if it is known.
    flops_per_token: of training.
  """

  def __init__(
    self,
    plan: StagePlan,
    folder: Path | None,
    names: Sequence[str],
    done: int,
    drawn: Drawn,
    guard: SpikeGuard,
    *,
    peak_tflops: float | None,
    flops_per_token: float,
    tensorboard: bool,
  ):
    self.drawn, self._guard = drawn, guard
    self._plan, self._names = plan, names
    self._peak_tflops, self._flops_per_token = peak_tflops, flops_per_token
    self._clock, self._starting = time.monotonic(), True
    self._timed = self._read()
    self._unwritten: list[tuple[metrics.Record, metrics.Record]] = []
    self._written = -math.inf
    self.lines: list[metrics.JsonLines] = []
    self.boards: list[metrics.TensorBoard] = []
    if folder is not None:
      after = plan.first_step + done
      self.lines = [metrics.JsonLines(folder / name, after) for name in ('metrics.jsonl', 'timing.jsonl')]
      self.boards = [metrics.TensorBoard(folder / 'tensorboard', after)] if tensorboard else []

  def write(self, index: int, values: dict[str, jax.Array]) -> tuple[int, float, float]:
    """Waits for a step's metrics and records them.

    They are written with the first step that is more than `WRITE_EVERY_S` after the last ones
    written, and before a save.

    Raises:
      NonFiniteError: the loss or the gradient is not finite, and the step may not be skipped; or `SpikeGuard.look`.
      SpikeFound: the loss is a spike, before which the stage goes back.

    Returns:
      (steps of the stage done, loss, tokens/s).
    """
    record = self.count(index, values)
    timing = self._time(record['step'], self._read())
    self._unwritten.append((record, timing))
    if time.monotonic() - self._written > WRITE_EVERY_S:
      self._write_lines()
    loss = math.nan if record['loss'] is None else record['loss']
    return index + 1, loss, timing.get('tokens_per_second', 0.0)

  def count(self, index: int, values: dict[str, jax.Array]) -> metrics.Record:
    """Waits for a step's metrics and counts what it drew; raises as `write` does.

    Returns:
      Its line of `metrics.jsonl`.
    """
    plan = self._plan
    host = {key: np.asarray(value) for key, value in values.items()}
    rows_of = metrics.rows_by_source(host, self._names)
    stage_tokens = int(host['tokens'].sum()) + self._tokens()
    record = metrics.step_record(
      plan.first_step + index + 1, index + 1, stage_tokens, plan.rates[index], host, rows_of
    )
    why = self._why_skipped(index, record)
    if why is None:
      self._guard.look(index + 1, record['loss'], self.drawn)
    else:
      record = metrics.skipped_record(record, why)
    of_step = metrics.count_rows(host, rows_of)
    counted = {name: {key: counts[key] for key in self.drawn.realised[name]} for name, counts in of_step.items()}
    for name, counts in counted.items():
      for key, count in counts.items():
        self.drawn.realised[name][key] += count
    if why is not None:
      self.drawn.skipped.append({'stage_step': index + 1, 'why': why, 'sources': counted})
    return record

  def _tokens(self) -> int:
    """Loss tokens of the stage so far."""
    return sum(counts['loss_tokens'] for counts in self.drawn.realised.values())

  def _read(self) -> int:
    """Tokens of the stage so far, prompts included: what the devices computed."""
    return sum(counts.get(TOKENS, counts['loss_tokens']) for counts in self.drawn.realised.values())

  def _why_skipped(self, index: int, record: metrics.Record) -> str | None:
    """Why a step was not learned from; None if it was. Raises NonFiniteError if it may not be skipped."""
    if self._guard.skips(index + 1):
      return SPIKE
    if metrics.is_finite(record):
      return None
    plan, skips = self._plan, self._plan.stage.skips
    if skips and self.drawn.skips_because(NONFINITE) < skips.nonfinite:
      return NONFINITE
    first = index * plan.stage.batch
    allowed = f' {skips.nonfinite} such steps were skipped before, as Skips.nonfinite allows.' if skips and skips.nonfinite else ''
    raise NonFiniteError(
      f"stage '{plan.stage.name}', step {record['step']} is not finite: loss {record['loss']}, gradient norm {record['grad_norm']}.{allowed} "
      f'Nothing after the last checkpoint is kept; `codemix inspect --stage={plan.hash[:12]} --step={index + 1}` shows its rows '
      f'({first:,} to {first + plan.stage.batch - 1:,} of the stage).'
    )

  def _time(self, step: int, stage_tokens: int) -> metrics.Record:
    now = time.monotonic()
    seconds, self._clock = now - self._clock, now
    tokens, self._timed = stage_tokens - self._timed, stage_tokens
    if self._starting:
      # A stage's first step in a process may compile and waits for its first rows; its speed would mislead.
      self._starting = False
      return {'step': step, 'seconds': seconds}
    timing = {'step': step, 'seconds': seconds, 'tokens_per_second': tokens / seconds}
    if self._peak_tflops:
      flops = timing['tokens_per_second'] * self._flops_per_token
      timing['mfu'] = flops / (self._peak_tflops * 1e12)
    return timing

  def _write_lines(self) -> None:
    unwritten, self._unwritten = self._unwritten, []
    self._written = time.monotonic()
    for file, records in zip(self.lines, zip(*unwritten, strict=True), strict=False):
      file.append(*records)
    for board in self.boards:
      for record, timing in unwritten:
        board.append({**record, **timing})

  def flush(self) -> None:
    """Puts every line on disk."""
    self._write_lines()
    for file in self.lines:
      file.flush()

  def __enter__(self) -> StageLog:
    return self

  def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
    # A file that cannot be closed, as on a full disk, must not hide the error that ends the stage.
    with contextlib.suppress(UserError, OSError) if error else contextlib.nullcontext():
      self.close()

  def close(self) -> None:
    """Writes what is left and closes every file, even if closing another one fails."""
    with contextlib.ExitStack() as files:
      for file in (*self.lines, *self.boards):
        files.callback(file.close)
      self._write_lines()
