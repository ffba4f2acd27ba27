"""The spread of replicates, the noise floor, the look at variances, and correlations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from codemix.errors import UserError
from codemix.inference.correlation import correlation
from codemix.inference.spread import noise_floor, spread_of
from codemix.inference.variances import look

figures = st.lists(st.floats(-100, 100), min_size=2, max_size=8).map(np.array)


@given(figures, st.floats(-1000, 1000))
def test_the_spread_ignores_the_means_of_the_arms(figures_S, constant):
  assert spread_of([figures_S + constant]).value == pytest.approx(figures_S.std(ddof=1), abs=1e-6)
  twice = spread_of([figures_S, figures_S + constant])
  assert twice.value == pytest.approx(figures_S.std(ddof=1), abs=1e-6) and twice.freedom == 2 * (figures_S.size - 1)


def test_three_seeds_know_their_spread_to_a_factor():
  found = spread_of([np.array([0.0, 1.0, 2.0])])
  assert (found.low, found.high) == pytest.approx((0.52, 6.28), abs=0.01)


def test_the_interval_of_the_spread_holds_the_truth_as_often_as_it_says():
  generator = np.random.default_rng(0)
  held = [found.low <= 1 <= found.high for found in (spread_of([generator.normal(size=4)]) for _ in range(2000))]
  assert np.mean(held) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize('seeds', [1, 3])
def test_differences_of_equal_arms_stay_below_the_noise_floor_19_times_in_20(seeds):
  generator = np.random.default_rng(1)
  below = []
  for _ in range(4000):
    floor = noise_floor(spread_of([generator.normal(size=5)]), seeds)
    own, base = generator.normal(size=(2, seeds)).mean(axis=1)
    below.append(abs(own - base) < floor.difference)
  assert np.mean(below) == pytest.approx(0.95, abs=0.015)


@given(figures, st.integers(1, 20))
def test_more_seeds_never_raise_the_noise_floor(figures_S, seeds):
  spread = spread_of([figures_S])
  assert noise_floor(spread, seeds + 1).difference <= noise_floor(spread, seeds).difference


def test_without_replicates_nothing_is_known_of_the_spread():
  with pytest.raises(UserError, match='replicates'):
    spread_of([np.array([1.0]), np.array([2.0])])
  with pytest.raises(UserError, match='noise floor of 0'):
    noise_floor(spread_of([np.array([1.0, 2.0])]), 0)
  with pytest.raises(UserError, match='two runs'):
    look({'code': np.array([1.0])})


def test_arms_that_differ_25_times_in_their_spread_are_not_to_be_pooled():
  wide, narrow = 0.0409 * np.array([-1.0, 0, 1]), 0.0016 * np.array([-1.0, 0.2, 1])
  found = look({'code only': wide, 'proportional': narrow, 'one seed': np.array([4.0])})
  assert found.differ and found.ratio == pytest.approx(25, rel=0.1)
  assert found.spreads.keys() == {'code only', 'proportional'} and 'do not pool' in str(found)


def test_equal_arms_are_said_to_differ_as_often_as_the_level_says():
  generator = np.random.default_rng(2)
  differ = [look({name: generator.normal(size=5) for name in 'abc'}).differ for _ in range(600)]
  assert np.mean(differ) == pytest.approx(0.1, abs=0.035)


def test_arms_without_any_spread_are_alike_and_differ_from_others():
  still, other = np.full(3, 2.0), np.array([1.0, 2.0, 3.0])
  assert not look({'a': still, 'b': still + 1}).differ
  assert look({'a': still, 'b': other}).differ and look({'a': still, 'b': other}).ratio == math.inf


@given(figures, st.integers(0, 1000))
def test_a_correlation_is_that_of_pearson_with_an_interval_around_it(own_S, seed):
  base_S = np.random.default_rng(seed).normal(size=own_S.size)
  found = correlation(own_S, base_S)
  if own_S.std() > 1e-6:
    assert found.value == pytest.approx(stats.pearsonr(own_S, base_S).statistic, abs=1e-6)
    assert found.low <= found.value <= found.high
  if own_S.size <= 3:
    assert (found.low, found.high) == (-1, 1)


def test_a_correlation_with_an_arm_that_does_not_vary_is_unknown():
  found = correlation(np.ones(6), np.arange(6.0))
  assert math.isnan(found.value) and (found.low, found.high) == (-1, 1)
