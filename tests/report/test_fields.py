"""Fields of recipes: columns of the tables, and names of arms."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import codemix
from codemix.errors import UserError
from codemix.report.arms import arms
from codemix.report.frames import load_results
from codemix.report.results import read_study
from codemix.report.score_frame import load_scores
from codemix.report.write import write_report
from tests.report.fake_study import edit, stage, write_fake_study

RECIPES = {'base': [stage('text', {'text': 1.0}, 40)], 'x, seed 0': [stage('mixed', {'text': 0.5, 'code': 0.5}, 40)]}
RECIPES['x, seed 1'] = RECIPES['x, seed 0']


@pytest.fixture
def folder(tmp_path) -> Path:
  return write_fake_study(tmp_path / 's', RECIPES, seeds={'x, seed 1': 1})


def give_fields(folder: Path, **fields) -> None:
  for name in ('x, seed 0', 'x, seed 1'):
    edit(folder / 'study.json', lambda s, name=name: s['recipes'][name].update(fields=fields))


def test_fields_are_columns_of_both_tables(folder):
  give_fields(folder, share=0.5, size='1M')
  write_report(folder)
  for frame in (load_results(folder), load_scores(folder), pd.read_csv(folder / 'results.csv'), pd.read_csv(folder / 'scores.csv')):
    by_recipe = frame.groupby('recipe')[['field_share', 'field_size']].first()
    assert by_recipe.loc['x, seed 1'].tolist() == [0.5, '1M'] and by_recipe.loc['base'].isna().all()


def test_without_fields_there_are_no_columns_for_them(folder):
  assert not [name for frame in (load_results(folder), load_scores(folder)) for name in frame if name.startswith('field_')]


def test_an_arm_is_called_what_its_recipes_say(folder):
  assert [arm.name for arm in arms(read_study(folder))] == ['base', 'x']
  give_fields(folder, arm='half of code')
  assert [(arm.name, arm.recipes) for arm in arms(read_study(folder))] == [('base', ('base',)), ('half of code', ('x, seed 0', 'x, seed 1'))]
  assert 'half of code' in load_results(folder).arm.values and 'field_arm' not in load_results(folder)


def test_recipes_that_say_the_same_and_were_trained_on_other_data_are_two_arms(folder):
  give_fields(folder, arm='same')
  edit(folder / 'study.json', lambda s: s['recipes']['base'].update(fields={'arm': 'same'}))
  assert [arm.name for arm in arms(read_study(folder))] == ['base', 'x, seed 0']


def test_a_field_that_is_no_single_value_is_damage(folder):
  give_fields(folder, share=[0.5])
  with pytest.raises(UserError, match='is damaged: recipes.x, seed 0.fields.share|fields.share'):
    read_study(folder)


def test_fields_are_columns_of_the_changes(folder):
  give_fields(folder, share=0.5, size='1M', arm='half')
  found = codemix.results(folder).changes
  assert list(found)[:4] == ['arm', 'against', 'field_share', 'field_size']
  assert set(zip(found.arm, found.field_share, found.field_size, strict=True)) == {('half', 0.5, '1M')}
