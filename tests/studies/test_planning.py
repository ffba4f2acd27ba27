"""Everything that can be wrong with a study is found before its first step."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import codemix
from codemix.errors import UserError
from codemix.studies.planning import plan_study
from tests import tiny_study

MIXED = {'text': 0.5, 'code': 0.5}


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> codemix.Data:
  return tiny_study.prepare(tmp_path_factory.mktemp('data'), bytes_each=6_000)


def plan(data, *stages: codemix.Stage, **settings):
  return plan_study(tiny_study.study(only=tiny_study.recipe(*stages, **settings)), data)


def epoch(data, source: str) -> int:
  """Rows of one epoch."""
  [stage] = plan(data, tiny_study.stage('probe', {source: 1.0}, 3)).stages()
  return stage.draws[0].source_rows


def refused(data, *stages: codemix.Stage, **settings) -> str:
  with pytest.raises(UserError) as found:
    plan(data, *stages, **settings)
  assert '\n' not in str(found.value)
  return str(found.value)


def test_a_source_read_too_often_over_the_whole_run_is_refused_where_the_cap_breaks(data):
  steps = epoch(data, 'text') // tiny_study.BATCH
  once = lambda name, **settings: tiny_study.stage(name, {'text': 1.0}, steps, **settings)
  plan(data, once('a'), once('b'), max_epochs=2.0)
  said = refused(data, once('a'), once('b'), once('c'), max_epochs=2.0)
  assert "recipe 'only', stage 'c' draws" in said
  assert 'Recipe.max_epochs is 2' in said


def test_rewinding_does_not_get_round_the_cap(data):
  steps = epoch(data, 'text') // tiny_study.BATCH
  stages = [tiny_study.stage(name, {'text': 1.0}, steps) for name in 'abc']
  stages[2] = dataclasses.replace(stages[2], rewind=('text',))
  assert "stage 'c'" in refused(data, *stages, max_epochs=2.0)
  plan(data, *stages, max_epochs=3.0)


def test_a_stage_may_not_rewind_what_was_never_read(data):
  stage = dataclasses.replace(tiny_study.stage('b', MIXED, 4), rewind=('txt',))
  assert "rewinds 'txt'" in refused(data, tiny_study.stage('a', MIXED, 4), stage)


def test_a_source_that_fills_no_row_is_refused(data):
  said = refused(data, tiny_study.stage('a', {'code': 1.0}, 4), length=100_000)
  assert 'fills no row of 100,000 tokens' in said


def test_a_source_of_share_zero_is_neither_opened_nor_drawn(data):
  [stage] = plan(data, tiny_study.stage('a', {'text': 1.0, 'absent': 0.0}, 4)).stages()
  assert [draw.source for draw in stage.draws] == ['text']


def test_a_rate_that_float32_cannot_hold_is_refused(data):
  said = refused(data, tiny_study.stage('a', MIXED, 4, schedule=codemix.Constant(1e39)))
  assert "stage 'a': its rates go from" in said


def test_a_curve_that_cannot_be_laid_out_names_its_stage(data):
  schedule = codemix.WarmupCosine(peak=1e-2, warmup_steps=9)
  assert "recipe 'only', stage 'a': WarmupCosine warms up for 9 steps" in refused(
    data, tiny_study.stage('a', MIXED, 4, schedule=schedule)
  )


def test_recipes_of_different_row_lengths_are_what_they_are_in_studies_of_their_own(data):
  stage = tiny_study.stage('a', MIXED, 4)
  recipes = {'x': tiny_study.recipe(stage), 'y': tiny_study.recipe(stage, length=16)}
  together = plan_study(tiny_study.study(**recipes), data)
  for name, recipe in recipes.items():
    [alone], [planned] = plan_study(tiny_study.study(**{name: recipe}), data).recipes[name], together.recipes[name]
    assert planned.hash == alone.hash and planned.length == recipe.length
    assert {source.length for source in together.sources_of(planned.length).values()} == {recipe.length}
    assert planned.draws == alone.draws


def test_what_is_left_of_the_budget_is_told(data):
  stage = dataclasses.replace(tiny_study.stage('a', MIXED, 4), tokens=1126)
  [planned] = plan(data, stage).stages()
  assert (planned.steps, planned.tokens) == (4, 1024)
  assert planned.remainder_tokens == 102


def test_the_hash_of_a_stage_covers_all_before_it(data):
  first = lambda seed: tiny_study.stage('a', MIXED, 4, schedule=codemix.Constant(seed))
  second = tiny_study.stage('b', MIXED, 4)
  hashes = {plan(data, first(rate), second).recipes['only'][1].hash for rate in (1e-3, 2e-3)}
  assert len(hashes) == 2


def test_a_plan_says_everything_of_the_first_stage_but_a_hand_off_that_it_has_not(data):
  stage = tiny_study.stage('a', MIXED, 4)
  other = dataclasses.replace(stage, handoff=codemix.Handoff(weights='restart'))
  assert plan(data, stage).stages()[0].hash == plan(data, other).stages()[0].hash


@pytest.mark.parametrize('setting', [{'save_every': 0}, {'keep': 0}, {'keep': -1}, {'on_damaged': 'ignore'}])
def test_a_runtime_that_makes_no_sense_is_refused(setting, tmp_path):
  with pytest.raises(UserError, match=f'Runtime.{next(iter(setting))} is'):
    tiny_study.runtime(tmp_path, **setting)


def test_every_rate_of_the_run_is_there_before_the_first_step(data):
  stages = plan(data, tiny_study.stage('a', MIXED, 4), tiny_study.cooldown(MIXED, 3)).stages()
  assert [len(stage.rates) for stage in stages] == [4, 3]
  assert np.concatenate([stage.rates for stage in stages])[-1] == np.float32(1e-6)


def test_kinds_are_those_declared_and_change_no_stage(data):
  study = tiny_study.study(only=tiny_study.recipe(tiny_study.stage('a', MIXED, 3)))
  declared = plan_study(study, dataclasses.replace(data, kinds={'text': 'text', 'elsewhere': 'code'}))
  assert declared.kinds == {'text': 'text'}
  assert [stage.hash for stage in declared.stages()] == [stage.hash for stage in plan_study(study, data).stages()]
  with pytest.raises(UserError, match="Data.kinds names 'codes', which is not a source of this study. Did you mean 'code'"):
    plan_study(study, dataclasses.replace(data, kinds={'codes': 'code'}))
