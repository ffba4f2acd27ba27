"""`codemix plan` without a topology: the tree, and what sharing saves."""

from __future__ import annotations

import json

import pytest

from codemix import cli
from codemix.models.config import ModelConfig
from codemix.planner.costs import study_costs
from codemix.planner.forecast import Prices
from codemix.planner.published import published_hours
from codemix.studies.recipe import Study
from tests import tiny_study

SHARED = tiny_study.stage('balanced', {'text': 0.5, 'code': 0.5}, 6)
LONGER = tiny_study.stage('continued', {'text': 0.9, 'code': 0.1}, 12)


def study(**settings) -> Study:
  recipes = {
    'alone': tiny_study.recipe(SHARED),
    'continued': tiny_study.recipe(SHARED, LONGER),
    'cooled': tiny_study.recipe(SHARED, LONGER, tiny_study.cooldown({'text': 1.0}, 3)),
  }
  return Study('costs', recipes, **settings)


def test_a_stage_that_recipes_share_costs_once_and_alone_it_costs_each_of_them():
  costs = study_costs(study(), Prices(0.4))
  steps = lambda total: total.tokens / (tiny_study.BATCH * tiny_study.LENGTH)
  assert (costs.shared.stages, steps(costs.shared)) == (3, 6 + 12 + 3)
  assert (costs.alone.stages, steps(costs.alone)) == (6, 3 * 6 + 2 * 12 + 3)
  assert costs.alone.hours / costs.shared.hours == pytest.approx(45 / 21)
  assert [cost.stage.parent and cost.stage.parent.path[-1] for cost in costs.stages] == [None, 'balanced', 'continued']


def test_seeds_multiply_the_costs_and_the_tree_is_that_of_one():
  one, three = study_costs(study(), Prices(0.4)), study_costs(study(seeds=(0, 1, 2)), Prices(0.4))
  assert three.shared.hours == pytest.approx(3 * one.shared.hours) and three.alone.tokens == 3 * one.alone.tokens
  assert (three.arms, three.seeds, len(three.first_seed)) == (3, 3, len(one.stages))


def test_hours_are_in_proportion_to_the_mfu():
  assert study_costs(study(), Prices(0.2)).shared.hours == pytest.approx(2 * study_costs(study(), Prices(0.4)).shared.hours)


def model(**shape) -> ModelConfig:
  return ModelConfig(vocab_size=256000, head_dim=128, **shape)


SMALL = model(layers=16, width=1024, ffn_width=2816, heads=8)
LARGE = model(layers=27, width=2560, ffn_width=6912, heads=20)


@pytest.mark.parametrize(
  ('of', 'tokens', 'hours'), [(SMALL, 200e9, 4736), (SMALL, 400e9, 9472), (SMALL, 40e9, 1024), (LARGE, 200e9, 13_824), (LARGE, 40e9, None), (tiny_study.MODEL, 200e9, None)]
)
def test_the_papers_costs_are_those_of_its_runs_of_that_size(of, tokens, hours):
  assert published_hours(of, tokens) == (hours and pytest.approx(hours))


INITIALIZATION = ('plan', '--gin_file=studies/initialization.gin', '--gin_file=scales/470m.gin')


def test_the_command_needs_neither_topology_nor_data(capsys, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert cli.main([*INITIALIZATION, '--format=json']) == 0
  plan = json.loads(capsys.readouterr().out)
  # Table 2 with the costs of its runs: four of 400B, two of which share nothing, and four cooldowns.
  assert plan['shared']['published_chip_hours'] == pytest.approx(8 * 4736 + 4 * 1024, rel=1e-4)
  assert plan['shared'] == plan['alone'] and plan['shared']['stages_without_published'] == 0
  assert cli.main([*INITIALIZATION, '--price=1.2']) == 0
  out = capsys.readouterr().out
  assert 'each stage once' in out and '41,984' in out and 'price' in out


@pytest.mark.parametrize('flags', [('--memory=3',), ('--slices=2',)])
def test_flags_of_compiling_have_no_effect_without_a_topology(capsys, flags):
  assert cli.main([*INITIALIZATION, *flags]) == 2
  assert 'has no effect without --topology' in capsys.readouterr().err
