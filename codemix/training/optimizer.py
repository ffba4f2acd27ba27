"""Optimizers: Optax transformations that leave the learning rate to the train step.

The rate is an argument of the update, not a schedule inside the optimizer. So
the curve of a stage is plain data, one compiled step serves every stage, and
there is one count of steps: that of `scale_by_rate`, from which everything
else (the position in the data, the rate, the names of checkpoints) follows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from codemix.errors import UserError, nearest

Tree = Any


@dataclasses.dataclass(frozen=True)
class Optimizer:
  """Which optimizer, and its constants.

  The study says AdamW and no more; these defaults are the customary ones of
  decoder pre-training (Brown et al., 2020).

  Attributes:
    name: 'adamw', 'lion' or 'adafactor'.
    b1: decay of the first moment.
    b2: decay of the second moment (Lion: of its momentum; Adafactor: unused).
    eps: added to the root of the second moment.
    weight_decay: decoupled, times the rate; matrices only, norm scales have none.
    clip_norm: the gradient's global norm is clipped to this; 0 for never.
  """

  name: str = 'adamw'
  b1: float = 0.9
  b2: float = 0.95
  eps: float = 1e-8
  weight_decay: float = 0.1
  clip_norm: float = 1.0

  def __post_init__(self):
    if self.name not in _DIRECTIONS:
      raise UserError(
        f"Optimizer.name is '{self.name}'; it is one of {', '.join(_DIRECTIONS)}.{nearest(self.name, _DIRECTIONS)}"
      )


class StepState(NamedTuple):
  """Optimizer state of `scale_by_rate`: int32 [], updates made."""

  step: jax.Array


def scale_by_rate() -> optax.GradientTransformationExtraArgs:
  """Multiplies by minus the rate given to the update, and counts the step."""

  def init(params: Tree) -> StepState:
    del params
    return StepState(jnp.zeros([], jnp.int32))

  def update(updates: Tree, state: StepState, params: Tree = None, *, rate: jax.Array):
    del params
    return jax.tree.map(lambda u: -rate * u, updates), StepState(state.step + 1)

  return optax.GradientTransformationExtraArgs(init, update)


def make_optimizer(optimizer: Optimizer) -> optax.GradientTransformationExtraArgs:
  """The transformation; its update takes `rate`, and its state ends with a StepState."""
  clip = optax.clip_by_global_norm(optimizer.clip_norm) if optimizer.clip_norm else optax.identity()
  return optax.chain(
    clip,
    _DIRECTIONS[optimizer.name](optimizer),
    optax.add_decayed_weights(optimizer.weight_decay, mask=_is_matrix),
    scale_by_rate(),
  )


def step_of(opt_state: Tree) -> jax.Array:
  """int32 []: the updates made, the one truth for the step."""
  return opt_state[-1].step


def with_step(opt_state: Tree, step: jax.Array) -> Tree:
  """The same state with another step."""
  return (*opt_state[:-1], StepState(step))


def _is_matrix(params: Tree) -> Tree:
  # Scanned layers add a leading axis, so a stacked norm scale has two axes, a matrix at least two
  # of its own; the name tells them apart.
  return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key != 'scale', params)


_DIRECTIONS: dict[str, Callable[[Optimizer], optax.GradientTransformation]] = {
  'adamw': lambda o: optax.scale_by_adam(o.b1, o.b2, o.eps),
  'lion': lambda o: optax.scale_by_lion(o.b1, o.b2),
  'adafactor': lambda o: optax.chain(optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0)),
}
