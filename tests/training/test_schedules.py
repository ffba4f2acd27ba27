"""Each stage's curve: its form, and how it meets the one before it."""

from __future__ import annotations

import dataclasses
import math

import jax
import numpy as np
import optax
import pytest

from codemix.errors import UserError
from codemix.training.schedules import Constant, LinearTo, WarmupCosine, WarmupStableDecay
from codemix.training.stage import Handoff, Stage, curve_of

STEPS = 100


def test_the_cosine_warms_up_in_a_straight_line_and_ends_at_its_floor():
  rates = WarmupCosine(peak=1.0, warmup_steps=10, floor=0.1).curve(STEPS, None)
  np.testing.assert_allclose(rates[:10], np.arange(10) / 10, atol=1e-6)
  steps = np.arange(10, STEPS)
  cosine = 0.1 + 0.9 * (1 + np.cos(math.pi * (steps - 10) / (STEPS - 10))) / 2
  np.testing.assert_allclose(rates[10:], cosine, atol=1e-6)


@pytest.mark.parametrize(
  ('schedule', 'start', 'by_optax'),
  [
    (
      WarmupCosine(6e-4, warmup_steps=13, floor=6e-5),
      1e-5,
      optax.warmup_cosine_decay_schedule(1e-5, 6e-4, 13, STEPS, 6e-5),
    ),
    (LinearTo(1e-6), 3e-4, lambda count: optax.linear_schedule(3e-4, 1e-6, STEPS)(count + 1)),
    (Constant(1e-3, warmup_steps=20), None, optax.linear_schedule(0.0, 1e-3, 20)),
    (
      WarmupStableDecay(3e-3, warmup_steps=10, decay_fraction=0.3, floor=1e-4),
      None,
      optax.join_schedules(
        [optax.linear_schedule(0.0, 3e-3, 10), optax.constant_schedule(3e-3), optax.linear_schedule(3e-3, 1e-4, 30)],
        [10, 70],
      ),
    ),
  ],
  ids=lambda value: type(value).__name__,
)
def test_the_curves_are_those_of_optax(schedule, start, by_optax):
  expected = np.asarray(jax.vmap(by_optax)(np.arange(STEPS)))
  # Optax computes in float32, where the last of a long subtraction loses some digits.
  np.testing.assert_allclose(schedule.curve(STEPS, start), expected, rtol=2e-5, atol=1e-9)


def test_the_fraction_of_the_study_is_its_warm_up():
  steps = round(200e9 / (512 * 8192))
  assert steps == 47_684
  by_fraction = WarmupCosine(peak=1.0, warmup_fraction=1325 / 47_684).curve(steps, None)
  by_steps = WarmupCosine(peak=1.0, warmup_steps=1325).curve(steps, None)
  assert (by_fraction == by_steps).all()


def test_the_cooldown_goes_in_a_straight_line_from_the_current_rate_to_exactly_its_floor():
  rates = LinearTo(1e-6).curve(STEPS, 3e-4)
  assert rates[-1] == np.float32(1e-6)
  np.testing.assert_allclose(np.diff(rates), (1e-6 - 3e-4) / STEPS, rtol=2e-3)
  assert rates[0] == pytest.approx(3e-4 - (3e-4 - 1e-6) / STEPS, rel=1e-5)


def test_warmup_stable_decay_has_a_plateau():
  rates = WarmupStableDecay(peak=1.0, warmup_steps=10, decay_fraction=0.2, floor=0.0).curve(STEPS, None)
  assert (rates[10:80] == 1.0).all()
  np.testing.assert_allclose(rates[80:], 1 - np.arange(20) / 20, atol=1e-6)


def test_a_warm_up_begins_where_the_last_stage_ended():
  assert WarmupCosine(peak=1.0, warmup_steps=10).curve(STEPS, 0.25)[0] == np.float32(0.25)
  assert (Constant().curve(STEPS, 0.25) == np.float32(0.25)).all()


@pytest.mark.parametrize(
  ('schedule', 'says'),
  [
    (LinearTo(1e-6), "Handoff.rate = 'continue'"),
    (Constant(), 'set Constant.rate'),
    (WarmupCosine(1.0), 'neither'),
    (WarmupCosine(1.0, warmup_steps=1, warmup_fraction=0.1), 'both'),
    (WarmupCosine(1.0, warmup_steps=STEPS), 'Shorten the warm-up'),
    (WarmupStableDecay(1.0, warmup_steps=60, decay_fraction=0.5), 'fit one after the other'),
  ],
)
def test_a_schedule_that_makes_no_curve_is_refused(schedule, says):
  with pytest.raises(UserError) as refused:
    schedule.curve(STEPS, None)
  assert says in str(refused.value)


class _Plan:
  """What `curve_of` reads of the stage before."""

  def __init__(self, stage, steps, parent):
    self.stage, self.steps = stage, steps
    self.curve = curve_of(stage, steps, parent, length=1)
    self.rates = self.curve.rates(steps)


def _stage(steps: int, schedule=None, **handoff) -> Stage:
  return Stage('s', steps, {'x': 1.0}, batch=1, schedule=schedule, handoff=Handoff(**handoff))


@pytest.mark.parametrize(
  'schedule',
  [
    WarmupCosine(peak=1.0, warmup_steps=5, floor=0.1),
    WarmupStableDecay(peak=1.0, warmup_fraction=0.05, decay_fraction=0.3),
    LinearTo(1e-6, start=1.0),
    Constant(1.0, warmup_steps=50),
  ],
  ids=lambda schedule: type(schedule).__name__,
)
def test_one_curve_over_three_stages_is_the_curve_of_one_long_stage(schedule):
  first = _Plan(_stage(40, dataclasses.replace(schedule, horizon=STEPS)), 40, None)
  second = _Plan(_stage(35), 35, first)
  third = _Plan(_stage(25), 25, second)
  whole = schedule.curve(STEPS, None)
  assert np.concatenate([first.rates, second.rates, third.rates]).tolist() == whole.tolist()


def test_a_curve_that_is_used_up_is_refused():
  first = _Plan(_stage(40, WarmupCosine(peak=1.0, warmup_steps=5)), 40, None)
  with pytest.raises(UserError, match='0 steps left of the 10 wanted'):
    _Plan(_stage(10), 10, first)


def test_a_restarted_rate_begins_at_the_schedules_own_start():
  first = _Plan(_stage(40, WarmupCosine(peak=1.0, warmup_steps=5, floor=0.5)), 40, None)
  schedule = WarmupCosine(peak=1.0, warmup_steps=5)
  assert _Plan(_stage(10, schedule, rate='restart'), 10, first).rates[0] == 0
  assert _Plan(_stage(10, schedule, rate='continue'), 10, first).rates[0] == first.rates[-1]
