"""What must hold of the numbers of a report."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from codemix.evaluation import statistics
from codemix.report import gather, ledger_frames
from codemix.report.results import read_study
from codemix.report.tree import flat
from tests.report.fake_study import (
  FakeStage,
  edit,
  named,
  stage_folders,
  study_recipes,
  write_fake_study,
)


def test_the_csv_has_one_row_per_recipe_stage_and_source(finished_study):
  table = pd.read_csv(finished_study / 'results.csv')
  keys = ['recipe', 'position', 'source']
  assert not table.duplicated(keys).any()
  assert len(table) == 4 * 3 * 2
  for row in table.itertuples():
    score = json.loads((finished_study / 'stages' / row.folder / 'evaluation.json').read_text())['sources'][row.source]
    assert row.bits_per_byte == pytest.approx(score['bits_per_byte'], rel=1e-9)
    assert row.bits_per_byte_low < row.bits_per_byte < row.bits_per_byte_high


def test_changes_are_those_of_the_statistics_on_the_same_documents(finished_study):
  table = pd.read_csv(finished_study / 'results.csv').set_index(['recipe', 'position', 'source'])
  row = table.loc['code-to-text', 3, 'code']
  own, base = (
    np.load(finished_study / 'stages' / folder / 'evaluation' / 'code.npz')
    for folder in (row.folder, row.compared_with)
  )
  expected = statistics.relative_change(own['nats'], own['bytes'], base['nats'], base['bytes'])
  np.testing.assert_allclose(
    [row.change, row.change_low, row.change_high], [expected.value, expected.low, expected.high]
  )


def test_the_baseline_does_not_differ_from_itself(finished_study):
  table = pd.read_csv(finished_study / 'results.csv')
  base = table[table.recipe == 'text-only']
  assert (base[['change', 'change_low', 'change_high']] == 0).all().all()


def test_recipes_that_share_a_stage_have_one_figure_after_it(finished_study):
  table = pd.read_csv(finished_study / 'results.csv').set_index(['recipe', 'position', 'source']).sort_index()
  columns = ['folder', 'bits_per_byte', 'bits_per_byte_low', 'change', 'change_high']
  pd.testing.assert_frame_equal(
    table.loc['balanced-only', 1][columns], table.loc['balanced-to-text', 1][columns]
  )


def test_code_so_far_is_the_token_weighted_mean_of_the_stages(finished_study):
  frame = ledger_frames.recipes_frame(read_study(finished_study)).set_index(['recipe', 'position'])
  assert frame.code_share_so_far['balanced-to-text', 1] == pytest.approx(0.5)
  assert frame.code_share_so_far['balanced-to-text', 2] == pytest.approx((0.5 + 0.1) / 2)
  for _, stages in frame.groupby('recipe'):
    assert (stages.tokens_so_far == stages.tokens.cumsum()).all()


def test_shares_of_a_stage_sum_to_one_on_both_sides(finished_study):
  sums = ledger_frames.accounts_frame(read_study(finished_study)).groupby('folder')[
    ['share', 'planned_share', 'realised_share']
  ].sum()
  np.testing.assert_allclose(sums, 1)


def test_sources_in_a_group_of_code_are_code_whatever_the_stage_is_called(tmp_path):
  study = write_fake_study(tmp_path / 's', {'a': [FakeStage('code', {'text': 0.5, 'books': 0.5}, 4)]})
  folder = stage_folders(study)[0]
  assert {read_study(study).kind(name) for name in ('text', 'books')} == {'text'}
  group = {'name': 'code', 'weight': '1/2', 'parts': [{'name': 'books', 'weight': '1'}]}
  edit(folder / 'plan.json', lambda plan: plan['mixture'].update(parts=[{'name': 'text', 'weight': '1/2'}, group]))
  assert [read_study(study).kind(name) for name in ('text', 'books')] == ['text', 'code']


def test_a_stage_is_compared_with_the_baseline_after_as_many_tokens(tmp_path):
  base = [FakeStage('half', {'text': 1.0}, 10), FakeStage('whole', {'text': 1.0}, 10)]
  recipes = {
    'base': base,
    'short': [FakeStage('code', {'code': 1.0}, 10)],
    'odd': [FakeStage('odd', {'code': 1.0}, 14), FakeStage('end', {'text': 1.0}, 16)],
  }
  study = read_study(write_fake_study(tmp_path / 's', recipes))
  content = gather.gather(study)
  against = {(row.name, row.position): row.against[0] for row in content.rows}
  assert against['short', 1] == study.recipes['base'].stages[0]
  assert against['odd', 1] is None
  assert against['odd', 2] == study.recipes['base'].stages[1]
  assert any('odd ends after' in note and 'budget' in note for note in content.notes)
  assert not any('short ends after' in note for note in content.notes)


def test_text_and_code_pooled_are_all_documents_of_their_sources(tmp_path):
  recipe = {'a': [FakeStage('s', {'text': 1.0}, 4)]}
  folder = write_fake_study(tmp_path / 's', recipe, sources=('text', 'books', 'code'))
  content = gather.gather(read_study(folder))
  scores = json.loads((stage_folders(folder)[0] / 'evaluation.json').read_text())['sources']
  expected = statistics.bits_per_byte(
    np.array([scores[name]['nats'] for name in ('text', 'books')]),
    np.array([scores[name]['bytes'] for name in ('text', 'books')]),
  )
  pooled = content.measures['all text'].bits([stage_folders(folder)[0].name])
  assert pooled.value == pytest.approx(expected)
  assert content.measures['all code'] is content.measures['code']


def test_the_tree_holds_each_stage_once_and_an_end_for_each_recipe(finished_study):
  study = read_study(finished_study)
  nodes = flat(gather.gather(study).tree)
  assert sorted(node.stage.folder for node in nodes) == sorted(study.stages)
  assert sorted(name for node in nodes for name in node.ends) == sorted(study.recipes)
  assert {node.chain for node in nodes} == {'start', 'linked'}


def test_a_ledger_that_does_not_follow_its_parent_is_said(changed_study):
  edit(named(changed_study, 'more_text') / 'ledger.json', lambda ledger: ledger.update(parent_hash='other'))
  study = read_study(changed_study)
  chains = [node.chain for node in flat(gather.gather(study).tree)]
  # The stage itself; its child follows the hash that it has.
  assert chains.count('broken') == 1


def test_tokens_realised_other_than_planned_are_said(changed_study):
  folder = named(changed_study, 'more_balanced')
  edit(folder / 'ledger.json', lambda ledger: ledger['realised'][0].update(loss_tokens=1))
  content = gather.gather(read_study(changed_study))
  verdicts = {f: gather.verdict(content, stage) for f, stage in content.study.stages.items()}
  assert verdicts.pop(folder.name) == 'NO'
  assert set(verdicts.values()) == {'yes'}


def test_a_small_model_or_run_is_said_to_show_the_machinery_only(small_study, finished_study):
  def caveat() -> str:
    return gather.gather(read_study(small_study)).caveat[0]

  assert 'This shows the machinery' in (finished_study / 'report.html').read_text().split('<main>')[0]
  assert 'machinery' in caveat()
  edit(small_study / 'study.json', lambda study: [r['model'].update(parameters=470_000_000) for r in study['recipes'].values()])
  assert 'machinery' in caveat()
  for folder in stage_folders(small_study):
    edit(folder / 'plan.json', lambda plan: [s.update(loss_tokens=10**12) for s in plan['sources']])
    (folder / 'ledger.json').unlink()
  assert caveat() == 'One training run stands behind each recipe.'


def test_study_recipes_is_the_study_in_its_ratios():
  recipes = study_recipes(steps=100)
  assert {sum(stage.steps for stage in stages) for stages in recipes.values()} == {220}
