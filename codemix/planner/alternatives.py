"""Finds a change that makes a step fit in memory: one kind of change at a time, the cheapest first."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import jax

from codemix.errors import UserError
from codemix.models.config import REMAT
from codemix.parallel.mesh import make_mesh
from codemix.parallel.sharding import BATCH_AXES
from codemix.planner.programs import TRAIN, Compiled, Step, state_on_chip
from codemix.training.runtime import Runtime


@dataclasses.dataclass(frozen=True)
class Change:
  """A step and a runtime after a change, and the `bindings` that make it in a gin file."""

  bindings: tuple[str, ...]
  step: Step
  runtime: Runtime


@dataclasses.dataclass(frozen=True)
class Attempt:
  """A change that was tried.

  Attributes:
    compiled: the program; None if it was not compiled because the state alone is too large.
    state_bytes: weights, gradients and optimizer state on one chip, computed from shapes.
  """

  change: Change
  fits: bool
  compiled: Compiled | None
  state_bytes: int


def smallest_change(
  step: Step,
  runtime: Runtime,
  devices: Sequence[jax.Device],
  limit: int,
  compile_change: Callable[[Change], Compiled],
) -> list[Attempt]:
  """Looks for the smallest change after which a step fits.

  The kinds of change, in order: a remat policy that recomputes more, more chips that shard one copy
  of the state, more microbatches, and the largest change of each kind together. It tries the largest
  change of a kind first and, if that fits, finds the smallest by bisection.

  Args:
    runtime: its mesh has no size of -1.
    limit: bytes of memory of a chip.

  Returns: the attempts in order. The last one that fits is the smallest change.
  """
  attempts: list[Attempt] = []

  def fits(change: Change) -> bool:
    state = _state_bytes(change, devices)
    compiled = compile_change(change) if state <= limit else None
    enough = compiled is not None and compiled.fits_compiler and compiled.memory.total <= limit
    attempts.append(Attempt(change, enough, compiled, state))
    return enough

  for kind in _kinds(step, runtime, devices):
    if fits(kind[-1]):
      least, most = 0, len(kind) - 1  # the smallest change that may fit; the smallest known to fit
      while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if fits(kind[middle]) else (middle + 1, most)
      break
  return attempts


def smallest_of(attempts: Sequence[Attempt]) -> Attempt | None:
  """The smallest change that fits, or None."""
  return next((attempt for attempt in reversed(attempts) if attempt.fits), None)


def _kinds(step: Step, runtime: Runtime, devices: Sequence[jax.Device]) -> Iterator[list[Change]]:
  """The changes of each kind, smallest first; the cheapest kind first."""
  kinds = [list(_recomputing(step, runtime)), list(_sharing(step, runtime, devices)), list(_in_portions(step, runtime))]
  possible = [kind for kind in kinds if kind]
  yield from possible
  if len(possible) > 1:
    yield [_together([kind[-1] for kind in possible], step, runtime)]


def _recomputing(step: Step, runtime: Runtime) -> Iterator[Change]:
  """Remat policies that save less than the step's; REMAT lists the one that saves most first."""
  for name in REMAT[REMAT.index(step.model.remat) + 1 :] if step.kind == TRAIN else ():
    model = dataclasses.replace(step.model, remat=name)
    yield Change((f"ModelConfig.remat = '{name}'",), dataclasses.replace(step, model=model), runtime)


def _sharing(step: Step, runtime: Runtime, devices: Sequence[jax.Device]) -> Iterator[Change]:
  """Doubles `fsdp` and halves `data` as long as `data` is even and the sharding rules divide the state."""
  mesh = runtime.mesh
  uses_fsdp = any('fsdp' in runtime.rules.over(field.name) for field in dataclasses.fields(runtime.rules))
  while mesh.data % 2 == 0 and uses_fsdp:
    mesh = dataclasses.replace(mesh, data=mesh.data // 2, fsdp=2 * mesh.fsdp)
    bindings = (f'MeshConfig.data = {mesh.data}', f'MeshConfig.fsdp = {mesh.fsdp}')
    change = Change(bindings, step, dataclasses.replace(runtime, mesh=mesh))
    try:
      _state_bytes(change, devices)
    except UserError:
      return
    yield change


def _in_portions(step: Step, runtime: Runtime) -> Iterator[Change]:
  """Doubles the number of microbatches, down to one row per chip in each."""
  shards = math.prod(runtime.mesh.sizes()[axis] for axis in BATCH_AXES)
  more = 2
  batch = step.batch // (runtime.microbatches if step.kind == TRAIN else 1)
  while batch % (shards * more) == 0:
    portions = more * runtime.microbatches
    # A train step loops over its microbatches; an evaluation step is compiled for one of them.
    smaller = step if step.kind == TRAIN else dataclasses.replace(step, batch=batch // more)
    change = dataclasses.replace(runtime, microbatches=portions)
    yield Change((f'Runtime.microbatches = {portions}',), smaller, change)
    more *= 2


def _together(most: Sequence[Change], step: Step, runtime: Runtime) -> Change:
  """The largest change of each kind, combined."""
  model, mesh, portions = step.model, runtime.mesh, runtime.microbatches
  batch = min(change.step.batch for change in most)
  for change in most:
    model = change.step.model if change.step.model != step.model else model
    mesh = change.runtime.mesh if change.runtime.mesh != runtime.mesh else mesh
    portions = max(portions, change.runtime.microbatches)
  return Change(
    tuple(binding for change in most for binding in change.bindings),
    dataclasses.replace(step, model=model, batch=batch),
    dataclasses.replace(runtime, mesh=mesh, microbatches=portions),
  )


def _state_bytes(change: Change, devices: Sequence[jax.Device]) -> int:
  mesh = make_mesh(change.runtime.mesh, devices)
  weights, optimizer = state_on_chip(change.step, mesh, change.runtime)
  return 2 * weights + optimizer if change.step.kind == TRAIN else weights
