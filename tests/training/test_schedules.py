"""Each stage's curve: its form, and how it meets the one before it."""

from __future__ import annotations

import dataclasses
import math

import jax
import numpy as np
import optax
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from codemix.errors import UserError
from codemix.training.handoff import Handoff
from codemix.training.schedules import (
  Constant,
  LinearTo,
  WarmupCosine,
  WarmupInverseSqrt,
  WarmupStableDecay,
)
from codemix.training.stage import Rates, Stage, rates_of

STEPS = 100


def test_the_cosine_warms_up_in_a_straight_line_and_comes_to_its_floor_one_step_behind_its_end():
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


def test_the_inverse_square_root_is_that_of_the_transformer():
  # Vaswani et al., equation 3: d^-0.5 min(k^-0.5, k w^-1.5), with d = 512 and 40 steps of warm-up.
  d, w = 512, 40
  rates = WarmupInverseSqrt(peak=(d * w) ** -0.5, warmup_steps=w).curve(2000, None)
  steps = np.arange(1, 2000)
  np.testing.assert_allclose(rates[1:], d**-0.5 * np.minimum(steps**-0.5, steps * w**-1.5), rtol=1e-6)


def test_the_inverse_square_root_of_t5_holds_its_rate_through_the_warm_up():
  rates = WarmupInverseSqrt(peak=0.01, start=0.01, warmup_steps=10_000).curve(40_000, None)
  np.testing.assert_allclose(rates, 1 / np.sqrt(np.maximum(np.arange(40_000), 10_000)), rtol=1e-6)


def test_a_timescale_of_its_own_stretches_the_decay():
  rates = WarmupInverseSqrt(peak=1.0, warmup_steps=5, timescale=20).curve(66, None)
  assert rates[5] == 1 and rates[65] == np.float32(0.5)  # after three timescales


def test_the_inverse_square_root_is_one_curve_however_long_the_stage_is():
  schedule = WarmupInverseSqrt(peak=1.0, warmup_steps=5)
  short, long = schedule.curve(20, None), schedule.curve(300, None)
  assert short.tolist() == long[:20].tolist()
  of = lambda horizon: rates_of(_stage(20, dataclasses.replace(schedule, horizon=horizon)), 20, None).described
  assert of(None) == of(300) == [['line', 0.0, 1.0, '0', '1/5', 5], ['inverse_sqrt', 1.0, 0.0, '0', '1/5', 15]]


def test_a_warm_up_begins_where_the_last_stage_ended():
  assert WarmupCosine(peak=1.0, warmup_steps=10).curve(STEPS, 0.25)[0] == np.float32(0.25)
  assert WarmupInverseSqrt(peak=1.0, warmup_steps=10).curve(STEPS, 0.25)[0] == np.float32(0.25)
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
    (WarmupStableDecay(1.0, warmup_steps=6, decay_fraction=0.004), 'less than half a step of 100'),
    (WarmupStableDecay(1.0, warmup_steps=6, floor=2.0), 'floor is 2, above its peak'),
    (WarmupCosine(1.0, warmup_steps=6, floor=2.0), 'floor is 2, above its peak'),
    (LinearTo(1e-3, start=1e-6), 'floor is 0.001, above the rate from which it starts'),
    (Constant(1.0, warmup_steps=STEPS), 'Constant warms up for 100 steps'),
    (WarmupInverseSqrt(1.0, warmup_steps=0), 'set WarmupInverseSqrt.timescale'),
    (WarmupInverseSqrt(1.0), 'WarmupInverseSqrt wants one of warmup_steps and warmup_fraction, and has neither'),
    (WarmupInverseSqrt(1.0, warmup_steps=STEPS), 'WarmupInverseSqrt warms up for 100 steps'),
  ],
)
def test_a_schedule_that_makes_no_curve_is_refused(schedule, says):
  with pytest.raises(UserError) as refused:
    schedule.curve(STEPS, None)
  assert says in str(refused.value)


def _stage(tokens: int, schedule=None, batch: int = 1, **handoff) -> Stage:
  return Stage('s', tokens, {'x': 1.0}, batch=batch, schedule=schedule, handoff=Handoff(**handoff))


def _rates(*stages: Stage) -> list[Rates]:
  """Of stages that follow each other, in rows of one token."""
  found: list[Rates] = []
  for stage in stages:
    found.append(rates_of(stage, stage.steps(1), found[-1] if found else None))
  return found


SHARED = [
  WarmupCosine(peak=1.0, warmup_steps=5, floor=0.1),
  WarmupStableDecay(peak=1.0, warmup_fraction=0.05, decay_fraction=0.3),
  LinearTo(1e-6, start=1.0),
  Constant(1.0, warmup_steps=50),
  WarmupInverseSqrt(peak=1.0, warmup_steps=5, timescale=20),
]


@pytest.mark.parametrize('schedule', SHARED, ids=lambda schedule: type(schedule).__name__)
def test_one_curve_over_three_stages_is_the_curve_of_one_long_stage(schedule):
  parts = _rates(_stage(40, dataclasses.replace(schedule, horizon=STEPS)), _stage(35), _stage(25))
  whole = schedule.curve(STEPS, None)
  assert np.concatenate([part.values for part in parts]).tolist() == whole.tolist()


@pytest.mark.parametrize('schedule', SHARED, ids=lambda schedule: type(schedule).__name__)
def test_the_rate_is_a_function_of_the_tokens_whatever_the_batch(schedule):
  whole = dataclasses.replace(schedule, horizon=4000)
  small = _rates(_stage(2000, whole, batch=10), _stage(2000, batch=10))
  for batch in (5, 20, 40):
    _, second = _rates(_stage(2000, whole, batch=10), _stage(2000, batch=batch))
    # LinearTo comes to its rates with the ends of steps, the others stand at their beginnings.
    at = np.arange(len(second.values)) * batch / 10
    if isinstance(schedule, LinearTo):
      expected = np.interp(at + batch / 10, np.arange(201), np.append(small[0].values[-1:], small[1].values))
    else:
      expected = np.interp(at, np.arange(201), np.append(small[1].values, _rate_after(schedule)))
    np.testing.assert_allclose(second.values, expected, rtol=2e-3, atol=1e-6)


def _rate_after(schedule) -> float:
  """The rate of the step after 400."""
  if isinstance(schedule, WarmupInverseSqrt):
    return float(schedule.curve(401, None)[400])
  return getattr(schedule, 'floor', 1.0)


@settings(deadline=None)
@given(
  tokens=st.lists(st.integers(20, 50_000), min_size=1, max_size=4),
  batches=st.lists(st.integers(1, 40), min_size=4, max_size=4),
  schedule=st.sampled_from([dataclasses.replace(schedule, **{
    key: value for key, value in (('warmup_steps', 0), ('warmup_fraction', None), ('decay_fraction', 0.9))
    if hasattr(schedule, key)
  }) for schedule in SHARED]),
)
def test_stages_whose_tokens_sum_to_the_horizon_use_it_up(tokens, batches, schedule):
  batches = [min(batch, int(budget)) for batch, budget in zip(batches, tokens, strict=False)]
  schedule = dataclasses.replace(schedule, horizon=sum(tokens))
  first, *others = [_stage(budget, batch=batch) for budget, batch in zip(tokens, batches, strict=True)]
  parts = _rates(dataclasses.replace(first, schedule=schedule), *others)
  for part, budget, batch in zip(parts, tokens, batches, strict=True):
    assert len(part.values) == int(budget / batch + 0.5)
  assert parts[-1].rest.left == 0
  assert (np.diff(np.concatenate([part.values for part in parts])) <= 0).all()
  if isinstance(schedule, LinearTo):
    assert parts[-1].values[-1] == np.float32(1e-6)


@settings(deadline=None)
@given(
  steps=st.integers(2, 3000), extra=st.integers(-31, 31), batch=st.integers(1, 64), schedule=st.sampled_from(SHARED)
)
def test_a_stage_alone_on_its_curve_has_the_rates_of_its_steps_whatever_its_tokens_round_to(steps, extra, batch, schedule):
  stage = _stage(steps * batch + min(max(extra, (1 - batch) // 2 + 1), (batch - 1) // 2), schedule, batch)
  try:
    expected = schedule.curve(steps, None)
  except UserError:
    reject()
  [found] = _rates(stage)
  assert found.values.tolist() == expected.tolist()


def test_two_stages_of_200b_and_one_cosine_over_both_fit_at_the_papers_scale():
  # 47,684 steps each, where 400B tokens are 95,367 steps.
  schedule = WarmupCosine(6e-4, warmup_steps=1325, floor=6e-5, horizon=400e9)
  batch = 512 * 8192
  first, second = _rates(_stage(200e9, schedule, batch), _stage(200e9, None, batch))
  assert len(first.values) == len(second.values) == 47_684
  assert first.values.argmax() == 1325
  assert second.values[0] < first.values[-1]
  assert second.values[-1] == pytest.approx(6e-5, rel=1e-6)


@pytest.mark.parametrize('missing', [0, 4, -4])
def test_a_horizon_may_miss_the_sum_of_its_stages_by_less_than_half_a_step(missing):
  schedule = WarmupCosine(peak=1.0, warmup_steps=5, floor=0.1, horizon=800 + missing)
  _, second = _rates(_stage(400, schedule, batch=10), _stage(400, batch=10))
  assert 0.1 <= second.values[-1] < 0.102


def test_a_curve_that_is_used_up_is_refused():
  with pytest.raises(UserError, match='0 tokens left of the 10 wanted. Set WarmupCosine.horizon'):
    _rates(_stage(40, WarmupCosine(peak=1.0, warmup_steps=5)), _stage(10))


def test_a_horizon_shorter_than_its_stage_is_refused():
  with pytest.raises(UserError, match='horizon is 30 tokens, less than the 40 of the stage'):
    _rates(_stage(40, WarmupCosine(peak=1.0, warmup_steps=5, horizon=30)))


def test_a_restarted_rate_begins_at_the_schedules_own_start():
  first = _stage(40, WarmupCosine(peak=1.0, warmup_steps=5, floor=0.5))
  schedule = WarmupCosine(peak=1.0, warmup_steps=5)
  assert _rates(first, _stage(10, schedule, rate='restart'))[1].values[0] == 0
  before, after = _rates(first, _stage(10, schedule, rate='continue'))
  assert after.values[0] == before.values[-1]
