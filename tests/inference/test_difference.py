"""What must hold of the difference of two arms and of its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from codemix.errors import UserError
from codemix.inference.arm_scores import ArmScores
from codemix.inference.correlation import LEAST_PAIRS
from codemix.inference.difference import difference
from codemix.inference.influence import without_each_seed

numbers = st.integers(0, 10**6)
runs = st.integers(1, 7)


def arm(seed: int, seeds: int, items: int = 12, labels: bool = False, name: str = 'own') -> ArmScores:
  generator = np.random.default_rng(seed)
  scores_SxI = generator.normal(size=(seeds, items)) + generator.normal(size=(seeds, 1)) + 3 * np.random.default_rng(5).normal(size=items)
  return ArmScores.of(scores_SxI, range(seeds) if labels else None, name)


def moved(given: ArmScores, change) -> ArmScores:
  return ArmScores(tuple(change(task) for task in given.tasks), given.weights, given.seeds, given.name)


@settings(deadline=None)
@given(numbers, runs, runs, st.booleans(), st.sampled_from(['random', 'fixed']))
def test_swapping_the_arms_negates_the_difference(seed, own_runs, base_runs, labels, items):
  own, base = arm(seed, own_runs, labels=labels), arm(seed + 1, base_runs, labels=labels)
  there, back = difference(own, base, items), difference(base, own, items)
  assert there.value == pytest.approx(-back.value)
  assert there.interval() == pytest.approx(tuple(-end for end in reversed(back.interval())), nan_ok=True)
  assert there.p == pytest.approx(back.p, nan_ok=True)
  assert (there.noise, there.paired) == (back.noise, back.paired)


@settings(deadline=None)
@given(numbers, runs, runs, st.booleans(), st.floats(-100, 100))
def test_a_constant_added_to_both_arms_changes_nothing_but_the_figures(seed, own_runs, base_runs, labels, constant):
  own, base = arm(seed, own_runs, labels=labels), arm(seed + 1, base_runs, labels=labels)
  before, after = difference(own, base), difference(moved(own, lambda x: x + constant), moved(base, lambda x: x + constant))
  assert after.value == pytest.approx(before.value, abs=1e-9)
  assert after.error == pytest.approx(before.error, abs=1e-6, nan_ok=True)
  assert after.own_figures == pytest.approx(np.array(before.own_figures) + constant)


@settings(deadline=None)
@given(numbers, runs, runs, st.booleans(), st.floats(0.01, 100))
def test_a_change_of_the_unit_scales_the_interval_and_keeps_the_p_value(seed, own_runs, base_runs, labels, unit):
  own, base = arm(seed, own_runs, labels=labels), arm(seed + 1, base_runs, labels=labels)
  before, after = difference(own, base), difference(moved(own, lambda x: unit * x), moved(base, lambda x: unit * x))
  assert after.interval() == pytest.approx(tuple(unit * end for end in before.interval()), nan_ok=True)
  assert after.p == pytest.approx(before.p, nan_ok=True)


@settings(deadline=None)
@given(numbers, st.integers(2, 7), st.integers(2, 7), st.randoms(use_true_random=False))
def test_the_order_of_runs_and_of_items_does_not_matter(seed, own_runs, base_runs, random):
  own, base = arm(seed, own_runs, labels=True), arm(seed + 1, base_runs, labels=True)
  order = random.sample(range(own_runs), own_runs)
  columns = random.sample(range(12), 12)
  shuffled = difference(moved(own.with_runs(order), lambda x: x[:, columns]), moved(base, lambda x: x[:, columns]))
  plain = difference(own, base)
  assert shuffled.interval() == pytest.approx(plain.interval())
  assert shuffled.paired == plain.paired


@given(numbers, st.integers(2, 8), st.integers(2, 8))
@settings(deadline=None)
def test_figures_without_items_are_compared_by_welchs_test(seed, own_runs, base_runs):
  own_S, base_S = arm(seed, own_runs).figures, arm(seed + 1, base_runs).figures
  found = difference(ArmScores.of(own_S), ArmScores.of(base_S))
  welch = stats.ttest_ind(own_S, base_S, equal_var=False)
  assert found.noise == 'seeds' and found.items == 0
  assert found.p == pytest.approx(welch.pvalue)
  assert found.interval() == pytest.approx(tuple(welch.confidence_interval(0.95)))


def test_fixed_items_leave_the_seeds_alone():
  own, base = arm(0, 4), arm(1, 5)
  found = difference(own, base, items='fixed')
  assert found.noise == 'seeds' and found.items == 12
  assert found.interval() == pytest.approx(difference(ArmScores.of(own.figures), ArmScores.of(base.figures)).interval())


@pytest.mark.parametrize('seeds', [LEAST_PAIRS - 1, LEAST_PAIRS])
def test_shared_seeds_are_paired_where_there_are_enough_to_estimate_their_correlation(seeds):
  luck_S = np.random.default_rng(0).normal(size=seeds)
  own, base = (ArmScores.of(luck_S + 0.01 * np.random.default_rng(n).normal(size=seeds), range(seeds)) for n in (1, 2))
  found = difference(own, base)
  assert found.paired == (seeds >= LEAST_PAIRS)
  assert found.correlation.value > 0.99 and found.correlation.pairs == seeds
  unlabelled = difference(ArmScores.of(own.figures), ArmScores.of(base.figures))
  if found.paired:
    assert found.p == pytest.approx(stats.ttest_rel(own.figures, base.figures).pvalue)
    assert found.error < 0.1 * unlabelled.error
  else:
    assert found.error == unlabelled.error


def test_arms_that_share_a_part_of_their_seeds_are_not_paired():
  own, base = arm(0, 6, labels=True), arm(1, 8, labels=True)
  found = difference(own, base)
  assert not found.paired and found.correlation.pairs == 6


def test_one_run_gives_an_interval_over_items_and_no_p_value():
  own, base = arm(0, 1), arm(1, 4)
  found = difference(own, base)
  differences_I = own.tasks[0][0] - base.tasks[0].mean(0)
  assert found.noise == 'items only' and not found.has_seeds and math.isnan(found.p)
  assert found.interval() == pytest.approx(tuple(stats.ttest_1samp(differences_I, 0).confidence_interval(0.95)))


def test_one_run_without_items_gives_no_interval():
  found = difference(ArmScores.of(np.array([3.0])), ArmScores.of(np.array([2.0, 2.1])))
  assert found.value == pytest.approx(0.95)
  assert found.noise == 'none' and all(map(math.isnan, [*found.interval(), found.p]))


def test_runs_that_never_vary_show_no_effect():
  found = difference(ArmScores.of(np.full((3, 5), 1.0)), ArmScores.of(np.full((3, 5), 0.0)))
  assert found.error == 0 and found.interval() == (1.0, 1.0) and math.isnan(found.p)


def test_items_that_a_run_lacks_are_left_out_of_both_arms_and_counted():
  own, base = arm(0, 3), arm(1, 4)
  own.tasks[0][1, 4] = base.tasks[0][2, 7] = math.nan
  found = difference(own, base)
  kept = [index for index in range(12) if index not in (4, 7)]
  assert found.interval() == difference(moved(own, lambda x: x[:, kept]), moved(base, lambda x: x[:, kept])).interval()
  assert found.items == 10 and found.notes == ('2 of 12 items are left out: a run has no score for them.',)


def test_a_run_without_scores_is_left_out_and_named():
  own, base = arm(0, 4, labels=True, name='code'), arm(1, 4, labels=True)
  own.tasks[0][2] = math.nan
  found = difference(own, base)
  assert found.own_seeds == (0, 1, 3) and len(found.own_figures) == 3 and found.items == 12
  assert found.notes == ('code: left out without scores: seed 2.',)


def test_an_average_over_tasks_of_one_item_layout_is_the_task_of_all_items():
  own, base = arm(0, 3, items=40), arm(1, 3, items=40)
  halves = [ArmScores((of.tasks[0][:, :20], of.tasks[0][:, 20:]), (0.5, 0.5)) for of in (own, base)]
  whole, average = difference(own, base), difference(*halves)
  assert average.value == pytest.approx(whole.value) and average.items == 40
  # The items' parts are computed within each task, so they differ a little.
  assert average.error == pytest.approx(whole.error, rel=0.1)


@pytest.mark.parametrize(
  ('own', 'base', 'message'),
  [
    (ArmScores.of(np.zeros((2, 3))), ArmScores.of(np.zeros((2, 4))), 'same items'),
    (ArmScores.of(np.zeros((2, 3))), ArmScores.of(np.zeros(2)), 'figures without items'),
    (ArmScores.of(np.full((2, 3), math.nan)), ArmScores.of(np.zeros((2, 3))), 'no run with scores'),
    (ArmScores((np.zeros(2), np.zeros(2)), (0.5, 0.5)), ArmScores.of(np.zeros(2)), 'weigh'),
  ],
)
def test_arms_that_cannot_be_compared_are_refused(own, base, message):
  with pytest.raises(UserError, match=message):
    difference(own, base)


@pytest.mark.parametrize(
  'wrong',
  [
    lambda: ArmScores(()),
    lambda: ArmScores.of(np.zeros((0, 4))),
    lambda: ArmScores.of(np.zeros((2, 2, 2))),
    lambda: ArmScores.of(np.array([1.0, math.inf])),
    lambda: ArmScores.of(np.zeros(3), [1, 1, 2]),
    lambda: ArmScores((np.zeros(3), np.zeros(2)), (0.5, 0.5)),
    lambda: difference(ArmScores.of(np.zeros(3)), ArmScores.of(np.zeros(3)), items='Fixed'),
    lambda: difference(ArmScores.of(np.zeros(3)), ArmScores.of(np.zeros(3))).interval(95),
  ],
)
def test_wrong_input_is_a_user_error(wrong):
  with pytest.raises(UserError):
    wrong()


def test_leaving_out_an_outlier_seed_shows_what_it_did():
  generator = np.random.default_rng(0)
  own = ArmScores.of(np.array([0.1, 0.2, 9.0]) + 0.01 * generator.normal(size=3), [4, 5, 6], 'own')
  base = ArmScores.of(0.01 * generator.normal(size=3), [4, 5, 6], 'base')
  found = {(each.arm, each.seed): each.difference.value for each in without_each_seed(own, base)}
  assert len(found) == 6 and min(found, key=found.get) == ('own', 6)
  assert found['own', 6] == pytest.approx(0.15, abs=0.05)
