"""What must hold of the numbers of a report."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import codemix
from codemix.evaluation import statistics
from codemix.report import frames
from codemix.report.content import gather
from codemix.report.results import read_study
from codemix.report.write import write_report
from tests.evaluation.intervals import relative_change
from tests.report.fake_study import (
  edit,
  items_of,
  named,
  scores_of,
  stage,
  stage_folders,
  write_fake_study,
)
from tests.report.page import Page


def test_the_csv_has_one_row_per_recipe_stage_and_source(finished_study):
  table = pd.read_csv(finished_study / 'results.csv')
  keys = ['recipe', 'position', 'source']
  assert not table.duplicated(keys).any()
  assert len(table) == 4 * 3 * 2
  for row in table.itertuples():
    score = scores_of(finished_study, row.folder, row.source)
    assert row.bits_per_byte == pytest.approx(score['bits_per_byte'], rel=1e-9)
    assert row.bits_per_byte_low < row.bits_per_byte < row.bits_per_byte_high


def test_changes_are_those_of_the_statistics_on_the_same_documents(finished_study):
  table = pd.read_csv(finished_study / 'results.csv').set_index(['recipe', 'position', 'source'])
  row = table.loc['code-to-text', 3, 'code']
  own, base = (items_of(finished_study, folder, 'code') for folder in (row.folder, row.compared_with))
  expected = relative_change(own['nats'], base['nats'], own['bytes'])
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
  table = codemix.load_results(finished_study)
  frame = table[table.source == 'code'].set_index(['recipe', 'position'])
  assert frame.code_share_so_far['balanced-to-text', 1] == pytest.approx(0.5)
  assert frame.code_share_so_far['balanced-to-text', 2] == pytest.approx((0.5 + 0.1) / 2)
  for _, stages in frame.groupby('recipe'):
    assert (stages.tokens_so_far == stages.tokens.cumsum()).all()


def test_shares_of_a_stage_sum_to_one_on_both_sides(finished_study):
  for stage_results in read_study(finished_study).stages.values():
    ledger = pd.DataFrame(frames.ledger_of(stage_results)).T
    np.testing.assert_allclose(ledger[['share', 'planned_share', 'realised_share']].sum(), 1)


# Kinds.


def test_a_kind_is_what_is_declared_and_not_what_a_name_says(tmp_path):
  kinds = {'text': 'code', 'code': 'text', 'books': 'fiction'}
  recipe = {'code': [stage('code', {'text': 0.25, 'code': 0.25, 'books': 0.5}, 8)]}
  folder = write_fake_study(tmp_path / 's', recipe, sources=('text', 'code', 'books'), kinds=kinds)
  content = gather(read_study(folder))
  assert content.pooled == {'text': 'code', 'code': 'text', 'fiction': 'books'}
  assert content.rows[0].code_share == pytest.approx(0.25, abs=0.02)
  paints = content.source_paints
  assert paints['code'].variable == 'text-0' and paints['text'].variable == 'code-0'
  assert paints['books'].variable == 'kind-0-0'
  assert list(codemix.load_results(folder).kind) == ['text', 'code', 'fiction']


def test_without_declared_kinds_nothing_is_guessed(tmp_path):
  recipe = {'a': [stage('s', {'text': 0.5, 'code': 0.5}, 4)]}
  folder = write_fake_study(tmp_path / 's', recipe, kinds={})
  edit(folder / 'study.json', lambda study: study.pop('kinds'))
  content = gather(read_study(folder))
  assert content.pooled == {} and content.outcomes == [('code', 'code'), ('text', 'text')]
  assert math.isnan(content.rows[0].code_share)
  assert content.notes[0].startswith('Kind not declared for: code, text.')
  words = Page(write_report(folder).read_text()).words
  assert any('no picture of one against the other' in text for text in words)
  assert f'{content.rows[0].bits["text"].value:.3f}' in words


def test_a_source_without_a_kind_is_not_pooled_and_hides_the_share_of_code(tmp_path):
  recipes = {
    'a': [stage('s', {'text': 0.5, 'code': 0.5}, 4)],
    'b': [stage('s', {'text': 0.5, 'code': 0.5}, 4), stage('t', {'books': 1.0}, 4)],
  }
  kinds = {'text': 'text', 'code': 'code'}
  folder = write_fake_study(tmp_path / 's', recipes, sources=('text', 'code', 'books'), kinds=kinds)
  content = gather(read_study(folder))
  assert [label for label, _ in content.outcomes] == ['text', 'code', 'books']
  assert [math.isnan(row.code_share) for row in content.rows] == [False, False, True]
  assert codemix.load_results(folder).code_tokens_so_far.isna().sum() == 3


# What is compared.


def test_a_stage_is_compared_with_the_baseline_after_as_many_tokens(tmp_path):
  base = [stage('half', {'text': 1.0}, 10), stage('whole', {'text': 1.0}, 10)]
  recipes = {
    'base': base,
    'short': [stage('code', {'code': 1.0}, 10)],
    'odd': [stage('odd', {'code': 1.0}, 14), stage('end', {'text': 1.0}, 16)],
  }
  study = read_study(write_fake_study(tmp_path / 's', recipes))
  content = gather(study)
  against = {(row.name, row.position): row.against[0] for row in content.rows}
  assert against['short', 1] == study.recipes['base'].stages[0]
  assert against['odd', 1] is None
  assert against['odd', 2] == study.recipes['base'].stages[1]
  assert any('odd ends after' in note and 'budget' in note for note in content.notes)
  assert not any('short ends after' in note for note in content.notes)


def test_text_and_code_pooled_are_all_documents_of_their_sources(tmp_path):
  recipe = {'a': [stage('s', {'text': 1.0}, 4)]}
  folder = write_fake_study(tmp_path / 's', recipe, sources=('text', 'books', 'code'))
  content = gather(read_study(folder))
  scores = {name: scores_of(folder, stage_folders(folder)[0].name, name) for name in ('text', 'books')}
  expected = statistics.bits_per_byte(
    np.array([scores[name]['nats'] for name in ('text', 'books')]),
    np.array([scores[name]['bytes'] for name in ('text', 'books')]),
  )
  pooled = content.measures['all text'].bits([stage_folders(folder)[0].name])
  assert pooled.value == pytest.approx(expected)
  assert content.pooled == {'text': 'all text', 'code': 'code'}


def test_the_tree_holds_each_stage_once_and_an_end_for_each_recipe(finished_study):
  study = read_study(finished_study)
  nodes = gather(study).nodes
  assert sorted(node.stage.folder for node in nodes) == sorted(study.stages)
  assert sorted(name for node in nodes for name in node.ends) == sorted(study.recipes)
  assert {node.chain for node in nodes} == {'start', 'linked'}


def test_a_ledger_that_does_not_follow_its_parent_is_reported(changed_study):
  edit(named(changed_study, 'more_text') / 'ledger.json', lambda ledger: ledger.update(parent_hash='other'))
  study = read_study(changed_study)
  chains = [node.chain for node in gather(study).nodes]
  # The stage itself; its child follows the hash that it has.
  assert chains.count('broken') == 1


def test_tokens_realised_other_than_planned_are_reported(changed_study):
  folder = named(changed_study, 'more_balanced')
  edit(folder / 'ledger.json', lambda ledger: ledger['realised'][0].update(loss_tokens=1))
  verdicts = {node.stage.folder: node.as_planned for node in gather(read_study(changed_study)).nodes}
  assert verdicts.pop(folder.name) is False
  assert set(verdicts.values()) == {True}
  assert 'NOT as planned' in (write_report(changed_study).parent / 'report.md').read_text()


def test_a_small_model_or_run_is_reported_to_show_the_machinery_only(small_study, finished_study):
  def caveat() -> str:
    return gather(read_study(small_study)).caveat[0]

  assert 'This shows the machinery' in (finished_study / 'report.html').read_text().split('<main>')[0]
  assert 'machinery' in caveat()
  edit(small_study / 'study.json', lambda study: [r['model'].update(parameters=470_000_000) for r in study['recipes'].values()])
  assert 'machinery' in caveat()
  for folder in stage_folders(small_study):
    edit(folder / 'plan.json', lambda plan: [s.update(loss_tokens=10**12) for s in plan['sources']])
    (folder / 'ledger.json').unlink()
  assert caveat() == 'Each recipe was trained once.'
