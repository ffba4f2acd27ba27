"""Trains one stage: from its hand-off or its newest checkpoint to its sealed result."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from codemix.checkpoints import Checkpoints
from codemix.data.batches import ledger, loader
from codemix.data.batches.source import Source
from codemix.errors import Preempted, UserError
from codemix.identity import differences
from codemix.models.config import ModelConfig
from codemix.models.decoder import Params
from codemix.parallel import watchdog
from codemix.parallel.coordination import barrier, decide
from codemix.parallel.sharding import batch_sharding
from codemix.storage import locked, require_form
from codemix.terminal import warn_once
from codemix.training.drawn import POSITION_KEYS, Drawn, drawn_at, nothing_drawn
from codemix.training.garbage import frozen_gc
from codemix.training.goodput import TimeAccount, read_times
from codemix.training.handoff import Handoff
from codemix.training.optimizer import Optimizer
from codemix.training.placement import Placement
from codemix.training.preemption import stop_asked, stopping_after_a_step
from codemix.training.progress import stage_progress
from codemix.training.rewinds import Rewind, SpikeFound, SpikeGuard, go_back, rewinds_for_all
from codemix.training.runtime import Runtime
from codemix.training.stage import TRAINING, StagePlan, is_done, stage_folder
from codemix.training.stage_log import StageLog
from codemix.training.stage_record import read_done, write_plan, write_result
from codemix.training.start_state import restore_start
from codemix.training.train_state import (
  TrainState,
  abstract_state,
  hand_off,
  init_state,
  require_finite,
  state_bytes,
)
from codemix.training.train_step import make_train_step

Evaluate = Callable[[int, Params], None]  # (step of the run, parameters)

IN_FLIGHT = 2  # steps whose metrics may wait on the devices while the host goes on
BARRIER_TIMEOUT_S = 600


@dataclasses.dataclass(frozen=True)
class Trainer:
  """What all stages of a run share.

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

  @property
  def placement(self) -> Placement:
    """How the state is sharded."""
    return self.runtime.placement(self.mesh)

  def abstract_state(self) -> TrainState:
    """Shapes and shardings of the state that the stages train."""
    return abstract_state(self.model, self.optimizer, self.placement)

  def init_state(self, seed: int) -> TrainState:
    """A fresh state."""
    return init_state(self.model, self.optimizer, seed, self.placement)

  def train_step(self, guarded: bool = False):
    """The compiled step that all stages run; `guarded` is that of stages with `Skips` (`make_train_step`)."""
    microbatches = self.runtime.microbatches
    return make_train_step(self.model, self.optimizer, self.placement, self.bos_id, microbatches, guarded)

  def folder(self, plan: StagePlan) -> Path:
    return stage_folder(self.runtime.output, plan)


def train_stage(trainer: Trainer, plan: StagePlan, began: float | None = None, evaluate: Evaluate | None = None) -> Path:
  """Trains a stage whose parent is done; returns at once if it is done itself.

  After any number of interruptions the same call ends in the same parameters,
  ledger and metrics.
  Its time counts from `began` (`time.monotonic()`; None for now). `evaluate` is called with the run's step and the
  parameters after every `Stage.evaluate_every` steps but the last, and again with those that a process resumes from. Returns the stage's folder.

  Raises:
    NonFiniteError: a loss or gradient was not finite; its step is not saved.
    Preempted: SIGTERM arrived; a checkpoint was saved.
    UserError: another process trains it, a checkpoint belongs to something else,
      or the disk is full.
  """
  folder = trainer.folder(plan)
  if done_for_all(trainer.runtime.output, plan):
    return folder
  primary = not jax.process_index()
  watchdog.at(f"the beginning of stage '{plan.name}'", compiles=True)
  with (
    locked(folder, TRAINING) if primary else contextlib.nullcontext(),
    TimeAccount(folder if primary else None, 'idle', began, trainer.mesh.size) as account,
  ):
    if primary:
      write_plan(folder, plan, trainer.model)
    barrier(f'plan-{plan.hash[:12]}', BARRIER_TIMEOUT_S)
    while spike := _train_or_find_spike(trainer, plan, folder, account, evaluate):
      go_back(folder, plan.hash, plan.first_step, spike)
      if primary:
        print(f'  {plan.name}: {spike}', file=sys.stderr, flush=True)
    barrier(f'done-{plan.hash[:12]}', BARRIER_TIMEOUT_S)
  if primary:
    print(f'  {plan.stage.name}: {read_times(folder)}', file=sys.stderr)
  return folder


def _train_or_find_spike(
  trainer: Trainer, plan: StagePlan, folder: Path, account: TimeAccount, evaluate: Evaluate | None
) -> Rewind | None:
  """Trains the remaining steps and writes the result; or returns the spike before which the stage must go back."""
  rewinds = rewinds_for_all(folder)
  checkpoints = Checkpoints(folder / 'checkpoints', state_bytes(trainer.model, trainer.optimizer), trainer.runtime.keep, keep_every=trainer.runtime.keep_every)
  with contextlib.closing(checkpoints):
    state, drawn = _begin(trainer, plan, checkpoints, account)
    guard = SpikeGuard(plan.stage.skips, rewinds, plan.steps, f"stage '{plan.name}'")
    try:
      with frozen_gc(), account.spent_on('step'):
        _run_steps(trainer, plan, folder, checkpoints, state, drawn, guard, account, evaluate)
    except SpikeFound as found:
      return found.rewind
    watchdog.at(f"the end of stage '{plan.name}'")
    if not jax.process_index():
      parent = trainer.folder(plan.parent) if plan.parent else None
      write_result(folder, plan, drawn, checkpoints.digest(plan.last_step), parent)
      if trainer.runtime.keep is not None:
        checkpoints.delete_before(plan.last_step)
  return None


def done_for_all(output: str | Path, plan: StagePlan) -> bool:
  """`is_done` as process 0 sees it: a new file does not appear on all machines at the same time."""
  return decide(is_done(output, plan), lambda seen: seen[0])


def final_state(trainer: Trainer, plan: StagePlan) -> TrainState:
  """Restores the result of a stage that is done, and no other checkpoint.

  Raises UserError if it is not done, or its checkpoint is missing, damaged or another.
  """
  folder = trainer.folder(plan)
  done = read_done(folder)
  with contextlib.closing(Checkpoints(folder / 'checkpoints')) as checkpoints:
    checkpoints.require(plan.last_step, done['checkpoint'])
    return checkpoints.restore_state(plan.last_step, trainer.abstract_state())


def _begin(
  trainer: Trainer, plan: StagePlan, checkpoints: Checkpoints, account: TimeAccount
) -> tuple[TrainState, Drawn]:
  """The state and ledger to start from: newest checkpoint, else what the hand-off gives, else fresh."""
  step = checkpoints.newest(trainer.runtime.on_damaged, warn_once)
  if step is not None:
    position = checkpoints.restore_position(step)
    if different := list(differences(_position(plan, step), {k: v for k, v in position.items() if k not in POSITION_KEYS})):
      raise UserError(
        f'the checkpoint {checkpoints.folder / str(step)} does not belong to this stage: {"; ".join(different)}. Delete it, or restore the right one.'
      )
    counts = {draw.source: dict.fromkeys(ledger.counted(draw), int) for draw in plan.draws}
    require_form(position, {'realised': counts}, checkpoints.folder / str(step), 'Delete it, or restore the right one.')
    return checkpoints.restore_state(step, trainer.abstract_state()), drawn_at(position)
  return first_state(trainer, plan, account), nothing_drawn(plan.draws)


def first_state(trainer: Trainer, plan: StagePlan, account: TimeAccount | None = None) -> TrainState:
  """What a stage begins with: what the hand-off gives, or a fresh state. Raises UserError as `final_state`."""

  def fresh() -> TrainState:
    with account.spent_on('compile') if account else contextlib.nullcontext():
      return trainer.init_state(plan.seed)

  if plan.start:
    return restore_start(plan.start, plan.stage.handoff, trainer.abstract_state(), fresh)
  if plan.parent is None:
    return fresh()
  parent = final_state(trainer, plan.parent)
  # Without a reset everything continues.
  return parent if plan.stage.handoff == Handoff() else hand_off(parent, fresh(), plan.stage.handoff)


def _run_steps(
  trainer: Trainer,
  plan: StagePlan,
  folder: Path,
  checkpoints: Checkpoints,
  state: TrainState,
  drawn: Drawn,
  guard: SpikeGuard,
  account: TimeAccount,
  evaluate: Evaluate | None,
) -> None:
  """Runs the stage's remaining steps; what they draw is added to `drawn`. Raises SpikeFound."""
  rows = plan.rows(trainer.sources)
  runtime = trainer.runtime
  guarded = bool(plan.stage.skips and plan.stage.skips.identity())
  train_step = trainer.train_step(guarded)
  done = state.step - plan.first_step
  account.goes_on_from(state.step)
  log = _open_log(trainer, plan, folder, rows.names, done, drawn, guard)
  waiting: collections.deque = collections.deque()
  batches = loader.batches(
    rows, plan.stage.batch, range(done, plan.steps), batch_sharding(trainer.mesh), trainer.runtime.prefetch
  )
  with (
    log,
    stage_progress(plan.stage.name, plan.steps, done) as show,
    stopping_after_a_step(),
  ):
    saved = done

    def write_all_but(steps: int) -> None:
      while len(waiting) > steps:
        written, *shown = log.write(*waiting.popleft())
        account.reached(plan.first_step + written)
        show(written, *shown)

    def save(steps: int, stops: bool) -> None:
      nonlocal saved
      step = plan.first_step + steps
      write_all_but(0)
      # Only a step whose metrics are finite and on the disk is saved.
      account.write()
      watchdog.at(f"the save of step {step} of stage '{plan.name}'")
      with account.spent_on('save'):
        if steps > saved:
          log.flush()
          require_finite(state, f"stage '{plan.stage.name}', step {step}")
          checkpoints.save(step, state, {**_position(plan, step), **drawn.as_position()})
          saved = steps
        if stops:
          checkpoints.wait()
      if stops:
        raise Preempted(f"stage '{plan.stage.name}' was asked to stop and saved step {step}. The same command goes on from there.")

    def evaluate_after(steps: int) -> None:
      if evaluate and 0 < steps < plan.steps and steps % plan.stage.evaluate_every == 0:
        write_all_but(0)
        watchdog.at(f"the evaluation after step {plan.first_step + steps} of stage '{plan.name}'", compiles=True)
        try:
          with account.spent_on('evaluation'):
            evaluate(plan.first_step + steps, state.params)
        except Preempted:
          save(steps, stops=True)

    evaluate_after(done)  # a process may have saved this step, and ended before its results were written
    for index, batch in zip(range(done, plan.steps), account.waiting_for('data', batches), strict=True):
      named = f"step {plan.first_step + index + 1} of stage '{plan.name}'"
      watchdog.at(f'{named}, which may compile,', compiles=True) if index == done else watchdog.at_step(named)
      with account.spent_on('compile') if index == done else contextlib.nullcontext():
        learn = [np.bool_(not guard.skips(index + 1))] if guarded else []
        state, values = train_step(state, batch, plan.rates[index], *learn)
        if index == done:
          jax.block_until_ready(values)
      waiting.append((index, values))
      write_all_but(IN_FLIGHT)
      last = index + 1 == plan.steps
      stop = stop_asked() and not last  # a stage of which no step is left comes to its end first
      if last or stop or (index + 1) % runtime.save_every == 0:
        save(index + 1, stops=stop)
      evaluate_after(index + 1)
    watchdog.at(f"the last save of stage '{plan.name}'")
    with account.spent_on('save'):
      checkpoints.wait()


def _open_log(
  trainer: Trainer, plan: StagePlan, folder: Path, names: list[str], done: int, drawn: Drawn, guard: SpikeGuard
) -> StageLog:
  peak = trainer.runtime.peak_tflops
  return StageLog(
    plan,
    None if jax.process_index() else folder,
    names,
    done,
    drawn,
    guard,
    peak_tflops=peak and peak * trainer.mesh.size,
    flops_per_token=trainer.model.flops_per_token(plan.length)['total'],
    tensorboard=trainer.runtime.tensorboard,
  )


def _position(plan: StagePlan, step: int) -> dict:
  """The position in a checkpoint, beside the ledger so far; under 1 KB for a handful of sources."""
  row = (step - plan.first_step) * plan.stage.batch
  return {'stage': plan.hash, 'step': step, 'target_step': plan.last_step, 'row': row, 'seed': plan.seed}
