"""Parameters and optimizer state: made, sharded, and handed from stage to stage."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding, PartitionSpec

from codemix.errors import NonFiniteError
from codemix.models import decoder
from codemix.models.config import ModelConfig
from codemix.parallel.host_memory import in_host_memory
from codemix.parallel.mesh import platform_of
from codemix.parallel.sharding import parameter_shardings, tree_bytes
from codemix.training.handoff import KEPT, Handoff
from codemix.training.optimizer import Optimizer, make_optimizer, step_of, with_step
from codemix.training.placement import Placement

Tree = Any


class TrainState(NamedTuple):
  """What a train step changes.

  Attributes:
    params: nested dicts of float32 arrays.
    opt_state: Optax state; its last element counts the steps.
  """

  params: Tree
  opt_state: Tree

  @property
  def step(self) -> int:
    """Updates made, read out of the optimizer state."""
    return int(step_of(self.opt_state))


@functools.cache
def state_shardings(
  model: ModelConfig,
  optimizer: Optimizer,
  placement: Placement,
) -> TrainState:
  """A NamedSharding per leaf: moments as their parameters, counts on every device."""
  params = decoder.abstract_params(model)
  shardings = parameter_shardings(
    placement.mesh, params, decoder.logical_axes(model), placement.rules
  )
  tx = make_optimizer(optimizer)
  replicated = NamedSharding(placement.mesh, PartitionSpec())
  shapes = jax.eval_shape(tx.init, params)
  opt_state = optax.tree_map_params(
    tx,
    # Adafactor keeps means over rows and columns, whose shapes are not their parameter's.
    lambda leaf, param, sharding: sharding if leaf.shape == param.shape else replicated,
    shapes,
    params,
    shardings,
    transform_non_params=lambda _: replicated,
  )
  if placement.offload_optimizer:
    opt_state = in_host_memory(shapes, opt_state)
  return TrainState(shardings, opt_state)


@functools.cache
def abstract_state(model: ModelConfig, optimizer: Optimizer, placement: Placement) -> TrainState:
  """Shapes, types and shardings of a state, with nothing allocated."""
  shapes = jax.eval_shape(lambda: _fresh(model, optimizer, 0))
  return jax.tree.map(
    lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
    shapes,
    state_shardings(model, optimizer, placement),
  )


def init_state(
  model: ModelConfig,
  optimizer: Optimizer,
  seed: int,
  placement: Placement,
) -> TrainState:
  """A fresh state, computed on its devices; its values do not depend on the mesh."""
  # On some platforms programs cannot write constants directly into host memory.
  made_on = dataclasses.replace(placement, offload_optimizer=False)
  state = _make_init(model, optimizer, seed, made_on)()
  return state if made_on == placement else jax.device_put(state, state_shardings(model, optimizer, placement))


@functools.cache
def _make_init(model: ModelConfig, optimizer: Optimizer, seed: int, placement: Placement):
  # Cached, since most stages need fresh moments. The program runs once: on CPUs level 1 halves the compile time with the
  # same numbers; level 0 gives other numbers.
  places = state_shardings(model, optimizer, placement)

  def fresh_state() -> TrainState:
    return _fresh(model, optimizer, seed)

  options = {'xla_backend_optimization_level': 1} if platform_of(placement.mesh) == 'cpu' else {}
  return jax.jit(fresh_state, out_shardings=places, compiler_options=options)


def hand_off(parent: TrainState, fresh: TrainState, handoff: Handoff) -> TrainState:
  """A stage's first state: the parts of `parent` that `handoff` keeps, the rest of `fresh`."""
  weights = parent if handoff.weights == KEPT else fresh
  moments = parent if handoff.optimizer == KEPT else fresh
  step = parent if handoff.step == KEPT else fresh
  return TrainState(weights.params, with_step(moments.opt_state, step_of(step.opt_state)))


def require_finite(state: TrainState, where: str) -> None:
  """Raises NonFiniteError if a parameter or moment is NaN or infinite; such a state is never saved.

  At a very large rate, a finite gradient can overflow a parameter.
  """
  if not _all_finite(state):
    raise NonFiniteError(
      f'{where}: a parameter or an optimizer moment is not finite after the update. Nothing after the last checkpoint is kept.'
    )


@jax.jit
def _all_finite(state: TrainState) -> jax.Array:
  leaves = jax.tree.leaves(jax.device_put(state, jax.memory.Space.Device))
  return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()


@functools.cache
def state_bytes(model: ModelConfig, optimizer: Optimizer) -> int:
  """Bytes of the arrays of one state, which are those of one checkpoint."""
  return tree_bytes(jax.eval_shape(lambda: _fresh(model, optimizer, 0)))


def _fresh(model: ModelConfig, optimizer: Optimizer, seed: int) -> TrainState:
  params = decoder.init_params(model, seed)
  return TrainState(params, make_optimizer(optimizer).init(params))
