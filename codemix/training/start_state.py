"""The state of a run that begins with the model of a `Start`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import jax
import numpy as np

from codemix.checkpoints import Checkpoints, damage
from codemix.errors import UserError
from codemix.training.handoff import KEPT, Handoff
from codemix.training.optimizer import step_of, with_step
from codemix.training.start import Start
from codemix.training.train_state import TrainState, hand_off


def require_whole(start: Start) -> None:
  """Reads the files of the start's checkpoint and compares their digests.

  Raises UserError if one is missing or has changed.
  """
  checkpoints = start.folder / 'checkpoints'
  if why := damage(checkpoints, start.last_step):
    raise UserError(f'Recipe.start: the checkpoint {checkpoints / str(start.last_step)} is damaged: {why}. {start.fix}')


def restore_start(start: Start, handoff: Handoff, target: TrainState, fresh: Callable[[], TrainState]) -> TrainState:
  """The first state of a recipe with `Recipe.start`: the start's weights, the rest as `handoff` says.

  Without the moments only the parameters are read: with Adam a third of the bytes.

  Raises UserError if the checkpoint is damaged or of another model.

  Args:
    target: shapes and shardings of the state, on any mesh.
    fresh: makes an initial state; not called if everything continues.
  """
  require_whole(start)
  with contextlib.closing(Checkpoints(start.folder / 'checkpoints')) as checkpoints:
    if handoff.optimizer == KEPT:
      parent = checkpoints.restore_state(start.last_step, target)
      return parent if handoff.step == KEPT else hand_off(parent, fresh(), handoff)
    params = checkpoints.restore_params(start.last_step, target.params)
  opt_state = fresh().opt_state
  if handoff.step == KEPT:
    step = jax.make_array_from_callback((), step_of(opt_state).sharding, lambda _: np.int32(start.last_step))
    opt_state = with_step(opt_state, step)
  return TrainState(params, opt_state)
