"""Components, and the power that they give."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from codemix.errors import UserError
from codemix.inference.arm_scores import ArmScores
from codemix.inference.components import MOST, Components, estimate_components, of_sum
from codemix.inference.difference import difference
from codemix.inference.equivalence import equivalence
from codemix.inference.power import (
  Design,
  least_effect,
  least_effect_of_items,
  power,
  seeds_needed,
)
from codemix.inference.resolution import resolution

spreads = st.floats(0.05, 5)
components = st.builds(Components, seed=spreads, items=st.integers(20, 20_000), arm_item=st.floats(0, 50), residual=st.floats(0, 50))
counts = st.integers(2, 30)
few = settings(max_examples=40, deadline=None)


@few
@given(components, counts, st.floats(0, 10))
def test_more_seeds_in_both_arms_never_lower_the_power(of, seeds, effect):
  fewer = power(effect, of, Design(seeds, seeds))
  # A small effect is found little more often than a false one, and the chance of that falls to the level (next test).
  if fewer > 0.1:
    assert power(effect, of, Design(seeds + 1, seeds + 1)) >= fewer - 1e-3


@few
@given(components, counts)
def test_without_an_effect_the_power_is_at_most_a_little_over_the_level(of, seeds):
  assert power(0.0, of, Design(seeds, seeds)) <= 0.07


@few
@given(components, counts, st.floats(0, 10), st.floats(0, 10))
def test_a_larger_effect_never_lowers_the_power_and_its_sign_does_not_matter(of, seeds, effect, more):
  design = Design(seeds, seeds)
  assert power(effect + more, of, design) >= power(effect, of, design) - 1e-9
  assert power(-effect, of, design) == pytest.approx(power(effect, of, design))


@few
@given(components, counts, st.floats(0.1, 10), st.integers(1, 40))
def test_more_comparisons_never_raise_the_power(of, seeds, effect, comparisons):
  assert power(effect, of, Design(seeds, seeds, comparisons=comparisons + 1)) <= power(effect, of, Design(seeds, seeds, comparisons=comparisons))


@few
@given(components, counts, counts, st.sampled_from([0.5, 0.8, 0.95]))
def test_the_least_effect_is_found_with_the_wanted_power(of, own, base, wanted):
  design = Design(own, base)
  assert power(least_effect(of, design, wanted), of, design) == pytest.approx(wanted, abs=1e-4)


@few
@given(components, st.floats(0.1, 5), st.booleans())
def test_the_seeds_needed_are_enough_and_one_fewer_are_not(of, effect, shared):
  design = Design(3, 3, shared=shared)
  needed = seeds_needed(effect, of, design)
  of_seeds = lambda seeds: power(effect, of, Design(seeds, seeds, shared=shared))
  if needed is None:
    assert of_seeds(10_000) < 0.8
  else:
    assert of_seeds(needed) >= 0.8 and (needed == 2 or of_seeds(needed - 1) < 0.8)


def test_at_many_seeds_the_power_is_that_of_the_t_test():
  of, design = Components(seed=0.9), Design(20, 20)
  theirs = stats.nct.sf(stats.t.ppf(0.975, 38), 38, 1 / (0.9 * math.sqrt(2 / 20)))
  assert power(1.0, of, design) == pytest.approx(theirs, abs=0.005)


@pytest.mark.parametrize(
  ('task', 'spread', 'normal_theory'),
  [('PIQA', 0.35, 2), ('ARC-Easy', 0.95, 15), ('WinoGrande', 0.89, 13), ('SciQ', 0.70, 8), ('LAMBADA', 0.63, 7), ('BoolQ', 3.29, 170)],
)
def test_seeds_needed_are_a_few_more_than_the_normal_approximation_says(task, spread, normal_theory):
  needed = seeds_needed(1.0, Components(seed=spread), Design(3, 3))
  assert 0 <= needed - normal_theory <= 2, task


def test_one_seed_an_arm_can_show_nothing():
  of, design = Components(seed=1e-9), Design(1, 5)
  assert power(100, of, design) == 0 and least_effect(of, design) == math.inf


def test_no_number_of_seeds_shows_what_the_items_hide():
  of = Components(seed=0.7, items=1267, arm_item=35, residual=20)
  floor = least_effect_of_items(of, Design(3, 3))
  assert floor == pytest.approx(2.80 * 35 / math.sqrt(1267), rel=0.01)
  assert seeds_needed(0.99 * floor, of, Design(3, 3)) is None and seeds_needed(1.2 * floor, of, Design(3, 3)) > 3


@few
@given(components, st.integers(2, 8), st.floats(0.5, 5))
def test_a_positive_correlation_of_shared_seeds_never_lowers_the_power(of, seeds, effect):
  alike = Components(seed=of.seed, items=of.items, arm_item=of.arm_item, residual=of.residual, correlation=0.8)
  design = Design(seeds, seeds, shared=True)
  # Near the level the power is that of a false difference. Without pairs the test does not know of the correlation, and at small effects finds less.
  if power(effect, of, design) > (0.1 if design.paired else 0.5):
    assert power(effect, alike, design) >= power(effect, of, design) - 1e-3


def test_the_components_of_constructed_scores_are_found():
  generator = np.random.default_rng(0)
  truth = Components(seed=2.0, items=4000, arm_item=20.0, residual=15.0, sampling=30.0)
  item = 40 * generator.normal(size=(1, 4000, 1))
  arms = [
    item + truth.arm_item / math.sqrt(2) * generator.normal(size=(1, 4000, 1)) + truth.seed * generator.normal(size=(40, 1, 1))
    + truth.residual * generator.normal(size=(40, 4000, 1)) + truth.sampling * generator.normal(size=(40, 4000, 3))
    for _ in range(2)
  ]  # fmt: skip
  found = estimate_components(arms)
  assert found.items == 4000
  for name in ('seed', 'arm_item', 'residual', 'sampling'):
    assert getattr(found, name) == pytest.approx(getattr(truth, name), rel=0.2), name
  averaged = estimate_components([scores.mean(axis=2) for scores in arms])
  assert averaged.residual**2 == pytest.approx(truth.residual**2 + truth.sampling**2 / 3, rel=0.05)


def test_figures_without_items_have_a_component_of_seeds_alone():
  figures_S = np.array([1.0, 2.0, 4.0])
  assert estimate_components([figures_S]) == Components(seed=float(figures_S.std(ddof=1)))


@pytest.mark.parametrize(
  'wrong',
  [
    lambda: Components(seed=-1),
    lambda: Components(seed=1, residual=3),
    lambda: estimate_components([np.zeros((1, 5))]),
    lambda: estimate_components([np.zeros((2, 5)), np.zeros((2, 6))]),
    lambda: estimate_components([np.full((2, 5), math.nan)]),
    lambda: Design(0, 3),
    lambda: Components(seed=1e300),
    lambda: Components(seed=1, items=10**400),
    lambda: Design(3, 3, comparisons=10**400),
    lambda: Design(3, 3, samples=10**400),
    lambda: Design(10**400, 3),
    lambda: seeds_needed(0.0, Components(seed=1), Design(3, 3)),
    lambda: least_effect(Components(seed=1), Design(3, 3), wanted=0.01),
  ],
)
def test_wrong_input_is_a_user_error(wrong):
  with pytest.raises(UserError):
    wrong()


def test_the_verdict_says_how_many_seeds_are_missing():
  found = resolution('WinoGrande', 1.0, Components(seed=0.89), Design(3, 3))
  assert str(found) == 'this study cannot resolve 1 point on WinoGrande: 14 seeds an arm are needed, it has 3'
  assert not found.is_resolved and found.seeds_needed == 14
  assert str(resolution('PIQA', 1.0, Components(seed=0.35), Design(5, 5))).startswith('this study can resolve 1 point on PIQA: 5 seeds an arm')
  hidden = resolution('WinoGrande', 0.5, Components(seed=0.7, items=1267, arm_item=35), Design(3, 4))
  assert 'no number of seeds resolves 0.5 points' in str(hidden) and 'below 2.8 points' in str(hidden)


def test_what_the_items_do_not_hide_and_10_000_seeds_do_not_show_has_a_sentence_of_its_own():
  found = resolution('PIQA', 1e-9, Components(seed=0.35), Design(3, 3))
  assert str(found) == 'this study cannot resolve 1e-09 points on PIQA: more than 10,000 seeds an arm are needed; plan for a larger effect'
  of_items = Components(seed=50.0, items=10_000, arm_item=20.0)
  floor = least_effect_of_items(of_items, Design(3, 3))
  above = resolution('PIQA', 1.5 * floor, of_items, Design(3, 3))
  assert above.seeds_needed is None and 'more than 10,000 seeds' in str(above)
  assert 'hides effects below' in str(resolution('PIQA', 0.5 * floor, of_items, Design(3, 3)))


@pytest.mark.parametrize('of', [Components(seed=MOST), Components(seed=MOST, items=2, arm_item=MOST, residual=MOST, sampling=MOST), Components(seed=1e-8)])
@pytest.mark.parametrize('question', ['different', 'equal'])
def test_noise_at_the_ends_of_its_range_is_planned(of, question):
  design = Design(3, 3, comparisons=50, question=question)
  for effect in (1e-300, 1.0, MOST):
    assert 0 <= power(effect, of, design) <= 1
  assert 0 < least_effect(of, design) < math.inf
  assert str(resolution('x', 1e-300, of, design))


EQUAL = (
  (Components(seed=0.5), 3, 1), (Components(seed=0.5), 6, 1), (Components(seed=0.4, items=60, arm_item=4.0, residual=6.0), 3, 1), (Components(seed=0.5), 4, 5),
)  # fmt: skip


@pytest.mark.parametrize(('of', 'seeds', 'comparisons'), EQUAL)
def test_the_power_of_equality_is_how_often_the_two_one_sided_tests_show_it(of, seeds, comparisons):
  design = Design(seeds, seeds, shared=True, comparisons=comparisons, question='equal')
  margin = least_effect(of, design, 0.7)
  generator = np.random.default_rng(seeds + 10 * comparisons)
  shown, trials = 0, 1200
  items = of.items or 1
  for _ in range(trials):
    arm_item = of.arm_item / math.sqrt(2) * generator.normal(size=(2, 1, items))
    scores = arm_item + of.seed * generator.normal(size=(2, seeds, 1)) + of.residual * generator.normal(size=(2, seeds, items))
    own, base = (ArmScores.of(each if of.items else each[:, 0], tuple(range(seeds))) for each in scores)
    shown += equivalence(difference(own, base), margin, 1 - 0.05 / comparisons).holds
  assert shown / trials == pytest.approx(0.7, abs=3 * math.sqrt(0.7 * 0.3 / trials))


@few
@given(components, st.integers(2, 8), st.floats(0.5, 20), st.integers(1, 20))
def test_a_larger_margin_and_more_seeds_never_lower_the_power_of_equality_and_comparisons_never_raise_it(of, seeds, margin, comparisons):
  design = Design(seeds, seeds, comparisons=comparisons, question='equal')
  found = power(margin, of, design)
  assert power(2 * margin, of, design) >= found - 1e-9
  # Far below the wanted powers few degrees of freedom show an equality by the luck of a small sample variance.
  if found > 0.1:
    assert power(margin, of, dataclasses.replace(design, own=seeds + 1, base=seeds + 1)) >= found - 1e-3
  assert power(margin, of, dataclasses.replace(design, comparisons=comparisons + 1)) <= found


def test_no_number_of_seeds_shows_an_equality_that_the_items_hide():
  of, design = Components(seed=0.7, items=1267, arm_item=35, residual=20), Design(3, 3, question='equal')
  floor = least_effect_of_items(of, design)
  assert floor == pytest.approx((1.645 + 1.2816) * 35 / math.sqrt(1267), rel=0.001)
  assert seeds_needed(0.99 * floor, of, design) is None and seeds_needed(1.2 * floor, of, design) > 3
  assert 'no number of seeds shows equality within 1 point on PIQA: the choice of its items alone hides margins below' in str(resolution('PIQA', 1.0, of, design))


def test_the_verdict_on_an_equality_says_what_it_takes_for_granted():
  of, design = Components(seed=0.35), Design(3, 3, question='equal')
  found = resolution('PIQA', 1.0, of, design)
  assert str(found).startswith(f'this study cannot show equality within 1 point on PIQA: {found.seeds_needed} seeds an arm are needed')
  enough = resolution('PIQA', 1.0, of, dataclasses.replace(design, own=found.seeds_needed, base=found.seeds_needed))
  assert enough.is_resolved and str(enough).endswith('if the arms do not differ')


@few
@given(st.lists(st.tuples(st.floats(0.1, 1), components), min_size=1, max_size=4), st.integers(1, 5))
def test_the_variance_of_a_sum_is_that_of_its_independent_tasks(parts, samples):
  found = of_sum(parts)
  assert found.figure_variance(samples) == pytest.approx(sum(weight**2 * of.figure_variance(samples) for weight, of in parts), rel=1e-6)
  assert found.item_variance == pytest.approx(sum(weight**2 * of.item_variance for weight, of in parts), rel=1e-6)
  assert of_sum([(1.0, parts[0][1])]).items == parts[0][1].items


def test_a_sum_of_figures_without_items_has_none_and_keeps_the_correlation_of_its_seeds():
  parts = [(0.5, Components(seed=1.0, correlation=0.6)), (0.5, Components(seed=1.0))]
  assert of_sum(parts) == Components(seed=math.sqrt(0.5), correlation=0.3)
