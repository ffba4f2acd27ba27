"""Optimizers: Optax transformations that leave the learning rate to the train step.

The rate is an argument of the update, not a schedule inside the optimizer. So
the curve of a stage is plain data, one compiled step serves every stage, and
there is one count of steps: that of `scale_by_rate`, from which everything
else (the position in the data, the rate, the names of checkpoints) follows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from codemix.checked import Above, Below, From, checked
from codemix.errors import UserError

Tree = Any

SLOWEST_IN_BFLOAT16 = 0.99  # decay of a moment


@dataclasses.dataclass(frozen=True)
@checked
class Optimizer:
  """Which optimizer, and its constants.

  The paper says only AdamW; the defaults are those that are usual in decoder
  pre-training (Brown et al., 2020).

  Attributes:
    name: 'adamw', 'lion' or 'adafactor'.
    b1: decay of the first moment.
    b2: decay of the second moment (Lion: of its momentum; Adafactor: unused).
    eps: added to the root of the second moment.
    weight_decay: decoupled, times the rate; matrices only, norm scales have none.
    clip_norm: the gradient's global norm is clipped to this; 0 for never.
    moments_dtype: 'float32' or 'bfloat16', in which the moments are kept between
      updates, which are computed in float32. 'bfloat16' halves the memory and changes the numbers.

  Raises:
    UserError: a value out of range, or moments that bfloat16 cannot keep.
  """

  name: Literal['adamw', 'lion', 'adafactor'] = 'adamw'
  b1: Annotated[float, From(0), Below(1)] = 0.9
  b2: Annotated[float, From(0), Below(1)] = 0.95
  eps: Annotated[float, Above(0)] = 1e-8
  weight_decay: Annotated[float, From(0)] = 0.1
  clip_norm: Annotated[float, From(0)] = 1.0
  moments_dtype: Literal['float32', 'bfloat16'] = 'float32'

  def __post_init__(self):
    if self.moments_dtype == 'bfloat16':
      self._check_kept_in_bfloat16()

  def _check_kept_in_bfloat16(self) -> None:
    # bfloat16 has 8 bits: a change of less than 1/256 of a moment may be rounded away, and it would
    # never fade.
    if self.name == 'adafactor':
      raise UserError(
        "Optimizer.moments_dtype is 'bfloat16': adafactor's mean fades ever more slowly, and its moments are small; write 'float32'."
      )
    for field in ('b1', 'b2'):
      if getattr(self, field) > SLOWEST_IN_BFLOAT16:
        raise UserError(
          f"Optimizer.moments_dtype is 'bfloat16', which cannot keep a moment that fades as slowly as {field} = {getattr(self, field)}: "
          f"set Optimizer.{field} to {SLOWEST_IN_BFLOAT16} or less, or moments_dtype to 'float32'."
        )

  def identity(self) -> dict[str, object]:
    """What decides the updates, as plain data, without constants that it does not use."""
    return {k: v for k, v in dataclasses.asdict(self).items() if k not in _UNUSED[self.name]}


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
    _kept_in(jnp.dtype(optimizer.moments_dtype), _DIRECTIONS[optimizer.name](optimizer)),
    optax.add_decayed_weights(optimizer.weight_decay, mask=_is_matrix),
    scale_by_rate(),
  )


def _kept_in(
  dtype: jnp.dtype, direction: optax.GradientTransformation
) -> optax.GradientTransformation:
  """The same updates, computed in float32 from moments that are kept in `dtype`."""
  if dtype == jnp.float32:
    return direction

  def cast(state: Tree, to: jnp.dtype) -> Tree:
    is_moment = lambda leaf: leaf.ndim and jnp.issubdtype(leaf.dtype, jnp.floating)
    return jax.tree.map(lambda leaf: leaf.astype(to) if is_moment(leaf) else leaf, state)

  def init(params: Tree) -> Tree:
    return cast(direction.init(params), dtype)

  def update(updates: Tree, state: Tree, params: Tree = None):
    updates, state = direction.update(updates, cast(state, jnp.float32), params)
    return updates, cast(state, dtype)

  return optax.GradientTransformation(init, update)


def step_of(opt_state: Tree) -> jax.Array:
  """int32 []: the updates made, the only count of steps."""
  return opt_state[-1].step


def with_step(opt_state: Tree, step: jax.Array) -> Tree:
  """The same state with another step."""
  return (*opt_state[:-1], StepState(step))


def _is_matrix(params: Tree) -> Tree:
  # Scanned layers add a leading axis, so a stacked norm scale has two axes, a matrix at least two
  # of its own; the name distinguishes them.
  return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key != 'scale', params)


_DIRECTIONS: dict[str, Callable[[Optimizer], optax.GradientTransformation]] = {
  'adamw': lambda o: optax.scale_by_adam(o.b1, o.b2, o.eps),
  'lion': lambda o: optax.scale_by_lion(o.b1, o.b2),
  'adafactor': lambda o: optax.chain(optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0)),
}

_UNUSED = {'adamw': (), 'lion': ('eps',), 'adafactor': ('b1', 'b2', 'eps')}
