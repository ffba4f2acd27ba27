"""The grid: what each cell is built from, and what is left of it afterwards."""

from __future__ import annotations

import pytest

from codemix import config
from codemix.errors import UserError
from codemix.studies.planned_arms import planned_arms
from codemix.studies.recipe import Study

BASE = """
include 'recipes/arms.gin'
WEIGHT = 0.3
mixed/Stage.name = 'mixed'
mixed/Stage.mixture = @mixed/competitive()
mixed/competitive.language = %TEXT
mixed/competitive.code = %CODE
mixed/competitive.share = %WEIGHT
mixed/Recipe.stages = [@mixed/Stage()]
Study.name = 'grid'
Study.recipes = @grid()
grid.recipe = @mixed/Recipe
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
  """Builds the study of some lines behind BASE."""
  monkeypatch.chdir(tmp_path)

  def study(lines: str, *flags: str) -> Study:
    (tmp_path / 'mine.gin').write_text(f'{BASE}{lines}\n')
    warnings = config.parse(['mine.gin'], list(flags))
    assert 'grid.recipe' in lines or warnings == []
    found = config.build('Study')
    config.check_used()
    return found

  return study


def code(recipe) -> float:
  return float(recipe.stages[0].mixtures().mean().shares().get('local_code', 0))


WIDE = 'wide/ModelConfig.width = 192\nwide/ModelConfig.head_dim = 64\n'
SIZES = "'size': {'1M': {}, '3M': {'Recipe.model': @wide/ModelConfig(), 'PEAK': 4e-3, 'Recipe.length': 64}}"


def test_a_cell_is_built_for_each_combination_with_its_fields(study):
  recipes = study(f"{WIDE}grid.vary = {{'WEIGHT': (0.1, 0.4), {SIZES}}}").recipes
  assert list(recipes) == ['weight 0.1, 1M', 'weight 0.1, 3M', 'weight 0.4, 1M', 'weight 0.4, 3M']
  assert [dict(recipe.fields) for recipe in recipes.values()] == [{'weight': w, 'size': s} for w in (0.1, 0.4) for s in ('1M', '3M')]
  for recipe in recipes.values():
    large = recipe.fields['size'] == '3M'
    assert code(recipe) == recipe.fields['weight']
    assert (recipe.model.width, recipe.length, recipe.stages[0].schedule.peak) == ((192, 64, 4e-3) if large else (96, 128, 8e-3))


def test_what_the_grid_bound_is_as_before_afterwards(study):
  study(f"{WIDE}grid.vary = {{'WEIGHT': (0.1, 0.4), {SIZES}}}")
  with_before = config.build('Recipe', stages=[config.build('Stage', name='a', mixture={'local_text': 1})])
  assert with_before.length == 128 and with_before.model.width == 96 and with_before.stages[0].schedule.peak == 8e-3


def test_several_recipes_are_the_first_axis_and_seeds_repeat_all(study):
  lines = "grid.recipe = {'text': @text_only/Recipe, 'code': @code_to_text/Recipe}\ngrid.vary = {'STAGE_TOKENS': (2048, 4096)}"
  found = study(lines, 'Study.seeds=(0, 1)')
  assert len(found.recipes) == 8
  assert [arm.name for arm in planned_arms(found)] == [f'{name}, stage_tokens {tokens}' for name in ('text', 'code') for tokens in (2048, 4096)]
  first = found.recipes['code, stage_tokens 4096, seed 1']
  assert first.fields['recipe'] == 'code' and first.seed == 1 and first.stages[0].tokens == 4096


def test_a_name_is_made_of_the_fields(study):
  recipes = study("grid.vary = {'WEIGHT': (0.1, 0.25)}\ngrid.name = '{weight:.0%} code'").recipes
  assert list(recipes) == ['10% code', '25% code']


def test_a_parameter_of_a_scope_is_an_axis(study):
  recipes = study("mixed/Stage.batch = 8\ngrid.vary = {'mixed/Stage.batch': (4, 16)}").recipes
  assert [(name, recipe.stages[0].batch) for name, recipe in recipes.items()] == [('batch 4', 4), ('batch 16', 16)]


@pytest.mark.parametrize(
  ('lines', 'says'),
  [
    ("grid.recipe = @mixed/Recipe()\ngrid.vary = {'WEIGHT': (0.1,)}", 'write @NAME/Recipe without brackets'),
    ("grid.recipe = @mixed/Stage\ngrid.vary = {'WEIGHT': (0.1,)}", 'it is @NAME/Recipe without brackets'),
    ("grid.recipe = @mixed/competitive\ngrid.vary = {'WEIGHT': (0.1,)}", "for the cell 'weight 0.1', which is no Recipe"),
    ("grid.vary = {}", 'grid.vary is {}'),
    ("grid.vary = {'WEIGHTS': (0.1,)}", "no gin file binds a macro of that name. Did you mean 'WEIGHT'?"),
    ("grid.vary = {'mixed/Stage.bach': (1, 2)}", "grid.vary binds 'mixed/Stage.bach'"),
    ("grid.vary = {'WEIGHT': ()}", "grid.vary['WEIGHT'] is ()"),
    ("grid.vary = {'size': {}}", "grid.vary['size'] is {}"),
    ("grid.vary = {'WEIGHT': 0.1}", "grid.vary['WEIGHT'] is 0.1"),
    ("grid.vary = {'WEIGHT': (0.1, 0.1)}", "grid makes two cells 'weight 0.1'"),
    ("grid.vary = {'CODE': ({'local_code': 1.0},)}", "grid.vary['CODE'][0] is {'local_code': 1.0}"),
    ("grid.vary = {'size': {'small': 1}}", "grid.vary['size']['small'] is 1; it is a dictionary"),
    ("grid.vary = {'COOLDOWN_TOKENS': (1024, 2048)}", "no recipe changes with 'cooldown_tokens'"),
    ("grid.vary = {'WEIGHT': (0.1, 0.2)}\ngrid.name = '{wait}'", "refers to the field 'wait', which the grid has not. Did you mean 'weight'?"),
    ("grid.vary = {'WEIGHT': (0.1, 0.2)}\ngrid.name = '{weight:d}'", 'does not format'),
    ("grid.vary = {'WEIGHT': (0.1, 0.2), 'weight': {'a': {'PEAK': 1e-3}}}", 'two axes of one field'),
    ("grid.vary = {'WEIGHT': (0.1, 1.5)}", '1.5'),
  ],
)
def test_a_grid_that_makes_no_sense_is_refused_in_one_line(study, lines, says):
  with pytest.raises(UserError) as refused:
    study(lines)
  assert says in str(refused.value) and '\n' not in str(refused.value)


def test_a_cell_that_is_refused_leaves_nothing_bound(study):
  with pytest.raises(UserError):
    study("grid.vary = {'WEIGHT': (0.1, 1.5)}")
  assert study("grid.vary = {'PEAK': (1e-3, 2e-3)}").recipes['peak 0.001'].stages[0].mixtures().mean().shares()
  assert code(study("grid.vary = {'PEAK': (1e-3, 2e-3)}").recipes['peak 0.002']) == 0.3
