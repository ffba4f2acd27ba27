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
from codemix.evaluation.tasks.evaluation import Evaluation
from codemix.inference.components import Components, estimate_components
from codemix.inference.power import Design, least_effect
from codemix.inference.resolution import resolution
from codemix.planner.chips import CHIPS
from codemix.planner.comparisons import plan_power
from codemix.planner.group_noise import group_noise
from codemix.planner.power_settings import Power
from codemix.planner.show_power import describe_power, show_power
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
  # Three arms, two benchmarks and their mean.
  assert plan.corrected_for == {'nl_reasoning': 9}
  expected = least_effect(NOISE['piqa'], Design(3, 3, shared=True, comparisons=9))
  assert plan.comparisons[2].resolution.least_effect == pytest.approx(expected)


def test_one_comparison_says_what_is_missing_in_one_sentence():
  plan = plan_power(study_of({'code': 3}, 3), Power(comparisons=1), {'winogrande': NOISE['winogrande']})
  # Paired by seed the test has half of the degrees of freedom, so a seed more than 14.
  assert str(plan.comparisons[0].resolution) == 'this study cannot resolve 1 point on winogrande: 15 seeds an arm are needed, it has 3'


def test_fixed_items_need_fewer_seeds():
  noise = {'winogrande': Components(seed=0.7, items=1267, arm_item=10, residual=15)}
  random, fixed = (plan_power(study_of({'code': 3}, 3), Power(items=items), noise).comparisons[0].resolution for items in ('random', 'fixed'))
  assert fixed.seeds_needed < random.seeds_needed and fixed.least_of_items == 0 < random.least_of_items
  # At 3 seeds the well-known part of the items gives the test degrees of freedom, which outweighs its variance here.
  assert fixed.least_effect == pytest.approx(random.least_effect, rel=0.1)


def planned_claims(claims: dict[str, Claim], noise: dict[str, Components], **settings) -> tuple[dict, dict]:
  """(what the claims can show, why the others are not planned), by name."""
  settings = {'evaluate': ('piqa', 'winogrande'), 'validation': ('text',), **settings}
  study = dataclasses.replace(study_of({'code': 3, 'more': 5}, 3), claims=claims, **settings)
  plan = plan_power(study, Power(effect_bits=0.02), noise)
  return {each.claim: each for each in plan.comparisons if each.claim}, dict(plan.claims_left_out)


def test_claims_about_one_task_are_planned_with_all_their_seeds_and_corrected_for_their_own_number():
  claims = {
    'more': Claim('more', 'piqa', 'higher', against='code', margin=2), 'less': Claim('code', 'winogrande', 'lower'),
    'equal': Claim('code', 'piqa', 'equal', margin=1), 'loss': Claim('code', 'text', 'lower'),
  }  # fmt: skip
  found, left_out = planned_claims(claims, NOISE)
  assert [(each.claim, each.arms, each.baseline, each.resolution.task) for each in found.values()] == [
    ('more', ('more',), 'code', 'piqa'), ('less', ('code',), 'base', 'winogrande'), ('equal', ('code',), 'base', 'piqa'),
  ]  # fmt: skip
  assert found['more'].resolution.design == Design(5, 3, comparisons=4) and found['less'].resolution.design == Design(3, 3, shared=True, comparisons=4)
  assert left_out == {'loss': 'the noise of text is not known'}


def test_a_claim_of_equality_is_planned_at_its_margin_by_the_power_of_the_two_tests():
  found, _ = planned_claims({'equal': Claim('code', 'piqa', 'equal', margin=1.5), 'bits': Claim('code', 'held_out/text', 'equal', margin=0.03)}, {**NOISE, 'text': Components(seed=0.01)})
  design = Design(3, 3, shared=True, comparisons=2, question='equal')
  assert found['equal'].resolution == resolution('piqa', 1.5, NOISE['piqa'], design)
  assert found['bits'].resolution == resolution('text', 0.03, Components(seed=0.01), design, unit='bits per byte')


def test_a_claim_in_bits_per_byte_is_planned_from_the_noise_of_its_source():
  found, _ = planned_claims({'loss': Claim('code', 'text', 'lower')}, {**NOISE, 'text': Components(seed=0.01)})
  assert found['loss'].resolution == resolution('text', 0.02, Components(seed=0.01), Design(3, 3, shared=True), unit='bits per byte')


def test_a_claim_about_a_group_or_an_average_has_the_noise_of_its_tasks_as_independent():
  evaluate = ('nl_reasoning', 'knowledge')
  claims = {'group': Claim('code', 'nl_reasoning', 'higher'), 'both': Claim('code', 'NL Avg', 'higher')}
  found, left_out = planned_claims(claims, NOISE, evaluate=evaluate)
  of_reasoning = group_noise(NOISE, 'nl_reasoning')
  expected = resolution('nl_reasoning', 1.0, of_reasoning, Design(3, 3, shared=True, comparisons=2))
  assert str(found['group'].resolution) == str(expected) and found['group'].resolution.least_effect == pytest.approx(expected.least_effect)
  assert left_out == {'both': 'the noise of no task of knowledge is known'}
  known = {**NOISE, 'triviaqa': Components(seed=1.2)}
  found, left_out = planned_claims(claims, known, evaluate=evaluate)
  both = found['both'].resolution
  variance = (of_reasoning.seed**2 + group_noise(known, 'knowledge').seed ** 2) / 4
  assert not left_out and both.least_effect == pytest.approx(least_effect(Components(seed=math.sqrt(variance)), both.design))


def test_a_claim_that_cannot_be_planned_is_named_with_its_reason(capsys):
  silent = Components(seed=0.0)
  claims = {
    'answers': Claim('code', 'piqa/gold_bits_per_byte', 'lower'), 'silent': Claim('code', 'winogrande', 'lower'), 'unknown': Claim('code', 'arc_easy', 'higher'),
  }  # fmt: skip
  study = dataclasses.replace(study_of({'code': 3}, 3), claims=claims, evaluate=('piqa', 'winogrande', 'arc_easy'))
  plan = plan_power(study, Power(), {'piqa': NOISE['piqa'], 'winogrande': silent})
  show_power(plan, sys.stdout)
  said = capsys.readouterr().out
  for name, why in (('answers', "the noise of the bits per byte of piqa's answers is not among the components"), ('silent', 'all components of winogrande are 0'), ('unknown', 'the noise of arc_easy is not known')):
    assert f'claim {name} is not planned, since {why}' in said
  assert describe_power(plan)['claims_left_out'].keys() == claims.keys()


def test_the_cost_grows_by_every_arm_with_each_seed():
  study = study_of({'code': 3, 'more': 3}, 3)
  plan = plan_power(study, Power(), NOISE, CHIPS['v5e'])
  one_seed = plan_power(study_of({'code': 1, 'more': 1}, 1), Power(), NOISE, CHIPS['v5e'])
  assert plan.hours(7) == pytest.approx(7 * plan.hours_of_a_seed) == pytest.approx(7 * one_seed.hours_of_a_seed)
  assert plan.hours(None) is None and plan_power(study, Power(), NOISE).hours(7) is None


def test_sources_are_planned_in_bits_per_byte_and_corrected_for_their_own_number():
  study = dataclasses.replace(study_of({'code': 3}, 3), validation=('text', 'code'))
  plan = plan_power(study, Power(effect_bits=0.02), {'piqa': NOISE['piqa'], 'text': Components(seed=0.01), 'code': Components(seed=0.02)})
  assert plan.corrected_for == {'nl_reasoning': 2, 'bits per byte': 2}
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
  assert plan.left_out.keys() == {'lambada'} and plan.comparisons == without.comparisons and plan.corrected_for == without.corrected_for
  show_power(plan, sys.stdout)
  assert 'not planned, since all their components are 0, as of scores that are all the same: lambada' in capsys.readouterr().out
  for settings, of in ((Power(), silent), (Power(items='fixed'), Components(seed=0.0, items=200, arm_item=9.0))):
    with pytest.raises(UserError, match='all their components are 0, as of scores that are all the same: lambada'):
      plan_power(study_of({'code': 3}, 3), settings, {'lambada': of})


def test_noise_of_what_the_study_does_not_measure_is_named_and_not_planned(capsys):
  study = dataclasses.replace(study_of({'code': 3}, 3), evaluate=('piqa', 'arc_easy', 'dolly'), validation=('text',))
  noise = {'piqa': NOISE['piqa'], 'hellaswag': Components(seed=1.0), 'dolly': Components(seed=1.0), 'books': Components(seed=0.01)}  # of an earlier study
  plan = plan_power(study, Power(), noise)
  assert {each.resolution.task for each in plan.comparisons} == {'piqa'}
  show_power(plan, sys.stdout)
  said = capsys.readouterr().out
  assert 'not planned, since the study does not measure them: hellaswag, books' in said and 'not planned, since they have no score in points: dolly' in said
  with pytest.raises(UserError, match='does not measure them: hellaswag'):
    plan_power(study, Power(), {'hellaswag': Components(seed=1.0)})


def test_a_study_that_evaluates_no_benchmark_is_planned_as_if_it_did_and_says_so(capsys):
  study = dataclasses.replace(study_of({'code': 3}, 3), validation=('text',))
  show_power(plan_power(study, Power(), {**NOISE, 'text': Components(seed=0.01)}), sys.stdout)
  assert 'planned as if the study evaluated them, since it evaluates no benchmark: winogrande, piqa\n' in capsys.readouterr().out


@pytest.mark.parametrize(('evaluate', 'name', 'meant'), [((), 'hellaswg', 'hellaswag'), (('piqa',), 'piqaa', 'piqa'), (('piqa',), 'tex', 'text'), ((), 'zz', None)])
def test_a_stated_name_that_nobody_knows_is_a_mistake(evaluate, name, meant):
  study = dataclasses.replace(study_of({'code': 3}, 3), evaluate=evaluate, validation=('text',))
  settings = Power(components={'piqa': NOISE['piqa'], name: Components(seed=1.0)})
  with pytest.raises(UserError, match=f"names '{name}', and no benchmark or source.*" + (f"Did you mean '{meant}'" if meant else 'The study measures')):
    plan_power(study, settings, settings.components)


@pytest.mark.parametrize(('evaluate', 'name'), [(('piqa',), 'piqa-5shot'), (Evaluation(('piqa', 'sciq'), shots=5), 'piqa')])
def test_noise_at_another_number_of_examples_is_planned_in_the_table_of_the_study(evaluate, name):
  study = dataclasses.replace(study_of({'code': 3}, 3), evaluate=evaluate)
  plan = plan_power(study, Power(), {name: NOISE['piqa']})
  assert plan.corrected_for == ({'nl_reasoning': 2} if isinstance(evaluate, tuple) else {'nl_reasoning, 5 shots': 3})


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
    ((*FLAGS, *STATED, '--gin.piqa/Components.seed=-1'), 'from 0 to 1e+06'),
    ((*FLAGS, *STATED, '--gin.piqa/Components.seed=1e300'), 'from 0 to 1e+06'),
    ((*FLAGS, *STATED, '--gin.piqa/Components.items=1' + 400 * '0'), 'from 2 to 1,000,000,000'),
    ((*FLAGS, *STATED, '--gin.piqa/Components.items=9', '--gin.piqa/Components.residual=1e300'), 'Components.residual'),
    ((*FLAGS, *STATED, '--gin.Power.effect=1e300'), 'Power.effect'),
    ((*FLAGS, *STATED, '--gin.Power.comparisons=1' + 400 * '0'), 'Power.comparisons'),
  ],
)
def test_a_mistake_is_one_line_that_says_what_to_change(capsys, flags, message):
  assert cli.main(list(flags)) == 2
  err = capsys.readouterr().err
  assert message in err and 'Traceback' not in err
