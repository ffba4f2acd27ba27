"""A hand-off keeps exactly what it says it keeps."""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pytest

from codemix.errors import UserError
from codemix.training.handoff import Handoff
from codemix.training.optimizer import Optimizer
from codemix.training.placement import Placement
from codemix.training.train_state import TrainState, hand_off, init_state
from tests.in_process import one_device_mesh
from tests.tiny_study import MODEL


@pytest.fixture(scope='module')
def fresh() -> TrainState:
  return init_state(MODEL, Optimizer(), 0, Placement(one_device_mesh()))


@pytest.fixture(scope='module')
def parent(fresh) -> TrainState:
  """A state in which every number differs from the fresh one's."""
  return jax.tree.map(lambda leaf: leaf + 1, fresh)


def same(left, right) -> bool:
  leaves = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
  return all(np.array_equal(a, b) for a, b in leaves)


@pytest.mark.parametrize('kept', list(itertools.product(('continue', 'restart'), repeat=3)))
def test_weights_moments_and_step_are_each_kept_or_reset_by_themselves(fresh, parent, kept):
  weights, optimizer, step = kept
  state = hand_off(parent, fresh, Handoff(weights=weights, optimizer=optimizer, step=step))
  source = {'continue': parent, 'restart': fresh}
  assert same(state.params, source[weights].params)
  assert same(state.opt_state[:-1], source[optimizer].opt_state[:-1])
  assert state.step == source[step].step
  assert parent.step != fresh.step


def test_a_mistyped_choice_is_refused_with_the_nearest():
  with pytest.raises(UserError, match="Did you mean 'restart'?"):
    Handoff(optimizer='restrat')
