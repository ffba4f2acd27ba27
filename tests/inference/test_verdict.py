"""Equivalence, and verdicts in words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.errors import UserError
from codemix.inference.arm_scores import ArmScores
from codemix.inference.difference import difference
from codemix.inference.equivalence import equivalence
from codemix.inference.verdict import Verdict, describe, verdict

spread_S = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])


def between(effect: float, spread: float) -> object:
  return difference(ArmScores.of(50 + effect + spread * spread_S, name='code'), ArmScores.of(50 + spread * spread_S[::-1], name='text'))


@settings(deadline=None)
@given(st.floats(-2, 2), st.floats(0.01, 2), st.floats(0.01, 3))
def test_arms_are_equivalent_exactly_if_the_90_percent_interval_lies_within_the_margin(effect, spread, margin):
  found = equivalence(between(effect, spread), margin)
  assert (found.low, found.high) == between(effect, spread).interval(0.9)
  if min(abs(found.low + margin), abs(found.high - margin)) > 1e-9:
    assert found.holds == (-margin < found.low and found.high < margin)


@settings(deadline=None)
@given(st.floats(-2, 2), st.floats(0.01, 2), st.floats(0.01, 3), st.floats(0, 3))
def test_a_wider_margin_never_ends_an_equivalence(effect, spread, margin, more):
  compared = between(effect, spread)
  assert equivalence(compared, margin + more).p <= equivalence(compared, margin).p


@pytest.mark.parametrize(
  ('effect', 'spread', 'margin', 'expected'),
  [
    (3.0, 0.1, None, Verdict.DIFFERENT),
    (3.0, 0.1, 0.5, Verdict.DIFFERENT),
    (0.3, 0.1, 0.5, Verdict.SMALL),
    (0.0, 0.1, 0.5, Verdict.EQUIVALENT),
    (0.0, 0.1, None, Verdict.UNRESOLVED),
    (0.3, 2.0, 0.5, Verdict.UNRESOLVED),
  ],
)
def test_a_comparison_is_a_difference_an_equivalence_both_or_neither(effect, spread, margin, expected):
  assert verdict(between(effect, spread), margin) is expected


def test_a_corrected_p_value_decides_in_place_of_the_comparisons_own():
  assert verdict(between(3.0, 0.1), p=0.2) is Verdict.UNRESOLVED


def test_one_seed_has_no_verdict_however_clear_the_items_are():
  found = difference(ArmScores.of(np.full((1, 100), 1.0) + np.arange(100) % 2), ArmScores.of(np.zeros((4, 100))))
  assert verdict(found, margin=0.5) is Verdict.ONE_SEED
  assert not equivalence(found, 100.0).holds and math.isnan(equivalence(found, 100.0).p)


@pytest.mark.parametrize('margin', [0.0, -1.0, math.nan, math.inf])
def test_a_margin_is_above_0(margin):
  with pytest.raises(UserError, match='margin'):
    equivalence(between(0, 1), margin)


def test_the_figure_of_every_seed_is_shown():
  own = ArmScores.of(np.array([50.0, 51.0, 47.5]), [0, 1, 7], 'code')
  lines = describe(difference(own, ArmScores.of(np.array([49.0, 50.5, 50.0]), [0, 1, 7], 'text')), margin=0.5)
  assert lines[1] == '  code: seed 0 50, seed 1 51, seed 7 47.5'
  assert 'not paired: 3 shared seeds' in lines[0] and 'not resolved' in lines[0]


def test_items_only_is_said_beside_the_interval():
  found = difference(ArmScores.of(np.arange(20.0)[None] % 3), ArmScores.of(np.ones((1, 20))))
  assert '(items only)' in describe(found)[0] and 'no verdict' in describe(found)[0]
