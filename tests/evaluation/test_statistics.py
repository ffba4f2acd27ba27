"""What must hold of bits per byte and of its intervals."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtrit

from codemix.errors import UserError
from codemix.evaluation import statistics
from tests.evaluation.coverage import SIZES, Case, estimates, holds, tables
from tests.evaluation.intervals import bits_per_byte_interval, relative_change


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


def test_leaving_one_document_out_equals_a_plain_loop_over_the_documents():
  nats, sizes = documents(17, seed=3)
  found = bits_per_byte_interval(nats, sizes)
  without = np.array([
    np.delete(nats, n).sum() / (math.log(2) * np.delete(sizes, n).sum()) for n in range(17)
  ])  # fmt: skip
  error = math.sqrt(16 / 17 * ((without - without.mean()) ** 2).sum())
  assert (found.high - found.low) / 2 / error == pytest.approx(stdtrit(found.documents - 1, 0.975))


def test_equal_documents_with_normal_rates_are_all_effective():
  generator = np.random.default_rng(0)
  sizes = np.full(4000, 1000)
  found = bits_per_byte_interval(sizes * generator.normal(0.7, 0.05, 4000), sizes)
  assert found.documents == pytest.approx(4000, rel=0.06)


def test_one_document_that_outweighs_the_rest_leaves_few_effective_documents():
  nats, sizes = documents(300, seed=0)
  sizes[7] = 20 * sizes.sum()
  nats[7] = 0.7 * sizes[7]
  found = bits_per_byte_interval(nats, sizes)
  assert found.documents < 1.2 and found.rests_on_few


def test_a_document_that_is_unlike_the_others_leaves_few_effective_documents_whatever_its_size():
  sizes = np.full(300, 1000)
  nats = sizes * np.random.default_rng(0).normal(0.7, 0.01, 300)
  assert not bits_per_byte_interval(nats, sizes).rests_on_few
  nats[7] *= 20
  assert bits_per_byte_interval(nats, sizes).rests_on_few


def coverage(intervals: list[statistics.Estimate], truth: float) -> float:
  return float(np.mean([estimate.low <= truth <= estimate.high for estimate in intervals]))


def test_95_percent_intervals_hold_the_true_rate_about_95_times_in_100():
  intervals = [
    bits_per_byte_interval(*documents(150, seed=trial)) for trial in range(500)
  ]
  # 500 trials of 95% spread by one point.
  assert 0.925 <= coverage(intervals, 0.7 / math.log(2)) <= 0.975


def test_half_intervals_hold_the_true_rate_about_half_of_the_time():
  def half(found: statistics.Estimate) -> statistics.Estimate:
    scale = stdtrit(found.documents - 1, 0.75) / stdtrit(found.documents - 1, (1 + statistics.LEVEL) / 2)
    width = (found.high - found.value) * scale
    return statistics.Estimate(found.value, found.value - width, found.value + width)

  intervals = [half(bits_per_byte_interval(*documents(150, seed=trial))) for trial in range(500)]
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
    intervals.append(relative_change(better, base, sizes))
  assert 0.925 <= coverage(intervals, -0.02) <= 0.98


def test_the_paired_interval_is_far_narrower_than_the_spread_of_either_model():
  base, better, sizes = paired_trial(0)
  alone = bits_per_byte_interval(base, sizes)
  paired = relative_change(better, base, sizes)
  assert paired.high - paired.low < 0.5 * (alone.high - alone.low) / alone.value
  assert paired.excludes(0) and paired.value < 0


def test_a_model_does_not_differ_from_itself():
  nats, sizes = documents(40, seed=8)
  change = relative_change(nats, nats, sizes)
  assert (change.value, change.low, change.high) == (0, 0, 0)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.1, 10), st.integers(0, 1000))
def test_a_uniform_factor_is_a_change_without_spread(factor, seed):
  nats, sizes = documents(25, seed)
  change = relative_change(nats * factor, nats, sizes)
  np.testing.assert_allclose([change.value, change.low, change.high], factor - 1, atol=1e-9)


def test_one_document_has_a_value_and_no_interval():
  one = bits_per_byte_interval(np.array([70.0]), np.array([100]))
  assert one.value == pytest.approx(0.7 / math.log(2))
  assert not one.has_interval and not one.excludes(0)
  change = relative_change(np.array([7.0]), np.array([14.0]), np.array([9]))
  assert change.value == pytest.approx(-0.5) and not change.has_interval


def test_empty_documents_count_their_nats_and_leave_the_interval_finite():
  nats, sizes = np.array([3.0, 0.0, 50.0, 60.0]), np.array([0, 0, 100, 90])
  found = bits_per_byte_interval(nats, sizes)
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
    bits_per_byte_interval(np.array(nats), np.array(sizes))
  assert '\n' not in str(caught.value)


def test_other_documents_than_the_baseline_are_refused():
  _, sizes = documents(10, seed=0)
  with pytest.raises(UserError, match='9 documents cannot be paired with the 10'):
    statistics.require_same_documents(sizes[:9], sizes)
  swapped = sizes.copy()
  swapped[[2, 5]] = sizes[[5, 2]]
  with pytest.raises(UserError, match=r'document 2 .*\(2 differ\)'):
    statistics.require_same_documents(swapped, sizes)


# Coverage against known truth: documents of every kind, sources of one kind, seeds.


@pytest.mark.parametrize('count', [30, 300])
@pytest.mark.parametrize('sizes', SIZES)
def test_intervals_hold_the_truth_where_few_long_documents_decide(sizes, count):
  case = Case(sizes, count, power=0.0)
  found = [estimates(sample) for sample in case.samples(400)]
  # 400 trials of 95% spread by 1.1 points.
  assert np.mean([holds(bits, case.true_bits) for bits, _ in found]) >= 0.92
  assert np.mean([holds(change, case.true_change) for _, change in found]) >= 0.92


@pytest.mark.parametrize('sizes', ['lognormal, sigma 2', 'Pareto, alpha 1.5'])
def test_intervals_that_miss_because_long_documents_are_unlike_are_marked(sizes):
  case = Case(sizes, 100, power=-0.1)
  changes = [change for _, change in map(estimates, case.samples(400))]
  silent = [change for change in changes if not holds(change, case.true_change) and not change.rests_on_few]
  assert np.mean([holds(change, case.true_change) for change in changes]) < 0.9
  assert len(silent) / len(changes) < 0.1


def two_sources(trial: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
  """100 documents of each of two sources whose levels are far apart: (nats, bytes, counts)."""
  generator = np.random.default_rng(trial)
  sizes = np.ceil(generator.gamma(16, 60, 200))
  rates = np.repeat([0.4, 1.2], 100) * generator.gamma(20, 1 / 20, 200)
  return sizes * rates, sizes, [100, 100]


def test_sources_of_one_kind_are_strata():
  # The sizes of both have one distribution, so the true rate is the mean of the two.
  strata, pooled = [], []
  for trial in range(400):
    nats, sizes, counts = two_sources(trial)
    strata.append(bits_per_byte_interval(nats, sizes, counts))
    pooled.append(bits_per_byte_interval(nats, sizes))
  assert 0.925 <= coverage(strata, 0.8 / math.log(2)) <= 0.975
  assert coverage(pooled, 0.8 / math.log(2)) > 0.985
  width = lambda found: np.mean([estimate.high - estimate.low for estimate in found])
  assert width(pooled) > 1.7 * width(strata)


def test_the_strata_of_equal_sizes_are_what_each_source_varies_by():
  sizes = np.full(200, 1000)
  nats = np.concatenate([sizes[:100] * 0.4, sizes[100:] * 1.2])
  assert bits_per_byte_interval(nats, sizes, [100, 100]).low == pytest.approx(0.8 / math.log(2))
  assert bits_per_byte_interval(nats, sizes).low < 0.75 / math.log(2)


def test_a_source_of_one_document_leaves_the_interval_unknown():
  nats, sizes = documents(11, seed=0)
  found = bits_per_byte_interval(nats, sizes, [10, 1])
  assert found.value == statistics.bits_per_byte(nats, sizes) and not found.has_interval


def seeds_trial(trial: int, seeds: int, true: float = -0.02) -> statistics.Estimate:
  """The mean change over seeds: 60 documents whose own changes differ, and seeds that differ by 1%."""
  base, sizes = documents(60, trial)
  generator = np.random.default_rng([trial, seeds])
  of_documents = generator.normal(0, 0.05, 60)
  own = [base * (1 + true + of_documents + generator.normal(0, 0.01) + generator.normal(0, 0.02, 60)) for _ in range(seeds)]
  figures = [nats.sum() / base.sum() - 1 for nats in own]
  return statistics.over_seeds(figures, relative_change(np.mean(own, axis=0), base, sizes))


@pytest.mark.parametrize('seeds', [2, 3, 5])
def test_intervals_over_documents_and_seeds_hold_the_true_change_at_least_95_times_in_100(seeds):
  intervals = [seeds_trial(trial, seeds) for trial in range(600)]
  assert coverage(intervals, -0.02) >= 0.935


@pytest.mark.parametrize('seeds', [2, 3, 5])
def test_without_an_effect_at_most_one_comparison_in_twenty_is_called_one(seeds):
  called = [seeds_trial(trial, seeds, true=0.0).is_effect for trial in range(600)]
  assert np.mean(called) <= 0.065


def test_one_seed_is_never_an_effect():
  base, better, sizes = paired_trial(0)
  change = relative_change(better, base, sizes)
  assert change.excludes(0) and not statistics.over_seeds([change.value], change).is_effect


def test_seeds_that_give_the_very_same_figure_are_not_an_effect():
  change = statistics.Estimate(-0.1, -0.11, -0.09)
  assert not statistics.over_seeds([-0.1, -0.1], change).is_effect
  assert statistics.over_seeds([-0.1, -0.1001], change).is_effect


@pytest.mark.slow
def test_the_tables_of_the_docs_are_those_that_the_command_prints():
  method = (Path(__file__).parents[2] / 'docs' / 'method.md').read_text()
  for table in tables():
    assert table in method


# Scores of benchmarks.


@pytest.mark.parametrize(('right', 'items'), [(0, 164), (164, 164), (1, 2), (0, 1), (37, 100), (5, 974)])
def test_the_interval_of_a_score_is_wilsons_and_has_a_width(right, items):
  from scipy.stats import binomtest

  found = statistics.mean_score(np.arange(items) < right)
  expected = binomtest(right, items).proportion_ci(method='wilson')
  assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
  assert found.low <= found.value == right / items <= found.high and found.low < found.high


@pytest.mark.parametrize(('gained', 'lost', 'same'), [(0, 0, 50), (5, 2, 93), (0, 3, 10), (1, 0, 0)])
def test_the_interval_of_a_difference_is_that_of_agresti_and_min(gained, lost, same):
  found = statistics.mean_difference(np.repeat([1.0, -1.0, 0.0], [gained, lost, same]))
  items = gained + lost + same
  more, less, whole = gained + 0.5, lost + 0.5, items + 2  # half an item in each of the four cells
  middle = (more - less) / whole
  half = 1.959964 * math.sqrt(more + less - (more - less) ** 2 / whole) / whole
  assert found.value == pytest.approx((gained - lost) / items)
  assert found.high == pytest.approx(max(found.value, middle + half), rel=1e-5)
  assert found.low == pytest.approx(min(found.value, middle - half), rel=1e-5) and found.low < found.high


def test_paired_intervals_of_scores_contain_the_true_difference_as_often_as_they_say():
  generator, hits, trials, items = np.random.default_rng(0), 0, 2000, 100
  for _ in range(trials):
    hard = generator.random(items)
    ours, theirs = (hard * 0.6 + 0.4 * generator.random((2, items))) < np.array([[0.3], [0.22]])
    truth = _share_below(0.3) - _share_below(0.22)
    found = statistics.mean_difference(ours.astype(float) - theirs)
    hits += found.low <= truth <= found.high
  assert 0.93 < hits / trials < 0.98


def _share_below(bound: float) -> float:
  """P(0.6 u + 0.4 v < bound) of uniform u and v, for a bound below 0.4."""
  return bound**2 / (2 * 0.6 * 0.4)


def test_an_average_of_scores_has_the_interval_of_independent_parts():
  generator = np.random.default_rng(1)
  parts = [statistics.mean_score(generator.random(n) < 0.4) for n in (50, 200, 30)]
  average = statistics.weighted_sum(parts, [1 / 3] * 3)
  assert average.value == pytest.approx(np.mean([part.value for part in parts]))
  assert average.high - average.value == pytest.approx(math.sqrt(sum((part.high - part.value) ** 2 for part in parts)) / 3)
  assert average.error == pytest.approx(math.sqrt(sum(part.error**2 for part in parts)) / 3)
  assert statistics.weighted_sum(parts[:1], [1.0]).low == pytest.approx(parts[0].low)
  assert not statistics.weighted_sum([*parts, statistics.Estimate(0.3)], [0.25] * 4).has_interval
