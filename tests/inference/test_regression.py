"""Regressions with HC3 errors, their permutation test, and shares as regressors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.inference import composition
from codemix.inference.permutation import permutation_test
from codemix.inference.regression import Slope, design, fit, without_each
from tests.inference.regression_coverage import SCENARIOS, coverage, false_curves

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int, runs: int = 25, others: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """(wanted [N, 2], others [N, K] with an intercept, figures [4, N])."""
  generator = np.random.default_rng(seed)
  others_NxK = np.column_stack([np.ones(runs), generator.normal(size=(runs, others))])
  return generator.normal(size=(runs, 2)), others_NxK, generator.normal(size=(4, runs))


def composed(seed: int, runs: int = 30, groups: int = 4) -> np.ndarray:
  """Shares [N, 1 + groups]; the first is of code."""
  return np.random.default_rng(seed).dirichlet(np.ones(groups + 1), runs)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_coefficients_and_hc3_are_those_of_the_textbook(seed):
  wanted, others, figures = drawn(seed)
  found = fit(design(wanted, others), figures)
  whole = np.hstack([wanted, others])
  inverse = np.linalg.inv(whole.T @ whole)
  leverage = np.einsum('ni,ij,nj->n', whole, inverse, whole)
  for number, figure in enumerate(figures):
    beta = inverse @ whole.T @ figure
    error = (figure - whole @ beta) / (1 - leverage)
    covariance = inverse @ (whole.T * error**2) @ whole @ inverse
    np.testing.assert_allclose(found.values_TxQ[number], beta[:2], atol=1e-10)
    np.testing.assert_allclose(found.covariance_TxQxQ[number], covariance[:2, :2], atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_degrees_of_freedom_are_those_of_the_definition(seed):
  wanted, others, _ = drawn(seed)
  regressors = design(wanted, others)
  whole = np.hstack([wanted, others])
  residual_maker = np.eye(25) - whole @ np.linalg.inv(whole.T @ whole) @ whole.T
  for weights in ([1, 0], [0.3, -2]):
    squares = ((weights @ regressors.weights_QxN) / (1 - regressors.leverage_N)) ** 2
    product = np.diag(squares) @ residual_maker
    freedom = regressors.freedom(weights)
    assert freedom == pytest.approx(np.trace(product) ** 2 / np.trace(product @ product))
    assert 1 <= freedom <= 25 - 6 + 1e-9



@settings(max_examples=20, deadline=None)
@given(seeds)
def test_without_each_run_is_what_the_regression_on_the_others_gives(seed):
  wanted, others, figures = drawn(seed)
  regressors = design(wanted, others)
  found = without_each(fit(regressors, figures))
  for run in (0, 7, 24):
    left = np.arange(25) != run
    again = fit(design(wanted[left], others[left]), figures[:, left])
    np.testing.assert_allclose(found[:, run], again.values_TxQ[:, 0], atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(0.1, 10), st.floats(-5, 5))
def test_the_p_value_does_not_depend_on_units(seed, scale, shift):
  wanted, others, figures = drawn(seed)
  plain = fit(design(wanted, others), figures)
  other = fit(design(wanted * scale, others), figures + shift)
  np.testing.assert_allclose([s.p for s in other.slopes([1, 0])], [s.p for s in plain.slopes([1, 0])], rtol=1e-6)
  np.testing.assert_allclose(other.p_of_zeros(), plain.p_of_zeros(), rtol=1e-6)


def test_a_test_of_one_coefficient_is_students():
  wanted, others, figures = drawn(0)
  found = fit(design(wanted[:, :1], others), figures)
  np.testing.assert_allclose(found.p_of_zeros(), [s.p for s in found.slopes([1])], rtol=1e-9)


def test_others_may_depend_on_each_other():
  wanted, others, figures = drawn(1)
  twice = np.hstack([others, others @ np.ones((4, 2)), np.zeros((25, 1))])
  np.testing.assert_allclose(fit(design(wanted, twice), figures).values_TxQ, fit(design(wanted, others), figures).values_TxQ, atol=1e-10)
  assert design(wanted, twice).freedom([1, 0]) == pytest.approx(design(wanted, others).freedom([1, 0]))


def test_what_is_not_identified_has_no_design():
  wanted, others, _ = drawn(2)
  assert design(others[:, 1:2] + 3 * others[:, 2:3], others) is None
  assert design(np.zeros((25, 1)), others) is None
  assert design(wanted[:6], others[:6]) is None  # no degree of freedom is left
  alone = np.eye(25)[:, :1]  # one run alone decides a coefficient, so its noise is not seen
  assert design(wanted, np.hstack([others, alone])) is None


def test_an_exact_fit_says_nothing_of_the_noise():
  wanted, others, _ = drawn(3)
  exact = (wanted @ [1.0, 2.0] + others @ [3.0, 1.0, 0.0, 0.0])[None]
  regressors = design(wanted, others)
  (slope,) = fit(regressors, exact).slopes([1, 0])
  assert slope.value == pytest.approx(1.0) and math.isnan(slope.p) and math.isnan(slope.interval()[0])
  assert np.isnan(fit(regressors, exact).p_of_zeros()).all()
  assert np.isnan(permutation_test(regressors, exact, 10).corrected_T).all()


def test_a_slope_in_other_units_has_the_same_p():
  slope = Slope(-0.4, 0.1, 20)
  other = slope.times(-0.1)
  assert other.value == pytest.approx(0.04) and other.p == pytest.approx(slope.p)
  assert other.interval() == pytest.approx([-0.1 * end for end in reversed(slope.interval())])


# Shares.


@settings(max_examples=30, deadline=None)
@given(seeds, st.lists(st.floats(-3, 3), min_size=5, max_size=5))
def test_the_slope_is_the_effect_of_code_with_the_rest_in_proportion(seed, effects):
  """Of a figure that is linear in the shares, by moving along Cox's direction itself."""
  shares = composed(seed)
  figure = shares @ np.array(effects) + 1e-6 * np.random.default_rng(seed).normal(size=30)
  rest = shares[:, 1:]
  regressors = design(shares[:, :1], np.hstack([np.ones((30, 1)), composition.departures(rest)]))
  before = np.array([0.2, *(0.8 * composition.reference(rest))])
  after = np.array([0.3, *(0.7 * composition.reference(rest))])
  moved = (after - before) @ np.array(effects) / 0.1
  assert fit(regressors, figure[None]).values_TxQ[0, 0] == pytest.approx(moved, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_departures_are_zero_where_the_rest_is_in_proportion(seed):
  rest = composed(seed)[:, 1:]
  departures = composition.departures(rest)
  np.testing.assert_allclose(departures.sum(axis=1), 0, atol=1e-12)
  np.testing.assert_allclose(departures.sum(axis=0), 0, atol=1e-12)
  in_proportion = np.outer([0.9, 0.5, 0.1], composition.reference(rest))
  np.testing.assert_allclose(composition.departures(in_proportion), 0, atol=1e-12)


def test_a_curve_is_a_line_outside_its_knots_and_smooth_at_them():
  at = (0.0, 0.02, 0.06, 0.2)
  outside = composition.bends(np.array([-0.3, -0.2, -0.1, 0.3, 0.4, 0.5]), at)
  np.testing.assert_allclose(np.diff(outside[:3], n=2, axis=0), 0, atol=1e-12)
  np.testing.assert_allclose(np.diff(outside[3:], n=2, axis=0), 0, atol=1e-9)
  for knot in at:
    near = composition.bends(knot + np.array([-1e-4, 0, 1e-4]), at)
    assert np.abs(np.diff(near, n=2, axis=0)).max() < 1e-5


def test_knots_that_coincide_make_a_square():
  share = np.r_[np.zeros(80), np.linspace(0.1, 0.9, 20)]
  assert composition.knots(share) == ()
  np.testing.assert_allclose(composition.bends(share, ()), share[:, None] ** 2)
  assert len(composition.knots(np.linspace(0, 0.5, 50))) == 4


# What the intervals and tests promise.


@pytest.mark.parametrize('name', ['127 runs, unequal variances', '512 runs', '512 runs, confounded', '512 runs, confounded, unequal variances'])
def test_the_adjusted_interval_holds_the_truth(name):
  found = coverage(BY_NAME[name], adjusted=True)
  assert found.holds == pytest.approx(0.95, abs=0.015)
  assert abs(found.bias) < 0.02


def test_the_simple_slope_is_biased_by_confounded_domains_and_only_by_them():
  assert coverage(BY_NAME['512 runs'], adjusted=False).holds == pytest.approx(0.95, abs=0.015)
  found = coverage(BY_NAME['512 runs, confounded'], adjusted=False, swarms=200)
  assert found.holds < 0.2 and found.bias > 0.5


@pytest.mark.slow
@pytest.mark.parametrize('scenario', SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_adjusted_interval_of_the_table_holds_the_truth(scenario):
  # Wider than needed with few runs for each regressor, as docs/swarms.md says.
  assert 0.935 <= coverage(scenario, adjusted=True).holds <= (0.965 if scenario.runs > 127 else 0.995)


def swarm_of_nothing(generator: np.random.Generator, runs: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """(code, others, 6 figures that have much in common, with heavy tails); code has no effect."""
  code = generator.exponential(0.1, (runs, 1))
  others = np.column_stack([np.ones(runs), generator.normal(size=runs)])
  return code, others, generator.standard_t(3, runs) + generator.standard_t(3, (6, runs))


def test_permutations_find_a_false_effect_in_one_table_of_twenty():
  generator = np.random.default_rng(0)
  tables, alone, together = 300, 0, 0
  for _ in range(tables):
    code, others, figures = swarm_of_nothing(generator)
    found = permutation_test(design(code, others), figures, 99)
    alone += (found.p_T <= 0.05).mean()
    together += found.corrected_T.min() <= 0.05
  # Three standard errors of 300 tables are 3.8 points.
  assert together / tables < 0.05 + 0.038
  assert alone / tables == pytest.approx(0.05, abs=0.03)


@pytest.mark.parametrize('name', ['127 runs, 23 groups', '512 runs, unequal variances'])
def test_a_line_is_called_a_curve_one_time_in_twenty(name):
  assert false_curves(BY_NAME[name]) < 0.05 + 0.015


def test_permutations_find_an_effect_that_is_there():
  code, others, figures = swarm_of_nothing(np.random.default_rng(1), runs=100)
  figures[2] += 50 * code[:, 0]
  found = permutation_test(design(code, others), figures, 199)
  assert found.corrected_T[2] == pytest.approx(1 / 200)
  assert (found.corrected_T >= found.p_T).all()
