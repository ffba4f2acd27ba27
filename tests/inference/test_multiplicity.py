"""Corrections for the number of comparisons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.errors import UserError
from codemix.inference.arm_scores import ArmScores
from codemix.inference.difference import difference
from codemix.inference.multiplicity import METHODS, corrected, holm

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def comparisons(effects: list[float], seeds: int = 4) -> list:
  generator = np.random.default_rng(0)
  base = ArmScores.of(generator.normal(size=seeds))
  return [difference(ArmScores.of(effect + generator.normal(size=seeds)), base) for effect in effects]


@given(p_values)
def test_holms_p_values_lie_between_the_plain_ones_and_bonferronis(found):
  p_C = np.array(found)
  adjusted_C = holm(p_C)
  assert (adjusted_C >= p_C).all() and (adjusted_C <= np.minimum(p_C.size * p_C, 1) + 1e-15).all()
  order = np.argsort(p_C, kind='stable')
  assert (np.diff(adjusted_C[order]) >= 0).all()


@given(p_values, st.floats(0.001, 0.2))
def test_holm_rejects_what_its_step_down_rejects(found, alpha):
  p_C = np.sort(found)
  rejected = 0
  while rejected < p_C.size and p_C[rejected] * (p_C.size - rejected) <= alpha:
    rejected += 1
  assert (holm(p_C) <= alpha).sum() == rejected


def test_one_comparison_is_not_corrected():
  (alone,) = comparisons([1.0])
  for method in METHODS:
    (found,) = corrected([alone], method=method)
    assert (found.p, found.low, found.high) == pytest.approx((alone.p, *alone.interval()))


@settings(deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=6))
def test_more_comparisons_never_make_an_interval_narrower_nor_a_p_value_smaller(effects):
  all_of_them = comparisons(effects)
  for few, many in zip(corrected(all_of_them[:-1]), corrected(all_of_them), strict=False):
    assert many.p >= few.p and many.high - many.low >= few.high - few.low
    assert many.comparisons == few.comparisons + 1


def test_benjamini_hochberg_finds_at_least_what_holm_finds():
  differences = comparisons([0.0, 3.0, 4.0, 5.0, 0.5])
  for strict, mild in zip(corrected(differences), corrected(differences, method='benjamini_hochberg'), strict=True):
    assert mild.p <= strict.p


def test_comparisons_with_one_seed_make_no_claim_and_do_not_count():
  one_seed = difference(ArmScores.of(np.zeros((1, 5)) + np.arange(5)), ArmScores.of(np.ones((3, 5))))
  found = corrected([*comparisons([1.0, 2.0]), one_seed])
  assert [each.comparisons for each in found] == [2, 2, 2]
  assert math.isnan(found[2].p) and not found[2].is_effect()


def test_in_tables_of_equal_arms_one_in_twenty_has_a_false_difference():
  generator = np.random.default_rng(3)
  plain = false = 0
  tables = 400
  for _ in range(tables):
    base = ArmScores.of(generator.normal(size=5))
    found = corrected([difference(ArmScores.of(generator.normal(size=5)), base) for _ in range(8)])
    plain += any(each.difference.p <= 0.05 for each in found)
    false += any(each.is_effect() for each in found)
  assert plain / tables > 0.15
  assert false / tables < 0.05 + 2 * math.sqrt(0.05 * 0.95 / tables)


def test_an_unknown_correction_names_the_nearest():
  with pytest.raises(UserError, match="Did you mean 'holm'"):
    corrected([], method='Holm')
