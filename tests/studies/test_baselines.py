"""`Recipe.baseline`: what it may name, and that it changes what is compared and nothing else."""

from __future__ import annotations

import dataclasses

import pytest

import codemix
from codemix.errors import UserError
from codemix.inference.components import Components
from codemix.planner.comparisons import plan_power
from codemix.planner.power_settings import Power
from codemix.studies.baselines import baseline_of
from codemix.studies.claim_comparison import compare
from codemix.studies.pilot import Pilot, plan_pilot
from codemix.studies.sweep import sweep
from tests import tiny_study

ADDITIVE = sweep(tiny_study.recipe(tiny_study.stage('any', {'text': 1.0}, 8)), {'text': 1.0}, {'code': 1.0}, shares=(0, 0.25, 0.5), mode='additive')


def study(recipes=None, **settings) -> codemix.Study:
  return codemix.Study(name='additive', recipes=ADDITIVE if recipes is None else recipes, validation=('text',), **settings)


def test_each_point_of_an_additive_sweep_is_compared_with_its_control_of_the_same_seed():
  found = study(seeds=(0, 1))
  assert {name: baseline_of(found, name) for name in found.recipes} == {
    f'{name}, seed {seed}': f'{control}, seed {seed}'
    for seed in (0, 1)
    for name, control in {
      '0% code added': '0% code added', '25% code added': 'text of 25% code added', 'text of 25% code added': 'text of 25% code added',
      '50% code added': 'text of 50% code added', 'text of 50% code added': 'text of 50% code added',
    }.items()
  }  # fmt: skip
  assert all(recipe.stages[0].tokens == found.recipes[recipe.baseline].stages[0].tokens for recipe in found.recipes.values())


def test_without_controls_the_baseline_is_the_studys():
  recipes = sweep(ADDITIVE['0% code added'], {'text': 1.0}, {'code': 1.0}, shares=(0, 0.5), mode='additive', controls=False)
  assert [recipe.baseline for recipe in recipes.values()] == [None, None]


OTHER_MODEL = dataclasses.replace(ADDITIVE['0% code added'], model=dataclasses.replace(ADDITIVE['0% code added'].model, layers=7), baseline=None)


@pytest.mark.parametrize(
  ('recipes', 'says'),
  [
    ({**ADDITIVE, 'x': dataclasses.replace(ADDITIVE['50% code added'], baseline='text of 50% code aded')}, "Did you mean 'text of 50% code added'?"),
    ({**ADDITIVE, 'large': OTHER_MODEL, 'x': dataclasses.replace(ADDITIVE['50% code added'], baseline='large')}, "'large', which trains another model"),
  ],
)
@pytest.mark.parametrize('seeds', [(), (0, 1)])
def test_a_baseline_is_a_recipe_of_the_study_and_of_the_same_model(recipes, says, seeds):
  with pytest.raises(UserError) as refused:
    study(recipes, seeds=seeds)
  assert says in str(refused.value) and "Recipe.baseline of 'x' is" in str(refused.value) and '\n' not in str(refused.value)


def test_seeds_written_by_hand_have_baselines_of_one_arm():
  of = lambda name, seed, baseline: dataclasses.replace(ADDITIVE[name], seed=seed, baseline=baseline)
  recipes = {f'{name} s{seed}': of(name, seed, None) for name in ('0% code added', 'text of 25% code added') for seed in (0, 1)}
  recipes['code s0'] = of('50% code added', 0, '0% code added s0')
  assert study({**recipes, 'code s1': of('50% code added', 1, '0% code added s1')})
  with pytest.raises(UserError, match="'code s0' is compared with '0% code added' and 'code s1' with 'text of 25% code added', and they differ in their seed alone"):
    study({**recipes, 'code s1': of('50% code added', 1, 'text of 25% code added s1')})


def test_it_changes_no_stage(tmp_path):
  data = tiny_study.prepare(tmp_path, bytes_each=6_000)
  bare = {name: dataclasses.replace(recipe, baseline=None) for name, recipe in ADDITIVE.items()}
  one, other = (codemix.plan_study(study(recipes), data) for recipes in (ADDITIVE, bare))
  assert [stage.hash for stage in one.stages()] == [stage.hash for stage in other.stages()]


def test_a_claim_compares_with_the_arms_baseline_unless_it_names_another():
  claims = {'own': codemix.Claim('50% code added', 'text', 'lower'), 'named': codemix.Claim('50% code added', 'text', 'lower', against='0% code added')}
  found = compare(study(claims=claims, seeds=(0, 1)))
  assert {name: each.base.arm.name for name, each in found.items()} == {'own': 'text of 50% code added', 'named': '0% code added'}


def test_a_pilot_of_an_arm_does_not_need_its_baseline():
  assert list(plan_pilot(study(), Pilot('50% code added', seeds=2)).study.recipes) == ['50% code added, seed 0', '50% code added, seed 1']


def test_power_is_planned_for_the_comparisons_that_the_report_makes():
  found = plan_power(study(seeds=(0, 1, 2), evaluate=('piqa',)), Power(), {'piqa': Components(seed=0.35)})
  assert {each.arms: each.baseline for each in found.comparisons} == {('25% code added',): 'text of 25% code added', ('50% code added',): 'text of 50% code added'}
