"""Components of an earlier study's scores, and a plan with them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from codemix import cli
from codemix.errors import UserError
from codemix.evaluation.results import Results
from codemix.inference.components import estimate_components
from codemix.report.pilot import pilot_components, source_components
from codemix.report.results import read_study
from tests.report.fake_benchmarks import task_results, write_task
from tests.report.fake_study import stage, stage_folders, write_fake_study

TEXT, CODE = [stage('text', {'text': 1.0}, 8)], [stage('mixed', {'text': 0.5, 'code': 0.5}, 8)]


def replicated(folder, seeds: int):
  recipes = {f'{name}, seed {seed}': stages for name, stages in (('text', TEXT), ('mixed', CODE)) for seed in range(seeds)}
  study = write_fake_study(folder, recipes, seeds={name: int(name[-1]) for name in recipes})
  for number, place in enumerate(stage_folders(study)):
    write_task(place, 'piqa', task_results('piqa', 0.6 if place.name.startswith('mixed') else 0.5, 200, 2, number), 8)
  return study


def test_components_are_those_of_the_arms_scores_in_points(tmp_path):
  study = read_study(replicated(tmp_path / 's', 3))
  found = pilot_components(study)
  arms = [
    100 * np.stack([study.stages[study.recipes[f'{arm}, seed {seed}'].stages[-1]].results['tasks/piqa'].items()['correct'] for seed in range(3)])
    for arm in ('text', 'mixed')
  ]  # fmt: skip
  assert found.keys() == {'piqa', 'text', 'code'} and found['piqa'].items == 200
  expected = estimate_components(arms)
  for name in ('seed', 'arm_item', 'residual'):
    assert getattr(found['piqa'], name) == pytest.approx(getattr(expected, name)), name


def test_a_study_of_one_seed_is_no_pilot(tmp_path):
  with pytest.raises(UserError, match='two seeds'):
    pilot_components(read_study(replicated(tmp_path / 's', 1)))


def test_the_command_plans_with_a_pilot(tmp_path, capsys):
  pilot = replicated(tmp_path / 's', 3)
  flags = ('--gin_file=studies/proportions.gin', '--gin.sweep.shares=(0.0, 0.5)', '--gin.Study.seeds=(0, 1, 2)')
  assert cli.main(['plan', '--power', *flags, f'--pilot={pilot}', '--format=json']) == 0
  plan = json.loads(capsys.readouterr().out)
  (found,) = plan['comparisons']
  assert found['task'] == 'piqa' and found['least_effect'] > found['least_effect_of_items'] >= 0
  assert plan['left_out'] == dict.fromkeys(('text', 'code'), 'the study does not measure them'), 'its sources are local_text and local_code'


def test_a_study_with_held_out_scores_only_is_a_pilot_too(tmp_path, capsys):
  recipes = {f'{name}, seed {seed}': stages for name, stages in (('text', TEXT), ('mixed', CODE)) for seed in range(2)}
  pilot = write_fake_study(tmp_path / 's', recipes, sources=('text',), seeds={name: int(name[-1]) for name in recipes})
  assert pilot_components(read_study(pilot)).keys() == {'text'}
  flags = ('--gin_file=studies/proportions.gin', '--gin.sweep.shares=(0.0, 0.5)', '--gin.Study.seeds=(0, 1, 2)', "--gin.Study.validation=('text',)")
  assert cli.main(['plan', '--power', *flags, f'--pilot={pilot}', '--format=json']) == 0
  (found,) = json.loads(capsys.readouterr().out)['comparisons']
  assert (found['task'], found['unit']) == ('text', 'bits per byte') and found['least_effect'] > 0


def test_the_noise_of_a_source_is_that_of_its_ratio_in_bits_per_byte(tmp_path):
  study = read_study(replicated(tmp_path / 's', 3))
  found = source_components(study)
  assert found.keys() == {'text', 'code'}
  figures = [
    [study.stages[study.recipes[f'{arm}, seed {seed}'].stages[-1]].scores['text']['bits_per_byte'] for seed in range(3)] for arm in ('text', 'mixed')
  ]  # fmt: skip
  expected = np.mean([np.var(of, ddof=1) for of in figures])
  # The variance of the figures is that of the seeds, and of documents within a run.
  assert found['text'].items == 40
  assert found['text'].figure_variance() == pytest.approx(max(expected, found['text'].residual ** 2 / 40), rel=1e-6)


def test_several_sampled_answers_tell_their_noise_from_that_of_the_runs(tmp_path):
  folder = replicated(tmp_path / 's', 3)
  generator = np.random.default_rng(0)
  chance = generator.random(200)
  for place in stage_folders(folder):
    passed = generator.random((200, 8)) < chance[:, None]
    results = task_results('piqa', 0.5, 200, 2)
    items = {**results.items, 'correct': passed.mean(axis=1), 'outcomes': [['passed' if each else 'failed' for each in of] for of in passed]}
    write_task(place, 'piqa', Results({**results.scores, 'score': float(passed.mean())}, items), 8)
  found = pilot_components(read_study(folder))['piqa']
  # An answer is right with the item's chance p, in points: 100^2 mean(p (1 - p)).
  assert found.sampling == pytest.approx(100 * np.sqrt(np.mean(chance * (1 - chance))), rel=0.05)
  assert found.residual < 0.2 * found.sampling and found.seed < 1.5
