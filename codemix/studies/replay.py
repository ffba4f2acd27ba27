"""Trains some steps of a stage again, beside it, and compares them bit by bit with what was recorded."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from codemix.checkpoints import Checkpoints, damage
from codemix.data.batches import loader
from codemix.errors import CodemixError, UserError
from codemix.numerics import pinned
from codemix.parallel.sharding import batch_sharding
from codemix.studies.load_stage import whole_steps
from codemix.studies.verify_metrics import FILE, text_lines
from codemix.training.drawn import Drawn, drawn_at, nothing_drawn
from codemix.training.loop import Trainer, first_state
from codemix.training.rewinds import SpikeGuard, rewinds_for_all
from codemix.training.stage import StagePlan
from codemix.training.stage_log import StageLog
from codemix.training.train_state import TrainState


@dataclasses.dataclass(frozen=True)
class Replayed:
  """Steps that came out as they were recorded; all are counted from 1 in their stage.

  Attributes:
    first, last: the steps.
    checkpoints: those among them after which the whole state was compared with a checkpoint.
  """

  first: int
  last: int
  checkpoints: tuple[int, ...]

  def __str__(self) -> str:
    states = f'; the state after step {", ".join(map(str, self.checkpoints))} is that of the checkpoint' if self.checkpoints else ', no checkpoint among them'
    return f'replayed steps {self.first:,}..{self.last:,}: identical{states}'


@pinned()
def replay(trainer: Trainer, plan: StagePlan, steps: int) -> Replayed | None:
  """Replays up to `steps` recorded steps of a stage; None if it has none.

  They begin with a checkpoint after which another one was kept within so many steps, the last if there are several, so that
  the states can be compared; else with the beginning of the stage. Nothing is written. The
  devices, the mesh and the versions must be those of the run: others round in another way.

  Raises:
    CodemixError: a value of a metrics line or of a checkpoint is another; it names the first.
    UserError: the checkpoint is damaged, or what the stage began with is missing.
  """
  folder = trainer.folder(plan)
  recorded = text_lines(folder / FILE)
  if not recorded:
    return None
  kept = [step - plan.first_step for step in whole_steps(folder) if plan.first_step < step <= plan.first_step + len(recorded)]
  begin = start_of(kept, steps)
  end = min(begin + steps, len(recorded))
  state, drawn = _state_at(trainer, plan, begin)
  guard = SpikeGuard(plan.stage.skips, rewinds_for_all(folder), plan.steps, f"stage '{plan.name}'")
  rows = plan.rows(trainer.sources)
  log = StageLog(plan, None, rows.names, begin, drawn, guard, peak_tflops=None, flops_per_token=0.0, tensorboard=False)
  guarded = bool(plan.stage.skips and plan.stage.skips.identity())
  train_step = trainer.train_step(guarded)
  batches = loader.batches(rows, plan.stage.batch, range(begin, end), batch_sharding(trainer.mesh), trainer.runtime.prefetch)
  compared = []
  for index, batch in zip(range(begin, end), batches, strict=True):
    learn = [np.bool_(not guard.skips(index + 1))] if guarded else []
    state, values = train_step(state, batch, plan.rates[index], *learn)
    _compare_line(json.dumps(log.count(index, values)), recorded[index].decode(), f'{folder / FILE}:{index + 1}')
    if index + 1 in kept:
      _compare_states(state, _saved(trainer, plan, index + 1)[0], f'{folder}/checkpoints/{plan.first_step + index + 1}')
      compared.append(index + 1)
  return Replayed(begin + 1, end, tuple(compared))


def start_of(kept: Sequence[int], steps: int) -> int:
  """The step after which a replay of up to `steps` steps begins.

  Args:
    kept: steps of the stage with a checkpoint, ascending.
  """
  pairs = [(a, b) for a, b in itertools.pairwise([0, *kept]) if b - a <= steps]
  return pairs[-1][0] if pairs else 0


def _state_at(trainer: Trainer, plan: StagePlan, stage_step: int) -> tuple[TrainState, Drawn]:
  if stage_step:
    return _saved(trainer, plan, stage_step)
  return first_state(trainer, plan), nothing_drawn(plan.draws)


def _saved(trainer: Trainer, plan: StagePlan, stage_step: int) -> tuple[TrainState, Drawn]:
  folder, step = trainer.folder(plan) / 'checkpoints', plan.first_step + stage_step
  if why := damage(folder, step):
    raise UserError(f'the checkpoint {folder / str(step)} is damaged: {why}. Restore it.')
  with contextlib.closing(Checkpoints(folder, read_only=True)) as checkpoints:
    return checkpoints.restore_state(step, trainer.abstract_state()), drawn_at(checkpoints.restore_position(step))


def _compare_line(now: str, then: str, place: str) -> None:
  if now == then:
    return
  new, old = json.loads(now), json.loads(then)
  key = next((key for key in {**old, **new} if json.dumps(old.get(key)) != json.dumps(new.get(key))), 'the order of its keys')
  raise CodemixError(
    f"{place}: '{key}' was {old.get(key)}, and is {new.get(key)} in the replay. The file or the data were changed, a device computes wrongly, or the "
    'run had other devices or versions (study.json).'
  )


def _compare_states(now: TrainState, then: TrainState, place: str | Path) -> None:
  for (path, new), old in zip(jax.tree_util.tree_leaves_with_path(now), jax.tree.leaves(then), strict=True):
    new, old = (np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (new, old))
    if not np.array_equal(new, old):
      share = np.count_nonzero(new != old) / new.size
      raise CodemixError(
        f'{place}: {jax.tree_util.keystr(path)} differs from the replay in {share:.2%} of its bytes, though the metrics up to here are the same. A device computes '
        'wrongly, or the run had other devices or versions (study.json).'
      )
