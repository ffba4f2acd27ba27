"""Arms with a baseline of their own, and arms whose budget differs from their baseline's."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from codemix.errors import UserError
from codemix.report import shares, suite_tables, svg, tables
from codemix.report.content import Content, gather
from codemix.report.margins import Margins
from codemix.report.results import read_study
from codemix.report.study_frames import changes_frame
from codemix.report.table import Cell, Table
from codemix.report.write import write_report
from tests.report.fake_benchmarks import add_benchmarks
from tests.report.fake_study import edit, stage, write_fake_study

STEPS = {0: 12, 25: 16, 50: 24}
ARMS = {'0% code added': (0.0, 12), **{f'{prefix}{share}% code added': (code, STEPS[share]) for share in (25, 50) for prefix, code in (('', share / 100), ('text of ', 0.0))}}
OWN = {**{f'{share}% code added': f'text of {share}% code added' for share in (25, 50)}, **{f'text of {share}% code added': f'text of {share}% code added' for share in (25, 50)}}
OWN['0% code added'] = '0% code added'
SEEDS = (0, 1, 2)


def mixture(code: float) -> dict[str, float]:
  return {source: share for source, share in (('text', 1 - code), ('code', code)) if share}


def write(folder, own: dict[str, str]):
  recipes = {f'{name}, seed {seed}': [stage('pretrain', mixture(code), steps)] for name, (code, steps) in ARMS.items() for seed in SEEDS}
  baselines = {f'{name}, seed {seed}': f'{base}, seed {seed}' for name, base in own.items() for seed in SEEDS}
  return add_benchmarks(write_fake_study(folder / 'study', recipes, seeds={name: int(name[-1]) for name in recipes}, baselines=baselines))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """An additive design with controls, whose arms name them, and its report."""
  folder = write(tmp_path_factory.mktemp('additive'), OWN)
  write_report(folder)
  return folder


@pytest.fixture(scope='module')
def additive(folder) -> Content:
  return gather(read_study(folder))


@pytest.fixture(scope='module')
def against_one(tmp_path_factory) -> Content:
  """The same arms, all compared with the one without code."""
  return gather(read_study(write(tmp_path_factory.mktemp('one'), {})))


def cells(table: Table) -> list[Cell]:
  return [cell for line in table.lines for cell in line.cells]


def every_change(content: Content) -> list[Table]:
  return [tables.summary(content), tables.changes_by_stage(content), suite_tables.aggregate_changes(content), *(suite_tables.score_changes(content, group) for group in content.suite.groups)]


def test_an_arm_is_compared_with_the_baseline_that_it_names(additive):
  for share in (25, 50):
    (row,) = [row for row in additive.arm_rows if row.name == f'{share}% code added']
    (control,) = [row for row in additive.arm_rows if row.name == f'text of {share}% code added']
    assert row.against == control.folders and row.contrast.same_tokens and not row.is_baseline and control.is_baseline
    assert row.changes['code'].value == pytest.approx(row.bits['code'].value / control.bits['code'].value - 1)
  assert [arm.name for arm in tables.compared_arms(additive)] == ['25% code added', '50% code added']
  assert any(cell.mark for cell in cells(tables.changes_by_stage(additive)))
  assert not any('budget' in note or 'Not compared' in note for note in additive.notes)


def test_tables_say_what_an_arm_is_compared_with(additive, folder):
  for table in (tables.summary(additive), tables.changes_by_stage(additive)):
    notes = {line.cells[0].text: line.cells[0].notes for line in table.lines}
    assert 'against text of 50% code added' in notes['50% code added']
    assert '0% code added, or the baseline of its own that an arm names' in table.caption
  assert 'compared with text of 50% code added' in (folder / 'report.md').read_text()
  assert 'Compared with text of 50% code added.' in (folder / 'report.html').read_text()


def test_frames_have_the_baseline_that_was_compared_with(additive, folder):
  found = changes_frame(additive)
  assert set(zip(found.arm, found.against, strict=True)) == {(f'{share}% code added', f'text of {share}% code added') for share in (25, 50)} and found.same_tokens.all()
  by_recipe = pd.read_csv(folder / 'results.csv').groupby('recipe').baseline.first()
  assert by_recipe['50% code added, seed 1'] == 'text of 50% code added, seed 1' and by_recipe['0% code added, seed 2'] == '0% code added, seed 2'


def test_a_comparison_across_budgets_is_never_coloured_or_tested(against_one):
  compared = dataclasses.replace(against_one, margins=Margins(points=50, percent=99), made={})
  effects = [figure for row in compared.arm_rows if not row.is_baseline for figure in row.changes.values() if figure.is_effect]
  assert effects  # which would be coloured
  for table in every_change(compared):
    found = cells(table)
    assert [cell for cell in found if 'other tokens' in cell.notes]
    assert not [cell for cell in found if cell.mark or cell.p is not None or cell.equal_p is not None]
  assert not changes_frame(compared).same_tokens.any()
  assert [note for note in compared.notes if note.endswith('the change includes the difference in budget, so it is not coloured.')]


def test_the_shape_over_the_share_is_of_arms_and_their_controls(additive):
  (sweep,) = shares.sweeps(additive)
  assert {share: row.name for share, row in sweep.rows.items()} == {0.0: '0% code added', 0.25: '25% code added', 0.5: '50% code added'}
  assert {share: row.name for share, row in sweep.controls.items()} == {0.0: '0% code added', 0.25: 'text of 25% code added', 0.5: 'text of 50% code added'}
  assert not sweep.others
  (table,) = shares.tables(additive)
  last = table.lines[-1].cells[1].notes
  assert any(note.startswith('change') for note in last) and any(note == f'baseline {sweep.controls[0.5].bits["text"].value:.3f}' for note in last)
  with svg.drawing(pixels=False):
    drawn = shares.draw(additive)
  assert len(drawn) == len(shares.shown(additive, sweep)) and all('Baseline of as many tokens: ' in picture.alt for picture in drawn)


def test_arms_of_other_tokens_without_such_baselines_have_no_shape(against_one):
  assert not shares.sweeps(against_one)


def test_a_baseline_that_is_not_a_recipe_is_damage(tmp_path):
  folder = write_fake_study(tmp_path / 's', {'base': [stage('text', {'text': 1.0}, 4)], 'mixed': [stage('mixed', mixture(0.5), 4)]})
  edit(folder / 'study.json', lambda study: study['recipes']['mixed'].update(baseline='bass'))
  with pytest.raises(UserError, match=r"the baseline 'bass' is not one of the recipes\. Did you mean 'base'\?"):
    read_study(folder)
