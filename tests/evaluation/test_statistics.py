"""What must hold of bits per byte and of its bootstrap intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.errors import UserError
from codemix.evaluation import statistics


def documents(count: int, seed: int, rate: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
  """Skewed sizes, and nats about proportional to them: (nats [count], bytes [count])."""
  generator = np.random.default_rng(seed)
  sizes = np.ceil(generator.lognormal(6, 1, count)).astype(np.int64)
  return sizes * rate * generator.gamma(20, 1 / 20, count), sizes


def test_bits_per_byte_is_one_where_each_byte_costs_ln_2_nats():
  sizes = np.array([3, 50, 1])
  assert statistics.bits_per_byte(sizes * math.log(2), sizes) == pytest.approx(1.0)


@settings(deadline=None)
@given(
  st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 10**6)), min_size=2, max_size=30),
  st.integers(1, 29),
)
def test_bits_per_byte_of_a_union_is_the_byte_weighted_mean_of_its_parts(pairs, cut):
  nats, sizes = (np.array(column) for column in zip(*pairs, strict=True))
  cut = min(cut, len(pairs) - 1)
  parts = [
    statistics.bits_per_byte(nats[part], sizes[part]) for part in (slice(cut), slice(cut, None))
  ]
  weights = [sizes[:cut].sum(), sizes[cut:].sum()]
  assert statistics.bits_per_byte(nats, sizes) == pytest.approx(np.average(parts, weights=weights))


def test_resamples_equal_a_plain_loop_over_drawn_documents():
  nats, sizes = documents(17, seed=3)
  generator = np.random.default_rng(5)
  expected = []
  for _ in range(20):
    drawn = generator.integers(17, size=17)
    expected.append(nats[drawn].sum() / (math.log(2) * sizes[drawn].sum()))
  found = statistics.bootstrap_bits_per_byte(nats[None], sizes, resamples=20, seed=5)
  np.testing.assert_allclose(found[:, 0], expected, rtol=1e-12)


def test_the_interval_does_not_depend_on_how_much_is_held_in_memory(monkeypatch):
  nats, sizes = documents(101, seed=0)
  whole = statistics.bits_per_byte_interval(nats, sizes, resamples=500)
  monkeypatch.setattr(statistics, 'DRAWS_IN_MEMORY', 7 * 101)
  chunked = statistics.bits_per_byte_interval(nats, sizes, resamples=500)
  np.testing.assert_allclose(
    [chunked.value, chunked.low, chunked.high], [whole.value, whole.low, whole.high], rtol=1e-12
  )


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
  nats, sizes = documents(60, seed=1)
  first = statistics.bits_per_byte_interval(nats, sizes, seed=4)
  assert first == statistics.bits_per_byte_interval(nats, sizes, seed=4)
  assert first != statistics.bits_per_byte_interval(nats, sizes, seed=5)


def test_a_model_in_a_table_of_many_has_the_interval_that_it_has_alone():
  nats, sizes = documents(80, seed=2)
  together = statistics.bootstrap_bits_per_byte(np.stack([nats * 2, nats, nats + 1]), sizes)
  alone = statistics.bootstrap_bits_per_byte(nats[None], sizes)
  np.testing.assert_allclose(together[:, 1], alone[:, 0], rtol=1e-12)


def coverage(intervals: list[statistics.Estimate], truth: float) -> float:
  return float(np.mean([estimate.low <= truth <= estimate.high for estimate in intervals]))


def test_95_percent_intervals_hold_the_true_rate_about_95_times_in_100():
  intervals = [
    statistics.bits_per_byte_interval(*documents(150, seed=trial), resamples=400, seed=trial)
    for trial in range(500)
  ]
  # 500 trials of 95% spread by one point; the percentile interval is a point or two too narrow.
  assert 0.91 <= coverage(intervals, 0.7 / math.log(2)) <= 0.975


def test_half_intervals_hold_the_true_rate_about_half_of_the_time():
  intervals = [
    statistics.bits_per_byte_interval(*documents(150, seed=trial), resamples=400, level=0.5)
    for trial in range(500)
  ]
  assert 0.43 <= coverage(intervals, 0.7 / math.log(2)) <= 0.57


def paired_trial(seed: int, count: int = 150) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """(nats of the baseline, nats of a model that is 2% better on average, bytes)."""
  base, sizes = documents(count, seed)
  noise = np.random.default_rng(seed + 10**6).gamma(400, 1 / 400, count)
  return base, base * 0.98 * noise, sizes


def test_paired_intervals_hold_the_true_change_about_95_times_in_100():
  intervals = []
  for trial in range(400):
    base, better, sizes = paired_trial(trial)
    intervals.append(statistics.relative_change(better, sizes, base, sizes, resamples=400))
  assert 0.905 <= coverage(intervals, -0.02) <= 0.98


def test_the_paired_interval_is_far_narrower_than_the_spread_of_either_model():
  base, better, sizes = paired_trial(0)
  alone = statistics.bits_per_byte_interval(base, sizes)
  paired = statistics.relative_change(better, sizes, base, sizes)
  assert paired.high - paired.low < 0.5 * (alone.high - alone.low) / alone.value
  assert paired.excludes(0) and paired.value < 0


def test_a_model_does_not_differ_from_itself():
  nats, sizes = documents(40, seed=8)
  assert statistics.relative_change(nats, sizes, nats, sizes) == statistics.Estimate(0.0, 0.0, 0.0)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.1, 10), st.integers(0, 1000))
def test_a_uniform_factor_is_a_change_without_spread(factor, seed):
  nats, sizes = documents(25, seed)
  change = statistics.relative_change(nats * factor, sizes, nats, sizes, resamples=50)
  np.testing.assert_allclose([change.value, change.low, change.high], factor - 1, atol=1e-9)


def test_one_document_has_a_value_and_no_interval():
  one = statistics.bits_per_byte_interval(np.array([70.0]), np.array([100]))
  assert one.value == pytest.approx(0.7 / math.log(2))
  assert not one.has_interval and not one.excludes(0)
  change = statistics.relative_change(np.array([7.0]), np.array([9]), np.array([14.0]), np.array([9]))
  assert change.value == pytest.approx(-0.5) and not change.has_interval


def test_empty_documents_count_their_nats_and_leave_the_interval_finite():
  nats, sizes = np.array([3.0, 0.0, 50.0, 60.0]), np.array([0, 0, 100, 90])
  found = statistics.bits_per_byte_interval(nats, sizes)
  assert found.value == pytest.approx(113 / (math.log(2) * 190))
  assert np.isfinite([found.low, found.high]).all() and found.low <= found.value <= found.high


@pytest.mark.parametrize(
  ('nats', 'sizes', 'message'),
  [
    ([], [], 'no bytes'),
    ([1.0, 2.0], [0, 0], 'no bytes'),
    ([1.0, 2.0], [5], 'for every document'),
    ([1.0, math.nan], [5, 5], 'not finite'),
    ([1.0, -1.0], [5, 5], 'negative'),
    ([1.0, 1.0], [5, -5], 'negative'),
  ],
)
def test_documents_that_have_no_bits_per_byte_are_refused(nats, sizes, message):
  with pytest.raises(UserError, match=message) as caught:
    statistics.bits_per_byte_interval(np.array(nats), np.array(sizes))
  assert '\n' not in str(caught.value)


def test_other_documents_than_the_baseline_are_refused():
  nats, sizes = documents(10, seed=0)
  with pytest.raises(UserError, match='9 documents cannot be paired with the 10'):
    statistics.relative_change(nats[:9], sizes[:9], nats, sizes)
  swapped = sizes.copy()
  swapped[[2, 5]] = sizes[[5, 2]]
  with pytest.raises(UserError, match=r'document 2 .*\(2 differ\)'):
    statistics.relative_change(nats, swapped, nats, sizes)


def test_a_baseline_without_nats_and_settings_without_sense_are_refused():
  nats, sizes = documents(10, seed=0)
  with pytest.raises(UserError, match='0 nats'):
    statistics.relative_change(nats, sizes, np.zeros(10), sizes)
  with pytest.raises(UserError, match='resamples = 0'):
    statistics.bits_per_byte_interval(nats, sizes, resamples=0)
  with pytest.raises(UserError, match='level = 95'):
    statistics.bits_per_byte_interval(nats, sizes, level=95)
