"""The work of a study as a list: each unit once, after those that it needs, under a key that other plans share."""

from __future__ import annotations

import pytest

from codemix.errors import UserError
from codemix.studies.planning import plan_study
from codemix.studies.units import find_units, units
from tests import tiny_study

BEGINNING = tiny_study.stage('balanced', {'text': 0.5, 'code': 0.5}, 4)


@pytest.fixture(scope='module')
def plan(tmp_path_factory):
  data = tiny_study.prepare(tmp_path_factory.mktemp('data'), bytes_each=6_000)
  recipes = {name: tiny_study.recipe(BEGINNING, tiny_study.cooldown({name: 1.0}, 2, f'to_{name}')) for name in ('text', 'code')}
  return plan_study(tiny_study.study(**recipes), data)


def test_each_unit_is_listed_once_and_after_those_that_it_needs(plan):
  found = units(plan)
  keys = [unit.key for unit in found]
  assert len(set(keys)) == len(keys)
  for number, unit in enumerate(found):
    assert set(unit.needs) <= set(keys[:number])
  kinds = [unit.kind for unit in found]
  assert (kinds.count('prepare'), kinds.count('train'), kinds.count('evaluate')) == (4, 3, 3)


def test_a_stage_needs_its_parent_and_what_it_reads_and_its_evaluation_needs_both_splits(plan):
  found = {f'{unit.kind} {unit.stage.name}': unit for unit in units(plan) if unit.stage}
  balanced, to_code = found['train balanced'], found['train to_code']
  assert balanced.needs == ('prepare/text-train', 'prepare/code-train')
  assert to_code.needs == (balanced.key, 'prepare/code-train')
  assert found['evaluate to_code'].needs == (to_code.key, 'prepare/text-validation', 'prepare/code-validation')


def test_a_key_holds_the_hash_of_its_stage(plan):
  stage = plan.stages()[0]
  assert [unit.key for unit in units(plan) if unit.stage is stage] == [f'train/{stage.folder_name}', f'evaluate/{stage.folder_name}']


def test_a_unit_is_found_by_its_key_the_beginning_of_it_or_the_name_of_its_stage(plan):
  found = units(plan)
  for unit in found:
    assert find_units([unit.key], found) == [unit]
    if unit.stage:
      assert find_units([unit.key[:-4]], found) == [unit] == find_units([f'{unit.kind}/{unit.stage.name}'], found)
  assert find_units([unit.key for unit in reversed(found)], found) == found  # in the order in which they may run


@pytest.mark.parametrize(('name', 'message'), [('train/balansed', r"no unit is named 'train/balansed'\. Did you mean 'train/balanced-"), ('train/to_', r'--unit=train/to_ names 2 units: train/to_text-\w+, train/to_code-\w+\. Write more')])
def test_a_name_of_none_or_of_several_is_refused(plan, name, message):
  with pytest.raises(UserError, match=message):
    find_units([name], units(plan))
