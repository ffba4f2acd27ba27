"""Seeds and fields of a study's recipes: what they are called, and that they change nothing that is trained."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

import codemix
from codemix.errors import UserError
from codemix.studies.fields import field_columns
from codemix.studies.planned_arms import planned_arms
from tests import tiny_study

TEXT = tiny_study.recipe(tiny_study.stage('text', {'text': 1.0}, 4))
MIXED = tiny_study.recipe(tiny_study.stage('mixed', {'text': 0.5, 'code': 0.5}, 4), fields={'share': 0.5})


def study(recipes=None, **settings) -> codemix.Study:
  return codemix.Study(name='seeds', recipes={'text': TEXT, 'half, code': MIXED} if recipes is None else recipes, **settings)


def test_one_binding_repeats_every_recipe_with_every_seed():
  found = study(seeds=(0, 1, 5), baseline='text')
  assert list(found.recipes) == [f'{name}, seed {seed}' for name in ('text', 'half, code') for seed in (0, 1, 5)]
  assert [recipe.seed for recipe in found.recipes.values()] == [0, 1, 5] * 2
  assert found.baseline == 'text, seed 0'
  assert dict(found.recipes['half, code, seed 5'].fields) == {'share': 0.5, 'arm': 'half, code'}
  assert [(arm.name, len(arm.recipes)) for arm in planned_arms(found)] == [('text', 3), ('half, code', 3)]


def test_one_seed_leaves_the_names():
  found = study(seeds=(7,))
  assert list(found.recipes) == ['text', 'half, code'] and {recipe.seed for recipe in found.recipes.values()} == {7}


def test_a_study_with_seeds_may_be_changed_further():
  found = study(seeds=(0, 1))
  changed = dataclasses.replace(found, note='later')
  assert changed.recipes == found.recipes and changed.baseline == found.baseline


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=5, unique=True))
def test_every_arm_has_every_seed_once(seeds):
  arms = planned_arms(study(seeds=tuple(seeds)))
  found = study(seeds=tuple(seeds)).recipes
  assert [[found[name].seed for name in arm.recipes] for arm in arms] == [seeds, seeds]


def test_dictionaries_of_recipes_are_joined_in_order():
  found = study(recipes=({'text': TEXT}, {'half, code': MIXED}))
  assert found.recipes == study().recipes and found.baseline == 'text'


def test_names_that_look_like_seeds_are_names():
  arms = planned_arms(study(recipes={'run 0': TEXT, 'run 1': MIXED}, seeds=(0, 1)))
  assert [arm.name for arm in arms] == ['run 0', 'run 1']


@pytest.mark.parametrize(
  ('settings', 'says'),
  [
    ({'seeds': (1, 1)}, 'Study.seeds has a seed twice: 1, 1'),
    ({'seeds': (0, 1), 'recipes': {'own': dataclasses.replace(TEXT, seed=3)}}, "'own' has Recipe.seed 3 of its own"),
    ({'seeds': (0.5,)}, 'Study.seeds[0] is 0.5'),
    ({'recipes': ({'text': TEXT}, {'text': MIXED})}, "two have the recipe 'text'"),
    ({'recipes': ({},)}, 'without any recipe'),
    ({'recipes': ()}, 'Study.recipes is ()'),
    ({'seeds': (0, 1), 'baseline': 'txt'}, "Did you mean 'text'?"),
  ],
)
def test_what_cannot_be_repeated_is_refused(settings, says):
  with pytest.raises(UserError) as refused:
    study(**settings)
  assert says in str(refused.value) and '\n' not in str(refused.value)


@pytest.mark.parametrize(
  ('fields', 'says'),
  [
    ({'seed': 1}, "has 'seed'; bind Recipe.seed"), ({'two words': 1}, "has the name 'two words'"), ({'share': (1, 2)}, "Recipe.fields['share'] is (1, 2)"),
    ({'share': None}, "Recipe.fields['share'] is None"),
  ],
)  # fmt: skip
def test_fields_that_are_no_columns_are_refused(fields, says):
  with pytest.raises(UserError) as refused:
    dataclasses.replace(TEXT, fields=fields)
  assert says in str(refused.value)


def test_fields_keep_their_types():
  fields = {'share': 0.25, 'layers': 3, 'kind': 'web', 'cooled': True}
  found = dataclasses.replace(TEXT, fields=fields).fields
  assert [(value, type(value)) for value in found.values()] == [(value, type(value)) for value in fields.values()]


def test_fields_change_no_stage(tmp_path):
  data = tiny_study.prepare(tmp_path, bytes_each=6_000)
  plain, named = (codemix.plan_study(study({'one': recipe}), data).recipes['one'] for recipe in (TEXT, dataclasses.replace(TEXT, fields={'arm': 'x', 'share': 0})))
  assert [stage.hash for stage in plain] == [stage.hash for stage in named]


def test_columns_are_there_for_every_recipe():
  columns = field_columns({'a': {'share': 0.5, 'arm': 'x'}, 'b': {'size': '1M'}, 'c': {}})
  assert columns == {'a': {'field_share': 0.5, 'field_size': None}, 'b': {'field_share': None, 'field_size': '1M'}, 'c': {'field_share': None, 'field_size': None}}
