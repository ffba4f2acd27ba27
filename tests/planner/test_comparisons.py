"""What `codemix plan --power` says of a study's comparisons."""

from __future__ import annotations

import dataclasses
import json
import math
import sys

import numpy as np
import pytest

from codemix import cli
from codemix.errors import UserError
from codemix.inference.components import Components, estimate_components
from codemix.inference.power import Design, least_effect
from codemix.planner.chips import CHIPS
from codemix.planner.comparisons import plan_power
from codemix.planner.power_settings import Power
from codemix.planner.show_power import show_power
from codemix.studies.claim import Claim
from codemix.studies.planned_arms import planned_arms
from codemix.studies.recipe import Study
from tests import tiny_study

NOISE = {'winogrande': Components(seed=0.89), 'piqa': Components(seed=0.35)}


def study_of(seeds: dict[str, int], base_seeds: int) -> Study:
  """Arms that differ in their mixture, with so many seeds each, and the baseline 'base, seed 0'."""
  counts = {'base': base_seeds, **seeds}
  mixtures = {name: {'text': 1 - number / 10, 'code': number / 10} for number, name in enumerate(counts, 1)}
  recipes = {
    f'{name}, seed {seed}': tiny_study.recipe(tiny_study.stage('only', mixtures[name], 4), seed=seed)
    for name, count in counts.items() for seed in range(count)
  }  # fmt: skip
  return Study('arms', recipes, baseline='base, seed 0')


def test_arms_are_recipes_that_differ_in_their_seed_alone():
  arms = planned_arms(study_of({'code': 3}, 2))
  assert [(arm.name, len(arm.recipes)) for arm in arms] == [('base', 2), ('code', 3)]


def test_each_comparison_has_the_seeds_of_its_arm_and_of_the_baseline():
  plan = plan_power(study_of({'code': 3, 'more': 2, 'other': 2}, 3), Power(), NOISE)
  assert [(each.arms, each.resolution.task, each.resolution.design.own, each.resolution.design.base) for each in plan.comparisons] == [
    (('code',), 'winogrande', 3, 3), (('more', 'other'), 'winogrande', 2, 3),
    (('code',), 'piqa', 3, 3), (('more', 'other'), 'piqa', 2, 3),
  ]  # fmt: skip
  assert plan.corrected_for == {'points': 6}
  expected = least_effect(NOISE['piqa'], Design(3, 3, shared=True, comparisons=6))
  assert plan.comparisons[2].resolution.least_effect == pytest.approx(expected)


def test_one_comparison_says_what_is_missing_in_one_sentence():
  plan = plan_power(study_of({'code': 3}, 3), Power(), {'winogrande': NOISE['winogrande']})
  # Paired by seed the test has half of the degrees of freedom, so a seed more than 14.
  assert str(plan.comparisons[0].resolution) == 'this study cannot resolve 1 point on winogrande: 15 seeds an arm are needed, it has 3'


def test_fixed_items_need_fewer_seeds():
  noise = {'winogrande': Components(seed=0.7, items=1267, arm_item=10, residual=15)}
  random, fixed = (plan_power(study_of({'code': 3}, 3), Power(items=items), noise).comparisons[0].resolution for items in ('random', 'fixed'))
  assert fixed.seeds_needed < random.seeds_needed and fixed.least_of_items == 0 < random.least_of_items
  # At 3 seeds the well-known part of the items gives the test degrees of freedom, which outweighs its variance here.
  assert fixed.least_effect == pytest.approx(random.least_effect, rel=0.1)


def test_claims_about_one_task_are_planned_with_all_their_seeds_and_corrected_for_their_own_number():
  claims = {
    'more': Claim('more', 'piqa', 'higher', against='code', margin=2), 'less': Claim('code', 'winogrande', 'lower'),
    'equal': Claim('code', 'piqa', 'equal', margin=1), 'loss': Claim('code', 'text', 'lower'),
  }  # fmt: skip
  study = dataclasses.replace(study_of({'code': 3, 'more': 5}, 3), evaluate=('piqa', 'winogrande'), validation=('text',), claims=claims)
  found = [each for each in plan_power(study, Power(), NOISE).comparisons if each.claim]
  assert [(each.claim, each.arms, each.baseline, each.resolution.task) for each in found] == [('more', ('more',), 'code', 'piqa'), ('less', ('code',), 'base', 'winogrande')]
  assert found[0].resolution.design == Design(5, 3, comparisons=4) and found[1].resolution.design == Design(3, 3, shared=True, comparisons=4)


def test_the_cost_grows_by_every_arm_with_each_seed():
  study = study_of({'code': 3, 'more': 3}, 3)
  plan = plan_power(study, Power(), NOISE, CHIPS['v5e'])
  one_seed = plan_power(study_of({'code': 1, 'more': 1}, 1), Power(), NOISE, CHIPS['v5e'])
  assert plan.hours(7) == pytest.approx(7 * plan.hours_of_a_seed) == pytest.approx(7 * one_seed.hours_of_a_seed)
  assert plan.hours(None) is None and plan_power(study, Power(), NOISE).hours(7) is None


def test_sources_are_planned_in_bits_per_byte_and_corrected_for_their_own_number():
  study = dataclasses.replace(study_of({'code': 3}, 3), validation=('text', 'code'))
  plan = plan_power(study, Power(effect_bits=0.02), {'piqa': NOISE['piqa'], 'text': Components(seed=0.01), 'code': Components(seed=0.02)})
  assert plan.corrected_for == {'points': 1, 'bits per byte': 2}
  piqa, text, code = (each.resolution for each in plan.comparisons)
  assert (piqa.unit, piqa.effect, text.unit, text.effect) == ('points', 1.0, 'bits per byte', 0.02)
  assert code.least_effect == pytest.approx(2 * text.least_effect) == pytest.approx(2 * least_effect(Components(seed=0.01), Design(3, 3, shared=True, comparisons=2)))
  assert '0.02 bits per byte on text' in str(text)


def test_one_seed_an_arm_resolves_nothing():
  plan = plan_power(study_of({'code': 1}, 1), Power(effect=50), NOISE)
  assert all(each.resolution.least_effect == math.inf and not each.resolution.is_resolved for each in plan.comparisons)


@pytest.mark.parametrize(('seeds', 'message'), [({}, 'no arm to compare'), ({'code': 0}, 'no arm to compare')])
def test_a_study_without_a_second_arm_is_refused(seeds, message):
  with pytest.raises(UserError, match=message):
    plan_power(study_of(seeds, 3), Power(), NOISE)


def test_scores_that_are_all_the_same_are_no_noise_to_plan_with(capsys):
  # Seven of 500 items in every run: what is estimated is not exactly 0.
  silent = estimate_components([100 * np.tile(np.arange(500) < 7, (3, 1))] * 2)
  plan, without = (plan_power(study_of({'code': 3}, 3), Power(), noise) for noise in ({**NOISE, 'lambada': silent}, NOISE))
  assert plan.unknown == ('lambada',) and plan.comparisons == without.comparisons and plan.corrected_for == without.corrected_for
  show_power(plan, sys.stdout)
  assert 'not planned, since all their components are 0, as of scores that are all the same: lambada' in capsys.readouterr().out
  for settings, of in ((Power(), silent), (Power(items='fixed'), Components(seed=0.0, items=200, arm_item=9.0))):
    with pytest.raises(UserError, match='all components of lambada are 0'):
      plan_power(study_of({'code': 3}, 3), settings, {'lambada': of})


FLAGS = ('plan', '--power', '--gin_file=studies/proportions.gin', '--gin.sweep.shares=(0.0, 0.5)')
STATED = ("--gin.Power.components={'piqa': @piqa/Components()}", '--gin.piqa/Components.seed=0.35')


def test_the_command_prints_a_table_and_a_verdict(capsys):
  assert cli.main([*FLAGS, '--gin.Study.seeds=(0, 1, 2)', *STATED, '--topology=v5e:16x16', '--price=2']) == 0
  out = capsys.readouterr().out
  assert 'least effect' in out and 'chip-hours' in out and 'price' in out
  assert 'this study cannot resolve 1 point on piqa' in out
  assert 'for claims about their items alone: piqa (Components.arm_item is 0)' in out


def test_json_has_the_figures_of_the_table(capsys):
  assert cli.main([*FLAGS, '--gin.Study.seeds=(0, 1, 2, 3, 4, 5)', *STATED, '--gin.Power.effect=2', '--format=json']) == 0
  plan = json.loads(capsys.readouterr().out)
  assert plan['effect'] == 2 and plan['chip_hours_of_one_seed'] is None
  assert all(each['seeds'] == 6 and each['power_at_effect'] > 0.8 and 'can resolve 2 points' in each['verdict'] for each in plan['comparisons'])


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (FLAGS, '--pilot=DIR'),
    (('plan', '--gin_file=studies/proportions.gin', '--topology=cpu:8', '--pilot=runs'), 'no effect without --power'),
    ((*FLAGS, *STATED, '--memory=3'), '--memory has no effect'),
    ((*FLAGS, '--pilot=nowhere'), 'not the folder of a study'),
    ((*FLAGS, *STATED, '--gin.Power.items="fixt"'), "Did you mean 'fixed'"),
    ((*FLAGS, *STATED, '--gin.piqa/Components.seed=-1'), 'at least 0'),
  ],
)
def test_a_mistake_is_one_line_that_says_what_to_change(capsys, flags, message):
  assert cli.main(list(flags)) == 2
  err = capsys.readouterr().err
  assert message in err and 'Traceback' not in err
