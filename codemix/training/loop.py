"""Trains one stage: from its hand-off or its newest checkpoint to its sealed result."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from codemix.checkpoints import Checkpoints
from codemix.data import ledger, loader
from codemix.data.ledger import StageRows
from codemix.data.rows import Source
from codemix.errors import NonFiniteError, Preempted, UserError
from codemix.files import locked, read_json, write_json, write_text
from codemix.identity import differences
from codemix.models.config import ModelConfig
from codemix.parallel.processes import barrier
from codemix.parallel.sharding import batch_sharding
from codemix.training import metrics
from codemix.training.optimizer import Optimizer
from codemix.training.preemption import stopping_after_a_step
from codemix.training.progress import stage_progress
from codemix.training.runtime import Runtime
from codemix.training.stage import Handoff, StagePlan, is_done, stage_folder
from codemix.training.train_state import (
  TrainState,
  abstract_state,
  hand_off,
  init_state,
  state_bytes,
)
from codemix.training.train_step import make_train_step

IN_FLIGHT = 2  # steps whose metrics may wait on the devices while the host goes on
BARRIER_TIMEOUT_S = 600


@dataclasses.dataclass(frozen=True)
class Trainer:
  """What the stages of a run have in common.

  Attributes:
    model, optimizer: what is trained, and how.
    sources: every source of the run by name, open.
    mesh: the devices.
    runtime: the machine's side.
    bos_id: the input that begins a document.
  """

  model: ModelConfig
  optimizer: Optimizer
  sources: Mapping[str, Source]
  mesh: Mesh
  runtime: Runtime
  bos_id: int

  def folder(self, plan: StagePlan) -> Path:
    return stage_folder(self.runtime.output, plan)


def train_stage(trainer: Trainer, plan: StagePlan) -> Path:
  """Trains a stage whose parent is done, or finds it done.

  However often it is interrupted, the same call ends in the same parameters,
  ledger and metrics.

  Returns:
    The stage's folder.

  Raises:
    NonFiniteError: a loss or gradient was not finite; its step is not saved.
    Preempted: SIGTERM came; a checkpoint was saved.
    UserError: another process trains it, a checkpoint is of something else, or
      the disk is full.
  """
  folder = trainer.folder(plan)
  if is_done(trainer.runtime.output, plan):
    return folder
  primary = not jax.process_index()
  with locked(folder, 'training') if primary else contextlib.nullcontext():
    if primary:
      _write_plan(trainer, folder, plan)
    barrier(f'plan-{plan.hash[:12]}', BARRIER_TIMEOUT_S)
    checkpoints = Checkpoints(
      folder / 'checkpoints', state_bytes(trainer.model, trainer.optimizer), trainer.runtime.keep
    )
    with contextlib.closing(checkpoints):
      state, realised = _begin(trainer, plan, checkpoints)
      realised = _run_steps(trainer, plan, folder, checkpoints, state, realised)
      if primary:
        _write_result(trainer, plan, folder, checkpoints, realised)
        if trainer.runtime.keep is not None:
          checkpoints.delete_before(plan.last_step)
    barrier(f'done-{plan.hash[:12]}', BARRIER_TIMEOUT_S)
  return folder


def final_state(trainer: Trainer, plan: StagePlan) -> TrainState:
  """Restores the result of a stage that is done, and no other checkpoint.

  Raises:
    UserError: it is not done, or its checkpoint is missing, damaged or another.
  """
  folder = trainer.folder(plan)
  done = read_json(folder / 'done.json')
  with contextlib.closing(Checkpoints(folder / 'checkpoints')) as checkpoints:
    checkpoints.require(plan.last_step, done['checkpoint'])
    return checkpoints.restore_state(
      plan.last_step, abstract_state(trainer.model, trainer.optimizer, trainer.mesh)
    )


def _begin(trainer: Trainer, plan: StagePlan, checkpoints: Checkpoints) -> tuple[TrainState, dict]:
  """The state and the ledger with which to go on: restore, else hand over, else initialise."""
  target = abstract_state(trainer.model, trainer.optimizer, trainer.mesh)
  step = checkpoints.newest(trainer.runtime.on_damaged, _warn)
  if step is not None:
    position = checkpoints.restore_position(step)
    if different := list(differences(_position(plan, step), {k: v for k, v in position.items() if k != 'realised'})):
      raise UserError(
        f'the checkpoint {checkpoints.folder / str(step)} does not belong to this stage: {"; ".join(different)}. Delete it, or restore the right one.'
      )
    return checkpoints.restore_state(step, target), position['realised']
  realised = {draw.source: dict.fromkeys(ledger.COUNTED, 0) for draw in plan.draws}
  if plan.parent is None:
    return init_state(trainer.model, trainer.optimizer, plan.seed, trainer.mesh), realised
  parent = final_state(trainer, plan.parent)
  if plan.stage.handoff == Handoff():  # everything goes on
    return parent, realised
  fresh = init_state(trainer.model, trainer.optimizer, plan.seed, trainer.mesh)
  return hand_off(parent, fresh, plan.stage.handoff), realised


def _run_steps(
  trainer: Trainer, plan: StagePlan, folder: Path, checkpoints: Checkpoints, state: TrainState, realised: dict
) -> dict:
  """Runs the stage's remaining steps; returns what they drew from each source in all."""
  rows = StageRows(trainer.sources, plan.draws, plan.seed)
  train_step = make_train_step(trainer.model, trainer.optimizer, trainer.mesh, trainer.bos_id)
  done = state.step - plan.first_step
  log = _Log(trainer, plan, folder, rows.names, done, realised)
  waiting: collections.deque = collections.deque()
  batches = loader.batches(
    rows, plan.stage.batch, range(done, plan.steps), batch_sharding(trainer.mesh), trainer.runtime.prefetch
  )
  with (
    contextlib.closing(log),
    stage_progress(plan.stage.name, plan.steps, done) as show,
    stopping_after_a_step() as stop_asked,
  ):
    for index, batch in zip(range(done, plan.steps), batches, strict=True):
      state, values = train_step(state, batch, plan.rates[index])
      waiting.append((index, values))
      while len(waiting) > IN_FLIGHT:
        show(*log.write(*waiting.popleft()))
      step, last = plan.first_step + index + 1, index + 1 == plan.steps
      stop = stop_asked(step)
      if last or stop or (index + 1) % trainer.runtime.save_every == 0:
        # Only a step known to be finite is saved, with its metrics on disk before it.
        while waiting:
          show(*log.write(*waiting.popleft()))
        log.flush()
        checkpoints.save(step, state, {**_position(plan, step), 'realised': log.realised})
        if stop and not last:
          checkpoints.wait()
          raise Preempted(f"stage '{plan.stage.name}' was asked to stop and saved step {step}. The same command goes on from there.")
    checkpoints.wait()
  return log.realised


class _Log:
  """Writes each step's metrics and adds up the realised ledger."""

  def __init__(self, trainer, plan, folder, names, done, realised):
    self.realised = realised
    self._plan, self._names = plan, names
    self._flops_per_token = trainer.model.flops_per_token(plan.length)['total']
    self._peak = (trainer.runtime.peak_tflops or 0) * 1e12 * trainer.mesh.size
    self._clock, self._starting = time.monotonic(), True
    after = plan.first_step + done
    self._files = ()
    if not jax.process_index():
      self._metrics = metrics.JsonLines(folder / 'metrics.jsonl', after)
      self._timing = metrics.JsonLines(folder / 'timing.jsonl', after)
      self._files = (self._metrics, self._timing)
      if trainer.runtime.tensorboard:
        self._board = metrics.TensorBoard(folder / 'tensorboard', after)
        self._files += (self._board,)

  def write(self, index: int, values: dict[str, jax.Array]) -> tuple[int, float, float]:
    """Waits for a step's metrics and writes them; returns (steps done, loss, tokens/s)."""
    plan = self._plan
    host = {key: np.asarray(value) for key, value in values.items()}
    record = metrics.step_record(
      plan.first_step + index + 1,
      index + 1,
      sum(counts['loss_tokens'] for counts in self.realised.values()),
      plan.rates[index],
      host,
      self._names,
    )
    if not metrics.is_finite(record):
      raise NonFiniteError(
        f"stage '{plan.stage.name}', step {record['step']}: the loss is {record['loss']}, the gradient norm {record['grad_norm']}. "
        f'Nothing after the last checkpoint is kept; rows {index * plan.stage.batch:,} to {(index + 1) * plan.stage.batch - 1:,} of the stage were in this step.'
      )
    for name, counts in metrics.count_rows(host, self._names).items():
      for key, count in counts.items():
        self.realised[name][key] += count
    timing = self._time(record['step'], int(host['tokens'].sum()))
    if self._files:
      self._write(record, timing)
    return index + 1, record['loss'], timing.get('tokens_per_second', 0.0)

  def _time(self, step: int, tokens: int) -> metrics.Record:
    now = time.monotonic()
    seconds, self._clock = now - self._clock, now
    if self._starting:
      # The first step of a process compiles; its speed would mislead.
      self._starting = False
      return {'step': step, 'seconds': seconds}
    timing = {'step': step, 'seconds': seconds, 'tokens_per_second': tokens / seconds}
    if self._peak:
      timing['mfu'] = timing['tokens_per_second'] * self._flops_per_token / self._peak
    return timing

  def _write(self, record: metrics.Record, timing: metrics.Record) -> None:
    self._metrics.append(record)
    self._timing.append(timing)
    for board in self._files[2:]:
      board.append({**record, **timing})

  def flush(self) -> None:
    for file in self._files[:2]:
      file.flush()

  def close(self) -> None:
    for file in self._files:
      file.close()


def _write_plan(trainer: Trainer, folder: Path, plan: StagePlan) -> None:
  written = folder / 'stage.json'
  description = {
    'name': plan.stage.name,
    'hash': plan.hash,
    'parent': plan.parent.hash if plan.parent else None,
    'identity': plan.identity,
  }
  if written.exists() and (
    different := list(differences(plan.identity, read_json(written).get('identity', {})))
  ):
    raise UserError(f'{written} is not what this stage was named for: {"; ".join(different[:3])}. Move the folder away.')
  write_json(
    folder / 'plan.json',
    {
      'steps': plan.steps,
      'batch': plan.stage.batch,
      'length': plan.length,
      'tokens': plan.tokens,
      'remainder_tokens': plan.remainder_tokens,
      'first_step': plan.first_step,
      'parameters': trainer.model.parameter_count()['total'],
      'flops_per_token': trainer.model.flops_per_token(plan.length)['total'],
      'mixture': plan.stage.tree().to_json(),
      'sources': [dataclasses.asdict(draw) for draw in plan.draws],
    },
  )
  lines = [f'{plan.first_step + i + 1},{rate!r}\n' for i, rate in enumerate(plan.rates.tolist())]
  write_text(folder / 'rate.csv', 'step,rate\n' + ''.join(lines))
  write_json(written, description)


def _write_result(trainer: Trainer, plan: StagePlan, folder: Path, checkpoints: Checkpoints, realised: dict) -> None:
  ledger.compare(plan.draws, realised, f"stage '{plan.stage.name}'")
  parent_hash = None
  if plan.parent is not None:
    parent_hash = read_json(trainer.folder(plan.parent) / 'ledger.json')['hash']
  entry = ledger.entry(plan.stage.name, plan.draws, realised, parent_hash)
  write_json(folder / 'ledger.json', entry)
  write_json(
    folder / 'done.json',
    {'step': plan.last_step, 'checkpoint': checkpoints.digest(plan.last_step), 'ledger': entry['hash']},
  )


def _position(plan: StagePlan, step: int) -> dict:
  """Where a checkpoint stands; with the ledger so far it stays under 1 KB for a handful of sources."""
  row = (step - plan.first_step) * plan.stage.batch
  return {'stage': plan.hash, 'step': step, 'target_step': plan.last_step, 'row': row, 'seed': plan.seed}


def _warn(message: str) -> None:
  print(f'warning: {message}', file=sys.stderr)
