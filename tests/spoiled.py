"""Spoils batches of a stage on their way to the train step: what a fault of the data or of a device does to a loss."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from codemix.data.batches import loader
from tests import tiny_study

NAN, SPIKE = 'nan', 'spike'

# Of the small study: 24 steps, so that there are losses to compare with, and then a cooldown.
STEPS, LAST_STEPS = 24, 4


def _spoil_nan(batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
  # The sum of the losses, and of the weights, overflows; what counts as a token stays.
  return {**batch, 'weights': batch['weights'] * jnp.float32(3e38)}


def _spoil_spike(batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
  return {**batch, 'targets': jnp.zeros_like(batch['targets'])}  # a token that no document has


def spoil(patch: Any, stage_steps: Mapping[int, str], of: Callable[[Any], bool] = lambda rows: len(rows) == STEPS * tiny_study.BATCH) -> None:
  """Spoils these steps (from 1) of some stages, each time they read them.

  Args:
    patch: has `setattr(object, name, value)`, as pytest's MonkeyPatch.
    of: whether a stage is meant, by its `StageRows`.
  """
  batches = loader.batches

  @functools.wraps(batches)
  def spoiled(rows: Any, batch: int, steps: range, *rest: Any) -> Iterator[dict[str, jax.Array]]:
    for step, found in zip(steps, batches(rows, batch, steps, *rest), strict=True):
      how = stage_steps.get(step + 1) if of(rows) else None
      change = {None: None, NAN: _spoil_nan, SPIKE: _spoil_spike}[how]
      yield jax.jit(change, out_shardings={key: value.sharding for key, value in found.items()})(found) if change else found

  patch.setattr(loader, 'batches', spoiled)
