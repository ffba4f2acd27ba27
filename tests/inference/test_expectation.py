"""Supported, refuted, unresolved: where the interval lies, and how often a verdict is wrong."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.errors import UserError
from codemix.inference.arm_scores import ArmScores
from codemix.inference.difference import Difference, difference
from codemix.inference.expectation import EXPECTED, Outcome, corrected, expectation

SUPPORTED, REFUTED, UNRESOLVED = Outcome.SUPPORTED, Outcome.REFUTED, Outcome.UNRESOLVED


def of(value: float, error: float = 1.0, freedom: float = 8.0) -> Difference:
  return Difference(value, error, freedom, 'seeds', 'own', 'base', (value, value), (0.0, 0.0), None, None, 0, False, None)


def alone(found: Difference, expected: str, margin: float = 0.0) -> Outcome:
  tested = expectation(found, expected, margin)
  return tested.outcome(tested.p)


differences = st.builds(of, st.floats(-20, 20), st.floats(0.05, 5), st.floats(1, 50))
margins = st.floats(0.01, 10)


@settings(deadline=None)
@given(differences, margins)
def test_a_direction_is_decided_by_the_side_of_the_margin_on_which_the_interval_lies(found, margin):
  low, high = found.interval(0.95)
  expected = SUPPORTED if low > margin else REFUTED if high < margin else UNRESOLVED
  if min(abs(low - margin), abs(high - margin)) > 1e-9:
    assert alone(found, 'higher', margin) is expected


@settings(deadline=None)
@given(differences, margins)
def test_equal_is_supported_within_and_refuted_outside_of_the_margins(found, margin):
  inner, outer = found.interval(0.90), found.interval(0.95)
  within = -margin < inner[0] and inner[1] < margin
  outside = outer[0] > margin or outer[1] < -margin
  if min(abs(abs(end) - margin) for end in (*inner, *outer)) > 1e-9:
    assert alone(found, 'equal', margin) is (SUPPORTED if within else REFUTED if outside else UNRESOLVED)


@settings(deadline=None)
@given(differences, st.sampled_from(EXPECTED), margins)
def test_exchanging_the_arms_and_the_direction_changes_nothing(found, expected, margin):
  other = dataclasses.replace(found, value=-found.value)
  turned = {'higher': 'lower', 'lower': 'higher', 'equal': 'equal'}[expected]
  one, two = expectation(found, expected, margin), expectation(other, turned, margin)
  assert (one.support, one.refutation) == pytest.approx((two.support, two.refutation))


@settings(deadline=None)
@given(differences, st.floats(0, 10), st.floats(0, 10))
def test_a_larger_margin_never_helps_a_direction(found, margin, more):
  small, large = expectation(found, 'higher', margin), expectation(found, 'higher', margin + more)
  assert large.support >= small.support and large.refutation <= small.refutation


@settings(deadline=None)
@given(differences, st.sampled_from(EXPECTED), margins)
def test_one_run_an_arm_resolves_nothing(found, expected, margin):
  one = dataclasses.replace(found, noise='items only')
  tested = expectation(one, expected, margin)
  assert math.isnan(tested.p) and tested.outcome(tested.p) is UNRESOLVED
  assert (tested.low, tested.high) == one.interval(tested.level), 'the interval is shown all the same'


def test_no_noise_at_all_resolves_nothing():
  assert all(alone(of(3.0, error=0.0), expected, 1.0) is UNRESOLVED for expected in EXPECTED)


def test_holm_counts_what_was_tested_and_takes_away_verdicts():
  clear, weak, untested = of(9.0), of(2.5), dataclasses.replace(of(9.0), noise='items only')
  tests = [expectation(found, 'higher') for found in (clear, weak, untested)]
  assert alone(weak, 'higher') is SUPPORTED
  p_C = corrected(tests)
  assert p_C[0] == pytest.approx(2 * tests[0].p) and p_C[1] == pytest.approx(tests[1].p) and math.isnan(p_C[2])
  assert corrected([tests[1]] * 3)[0] > 0.05, 'with three of them it is not supported any more'
  assert corrected([]) == []


@pytest.mark.parametrize(('expected', 'margin', 'says'), [('highr', 0.0, "Did you mean 'higher'"), ('higher', -1.0, 'from 0'), ('lower', math.inf, 'from 0'), ('equal', 0.0, 'above 0')])
def test_what_is_no_expectation_is_refused(expected, margin, says):
  with pytest.raises(UserError, match=says):
    expectation(of(1.0), expected, margin)


@pytest.mark.parametrize(('truth', 'expected', 'margin'), [(0.0, 'higher', 0.0), (1.0, 'lower', 0.0), (1.0, 'higher', 1.0), (1.0, 'equal', 1.0), (0.0, 'equal', 0.05), (0.4, 'equal', 0.4)])
def test_a_wrong_verdict_is_as_rare_as_stated(truth, expected, margin):
  """Three seeds an arm and 40 items, seeds as noisy as items: the hardest truths, at the margin."""
  generator = np.random.default_rng(1)
  wrong, trials = 0, 1500
  holds = {'higher': truth > margin, 'lower': truth < -margin, 'equal': abs(truth) < margin}[expected]
  for _ in range(trials):
    item_I = generator.normal(size=40)
    base, own = (ArmScores.of(mean + item_I + generator.normal(0, 0.3, (3, 1)) + generator.normal(0, 1, (3, 40))) for mean in (0.0, truth))
    wrong += alone(difference(own, base), expected, margin) is (REFUTED if holds else SUPPORTED)
  assert wrong / trials < 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
