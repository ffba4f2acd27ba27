"""The grid of a sweep: what its recipes share, and in what they differ."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemix.errors import UserError
from codemix.models.config import ModelConfig
from codemix.studies.recipe import Recipe, Study
from codemix.studies.sweep import sweep
from codemix.training.schedules import LinearTo, WarmupCosine
from codemix.training.stage import Stage

COSINE = WarmupCosine(peak=1e-3, warmup_fraction=0.1)
RECIPE = Recipe(
  stages=(
    Stage('first', 132e9, 'anything', 128, COSINE),
    Stage('cooldown', 10e9, 'text_task', 128, LinearTo(1e-6)),
  ),
  model=ModelConfig(vocab_size=300, layers=1, width=8, ffn_width=16, heads=1, head_dim=8),
  length=1024,
)
LANGUAGE, CODE = {'books': 0.25, 'web': 0.75}, {'github': 1}


def cells(**given) -> dict[str, Recipe]:
  return sweep(RECIPE, LANGUAGE, CODE, **given)


def share_of_code(recipe: Recipe) -> Fraction:
  return recipe.stages[0].mixtures().mean().shares().get('github', Fraction(0))


def test_the_six_points_of_the_study():
  recipes = cells(shares=(0, 0.25, 0.5, 0.75, 0.9, 1.0))
  assert list(recipes) == [f'{percent}% code' for percent in (0, 25, 50, 75, 90, 100)]
  assert [share_of_code(r) for r in recipes.values()] == [0, Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), Fraction(9, 10), 1]
  for recipe in recipes.values():
    assert recipe.stages[0].tokens == 132e9
    assert recipe.stages[1] == RECIPE.stages[1]
    assert (recipe.model, recipe.length, recipe.seed) == (RECIPE.model, RECIPE.length, 0)
  # A pure point is the pure mixture, so that it is one stage with the recipe that spells it.
  assert recipes['0% code'].stages[0].mixtures().describe() == [['books', '1/4'], ['web', '3/4']]
  assert recipes['100% code'].stages[0].mixtures().describe() == [['github', '1']]


def test_the_grid_of_petty_et_al():
  competitive = cells(shares=[i / 10 for i in range(10)])
  assert len(Study('competitive', competitive, seeds=range(5)).recipes) == 50
  assert len({recipe.stages[0].name for recipe in competitive.values()}) == 10
  additive = cells(shares=[i / 10 for i in range(6)], mode='additive')
  assert len(Study('additive', additive, seeds=range(5)).recipes) == 55  # six points and five controls
  assert list(additive)[:3] == ['0% code added', '10% code added', 'text of 10% code added']
  assert [(of['share'], of['design']) for of in (recipe.fields for recipe in additive.values())][:3] == [(0, 'additive'), (0.1, 'additive'), (0, 'control')]
  assert all(recipe.fields['tokens'] == recipe.stages[0].tokens for recipe in additive.values())
  billions = {round(recipe.stages[0].tokens / 1e9, 1) for recipe in additive.values()}
  assert billions == {132.0, 146.7, 165.0, 188.6, 220.0, 264.0}


@given(st.integers(1, 99))
def test_additive_keeps_the_language_and_its_control_the_total(percent):
  recipes = cells(shares=[Fraction(percent, 100)], mode='additive')
  added, control = recipes[f'{percent}% code added'], recipes[f'text of {percent}% code added']
  assert share_of_code(added) == Fraction(percent, 100)
  assert float(1 - share_of_code(added)) * added.stages[0].tokens == pytest.approx(132e9)
  assert share_of_code(control) == 0
  assert control.stages[0].tokens == added.stages[0].tokens


def test_controls_can_be_left_out_and_another_stage_varied():
  recipes = cells(shares=(0.25,), mode='additive', controls=False, stage=1)
  assert list(recipes) == ['25% code added']
  first, varied = recipes['25% code added'].stages
  assert first == RECIPE.stages[0]
  assert (varied.name, varied.tokens, varied.schedule) == ('added_25', round(10e9 / 0.75), RECIPE.stages[1].schedule)


def test_a_sweep_is_the_recipes_of_a_study():
  recipes = cells(shares=(Fraction(1, 3), 0.125))
  study = Study('sweep', recipes, seeds=(1, 2))
  assert study.baseline == '33.333333% code, seed 1'
  assert {recipe.stages[0].name for recipe in recipes.values()} == {'code_33.333333', 'code_12.5'}


@pytest.mark.parametrize(
  ('given', 'says'),
  [
    ({'shares': ()}, 'sweep.shares is ()'),
    ({'shares': (0.5, '1/2')}, 'sweep.shares has a number twice'),
    ({'shares': (1.5,)}, 'sweep.shares[0] is 1.5'),
    ({'shares': ('half',)}, 'write a number'),
    ({'shares': (1.0,), 'mode': 'additive'}, 'additive_tokens.share is 1'),
    ({'shares': (0.5,), 'mode': 'addditive'}, "Did you mean 'additive'?"),
    ({'shares': (0.5,), 'stage': 2}, 'the recipe has 2 stages, counted from 0'),
  ],
)
def test_grids_that_make_no_sense_are_refused(given, says):
  with pytest.raises(UserError) as refused:
    cells(**given)
  assert says in str(refused.value)
  assert '\n' not in str(refused.value)
