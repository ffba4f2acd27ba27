"""Seeds of one arm, and models of one study: what is compared with what, and what is called an effect."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from codemix.report.arms import arms, baselines
from codemix.report.content import Content, gather
from codemix.report.results import read_study
from codemix.report.write import write_report
from tests.evaluation.intervals import relative_change
from tests.report.fake_study import edit, items_of, model, stage, stage_folders, write_fake_study
from tests.report.page import Page

TEXT = [stage('text', {'text': 1.0}, 40)]
CODE = [stage('mixed', {'text': 0.5, 'code': 0.5}, 40)]


def seeds_study(folder: Path, seeds: int, noise: float = 0.003, **settings) -> Path:
  """A baseline and an arm with half of code, which is far better on code, each with `seeds` seeds."""
  recipes = {f'{name}, seed {seed}': stages for name, stages in (('base', TEXT), ('mixed', CODE)) for seed in range(seeds)}
  of = {name: int(name[-1]) for name in recipes}
  return write_fake_study(folder, recipes, seeds=of, seed_noise=noise, documents=100, **settings)


def content_of(folder: Path) -> Content:
  return gather(read_study(folder))


def coloured(folder: Path) -> list[str]:
  """The words that the page colours, but for those that explain it."""
  text = write_report(folder).read_text()
  reading = text.index('id="reading"'), text.index('id="results"')
  return [part for part in (text[: reading[0]] + text[reading[1] :]).split('class="') if part.startswith(('better"', 'worse"'))]


# What an arm is.


def test_recipes_that_differ_in_their_seed_alone_are_one_arm(tmp_path):
  study = read_study(seeds_study(tmp_path / 's', 3))
  assert [(arm.name, len(arm.recipes)) for arm in arms(study)] == [('base', 3), ('mixed', 3)]


def test_arms_are_recognised_by_what_is_trained_and_not_by_name(tmp_path):
  recipes = {'base, seed 0': TEXT, 'base, seed 1': CODE, 'other': TEXT}
  study = read_study(write_fake_study(tmp_path / 's', recipes, seeds={'base, seed 1': 1, 'other': 5}))
  assert [arm.recipes for arm in arms(study)] == [('base, seed 0', 'other'), ('base, seed 1',)]


def test_a_recipe_under_a_second_name_is_no_second_seed(tmp_path):
  recipes = {'base': TEXT, 'copy': TEXT, 'mixed': CODE, 'mixed again': CODE}
  content = content_of(write_fake_study(tmp_path / 's', recipes))
  assert [arm.recipes for arm in content.arms] == [('base',), ('copy',), ('mixed',), ('mixed again',)]
  assert all(change.seeds == 1 for row in content.arm_rows for change in row.changes.values())


@pytest.mark.parametrize(
  ('names', 'arm'),
  [
    (('base, seed 0', 'base, seed 1'), 'base'), (('base_s0', 'base_s1'), 'base'), (('base', 'base-1'), 'base'),
    (('50% code (seed 0)', '50% code (seed 1)'), '50% code'), (('code10', 'code11'), 'code10'),
    (('texts0', 'texts1'), 'texts0'), (('one', 'another'), 'one'), (('0', '1'), '0'),
  ],
)  # fmt: skip
def test_an_arm_is_called_what_its_recipes_have_in_common_but_for_the_seed(tmp_path, names, arm):
  folder = write_fake_study(tmp_path / 's', dict.fromkeys(names, TEXT), seeds={names[1]: 1})
  assert [found.name for found in arms(read_study(folder))] == [arm]


def test_an_arm_is_not_called_what_another_recipe_is(tmp_path):
  recipes = {'base': CODE, 'base_s0': TEXT, 'base_s1': TEXT}
  study = read_study(write_fake_study(tmp_path / 's', recipes, seeds={'base_s1': 1}))
  assert [arm.name for arm in arms(study)] == ['base', 'base_s0']


# What is compared.


def test_each_seed_is_compared_with_the_baseline_of_its_seed(tmp_path):
  folder = seeds_study(tmp_path / 's', 2)
  write_report(folder)
  table = pd.read_csv(folder / 'results.csv').set_index(['recipe', 'source'])
  assert list(table.loc[('mixed, seed 1', 'text'), ['arm', 'seed', 'baseline']]) == ['mixed', 1, 'base, seed 1']
  for seed in (0, 1):
    own, base = (items_of(folder, table.folder[f'{arm}, seed {seed}', 'code'], 'code') for arm in ('mixed', 'base'))
    expected = relative_change(own['nats'], base['nats'], own['bytes'])
    row = table.loc[f'mixed, seed {seed}', 'code']
    np.testing.assert_allclose([row.change, row.change_low], [expected.value, expected.low])


def test_an_arm_has_the_mean_of_its_seeds_and_their_spread(tmp_path):
  content = content_of(seeds_study(tmp_path / 's', 3))
  (arm,) = (row for row in content.arm_rows if row.name == 'mixed')
  seeds = [row.changes['code'].value for row in content.rows if row.name.startswith('mixed')]
  bits = {name: np.mean([row.bits['code'].value for row in content.rows if row.name.startswith(name)]) for name in ('mixed', 'base')}
  assert arm.changes['code'].value == pytest.approx(bits['mixed'] / bits['base'] - 1)
  # To first order in the noise of the seeds, which is 0.3% here.
  assert arm.changes['code'].value == pytest.approx(np.mean(seeds), abs=1e-4)
  assert arm.changes['code'].spread == pytest.approx(np.std(seeds, ddof=1), rel=0.02)
  assert arm.changes['code'].seeds == arm.bits['code'].seeds == 3


def test_a_seed_that_the_baseline_lacks_is_not_compared_and_that_is_reported(tmp_path):
  recipes = {'base': TEXT, 'mixed_s0': CODE, 'mixed_s1': CODE}
  content = content_of(write_fake_study(tmp_path / 's', recipes, seeds={'mixed_s1': 1}))
  changes = {row.name: row.changes for row in content.rows}
  assert changes['mixed_s0'] and not changes['mixed_s1']
  assert any('not trained with their seeds: mixed_s1 (seed 1)' in note for note in content.notes)
  (mixed,) = (row for row in content.arm_rows if row.name == 'mixed')
  assert mixed.changes['code'].seeds == 1 and mixed.bits['code'].seeds == 2


def test_arms_without_a_common_seed_are_compared_if_both_have_several(tmp_path):
  seeds = {'base_s0': 0, 'base_s1': 1, 'mixed_s2': 2, 'mixed_s3': 3, 'mixed_s4': 4}
  recipes = {name: TEXT if name.startswith('base') else CODE for name in seeds}
  folder = write_fake_study(tmp_path / 's', recipes, seeds=seeds, seed_noise=0.003, documents=100)
  content = content_of(folder)
  (mixed,) = (row for row in content.arm_rows if row.name == 'mixed')
  assert (mixed.changes['code'].seeds, mixed.changes['code'].base_seeds) == (3, 2) and mixed.changes['code'].is_effect
  assert not any('not trained with their seeds' in note for note in content.notes)
  assert not any(row.changes for row in content.rows if row.name.startswith('mixed'))
  assert any('3 against 2 seeds' in words for words in Page(write_report(folder).read_text()).words)


def test_an_arm_is_reported_over_the_seeds_that_have_been_evaluated(tmp_path):
  folder = seeds_study(tmp_path / 's', 3)
  study = read_study(folder)
  shutil.rmtree(folder / 'stages' / study.recipes['mixed, seed 2'].stages[0] / 'evaluation')
  content = content_of(folder)
  (mixed,) = (row for row in content.arm_rows if row.name == 'mixed')
  assert mixed.changes['code'].seeds == 2
  assert '2 of 3' in Page(write_report(folder).read_text()).words


# What is called an effect.


def test_nothing_is_coloured_at_one_seed(tmp_path):
  folder = seeds_study(tmp_path / 's', 1)
  (mixed,) = (row for row in content_of(folder).arm_rows if row.name.startswith('mixed'))
  assert mixed.changes['code'].excludes(0)
  assert coloured(folder) == []
  assert 'documents only' in Page((folder / 'report.html').read_text()).words
  assert 'beyond noise' not in (folder / 'report.md').read_text()
  assert any('at one seed' in note for note in content_of(folder).notes)


def test_seeds_of_the_baseline_are_noise_and_not_an_effect(tmp_path):
  recipes = {'a': TEXT, 'b': TEXT}
  folder = write_fake_study(tmp_path / 's', recipes, seeds={'b': 1}, seed_noise=0.02, documents=200)
  assert coloured(folder) == []
  content = content_of(folder)
  assert all(row.is_baseline for row in content.arm_rows)
  assert content.arm_rows[0].bits['text'].spread > 0


def test_a_change_beyond_the_noise_of_documents_and_seeds_is_coloured(tmp_path):
  folder = seeds_study(tmp_path / 's', 3)
  (mixed,) = (row for row in content_of(folder).arm_rows if row.name == 'mixed')
  assert mixed.changes['code'].is_effect and mixed.changes['code'].value < 0
  assert any(part.startswith('better"') for part in coloured(folder))
  assert 'beyond noise' in (folder / 'report.md').read_text()


def test_a_change_within_the_spread_of_its_seeds_is_not_coloured(tmp_path):
  folder = seeds_study(tmp_path / 's', 2, noise=0.2)
  content = content_of(folder)
  seeds = [row.changes['code'] for row in content.rows if row.name.startswith('mixed')]
  assert any(change.excludes(0) for change in seeds)
  (mixed,) = (row for row in content.arm_rows if row.name == 'mixed')
  assert not mixed.changes['code'].is_effect
  assert coloured(folder) == []


# Models.


def sizes_study(folder: Path) -> Path:
  recipes = {
    'small base': TEXT, 'small mixed': CODE, 'large base': [stage('text', {'text': 1.0}, 40, peak=5e-4)],
    'large mixed': [stage('mixed', {'text': 0.5, 'code': 0.5}, 40, peak=5e-4)],
  }  # fmt: skip
  return write_fake_study(folder, recipes, widths={'large base': 512, 'large mixed': 512})


def test_a_recipe_is_compared_within_its_model(tmp_path):
  content = content_of(sizes_study(tmp_path / 's'))
  assert baselines(content.study) == {
    'small base': 'small base', 'small mixed': 'small base', 'large base': 'large base', 'large mixed': 'large base',
  }  # fmt: skip
  assert [row.name for row in content.rows if row.is_baseline] == ['small base', 'large base']
  assert any('never of another' in note for note in content.notes)


def test_each_model_stands_with_its_size_and_its_figures_apart(tmp_path):
  folder = sizes_study(tmp_path / 's')
  content = content_of(folder)
  assert [(m.label, [arm.name for arm in m.arms]) for m in content.models] == [
    ('1.38M parameters, width 256', ['small base', 'small mixed']),
    ('5.38M parameters, width 512', ['large base', 'large mixed']),
  ]
  page = Page(write_report(folder).read_text())
  assert '1.38M to 5.38M' in page.words
  labels = [label for label in page.values('aria-label') if label.startswith(('Bits per byte', 'Change on', 'Smoothed'))]
  assert len(labels) > 8
  assert not any('small' in label and 'large' in label for label in labels)
  assert pd.read_csv(folder / 'results.csv').groupby('recipe').parameters.first()['large base'] == model(512).parameter_count()['total']


def test_a_model_without_the_baselines_mixtures_is_not_compared_and_that_is_reported(tmp_path):
  folder = write_fake_study(tmp_path / 's', {'base': TEXT, 'wide': CODE}, widths={'wide': 512})
  content = content_of(folder)
  assert not content.recipe_rows('wide')[0].changes
  assert any(note.startswith('wide: not compared, since no single arm of this model') for note in content.notes)


def test_models_of_one_size_are_told_apart_by_what_differs(tmp_path):
  folder = write_fake_study(tmp_path / 's', {'a': TEXT, 'b': TEXT})
  edit(folder / 'study.json', lambda s: s['recipes']['b'].update(arm='other'))
  edit(folder / 'study.json', lambda s: s['recipes']['b']['model'].update(heads=8))
  assert [m.label for m in content_of(folder).models] == [
    '1.38M parameters, width 256, heads 4', '1.38M parameters, width 256, heads 8',
  ]  # fmt: skip


def test_another_optimizer_than_the_baselines_is_reported(tmp_path):
  folder = write_fake_study(tmp_path / 's', {'base': TEXT, 'mixed': CODE})
  for place, b2 in zip(stage_folders(folder), (0.95, 0.99), strict=True):
    edit(place / 'stage.json', lambda s, b2=b2: s['identity'].update(optimizer={'name': 'adamw', 'b2': b2}))
  assert any('mixed differs from base in the optimizer too (b2)' in note for note in content_of(folder).notes)


def test_what_holds_of_all_seeds_of_an_arm_is_reported_once(tmp_path):
  stages = {'base': TEXT, 'short': [stage('brief', {'code': 1.0}, 20)], 'brief': [stage('brief', {'text': 0.5, 'code': 0.5}, 20)], 'long': [*CODE, stage('more', {'code': 1.0}, 60)]}
  recipes = {f'{name}, seed {seed}': of for name, of in stages.items() for seed in range(2)}
  folder = write_fake_study(tmp_path / 's', recipes, seeds={name: int(name[-1]) for name in recipes})
  for place in stage_folders(folder):
    mixed = json.loads((place / 'stage.json').read_text())['name'] == 'mixed'
    edit(place / 'stage.json', lambda s, mixed=mixed: s['identity'].update(optimizer={'name': 'adamw', 'b2': 0.99 if mixed else 0.95}))
  notes = content_of(folder).notes
  assert [note for note in notes if 'budget' in note] == [
    'short, brief end after 41.0k tokens and are compared with base after 81.9k: the change includes the difference in budget, so it is not coloured.',
    'long ends after 205k tokens and is compared with base after 81.9k: the change includes the difference in budget, so it is not coloured.',
  ]
  assert [note for note in notes if 'optimizer' in note] == ['long differs from base in the optimizer too (b2): the change is not of the mixture alone.']


def test_a_study_of_an_older_codemix_knows_its_arms_seeds_and_models_from_its_stages(tmp_path):
  new = sizes_study(tmp_path / 'sizes'), seeds_study(tmp_path / 'seeds', 2)
  for folder in new:
    before = content_of(folder)
    record = json.loads((folder / 'study.json').read_text())
    record['model'] = record['recipes'][next(iter(record['recipes']))]['model']
    for recipe in record['recipes'].values():
      del recipe['arm'], recipe['seed'], recipe['model']
    (folder / 'study.json').write_text(json.dumps(record))
    after = content_of(folder)
    assert after.arms == before.arms
    assert [(m.label, m.arms) for m in after.models] == [(m.label, m.arms) for m in before.models]
    # As text: an unknown spread is NaN, which from Python 3.13 on makes a dataclass differ from its equal.
    assert [repr(row.changes) for row in after.arm_rows] == [repr(row.changes) for row in before.arm_rows]
