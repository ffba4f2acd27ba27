"""The shape over the share of code: shown where arms differ in one share alone, with the figures of the other tables."""

from __future__ import annotations

import pytest

from codemix import formatting
from codemix.published.models import by_share
from codemix.report import shares
from codemix.report.content import Content, gather
from codemix.report.results import read_study
from codemix.report.write import write_report
from tests.report.fake_benchmarks import add_benchmarks
from tests.report.fake_study import paper_recipes, stage, write_fake_study
from tests.report.page import Page

CODE = (0.0, 0.25, 0.5, 1.0)


def mixture(code: float) -> dict[str, float]:
  return {source: share for source, share in (('text', 1 - code), ('code', code)) if share}


def recipe(code: float, *after: float, steps: int = 12) -> list:
  return [stage('pretrain', mixture(code), steps), *(stage('more', mixture(share), steps) for share in after)]


def content_of(folder, recipes, **given) -> Content:
  return gather(read_study(write_fake_study(folder / 'study', recipes, **given)))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A sweep of four shares and two seeds with benchmarks, and its report."""
  recipes = {f'{100 * code:g}% code, seed {seed}': recipe(code) for code in CODE for seed in (0, 1)}
  seeds = {name: int(name[-1]) for name in recipes}
  folder = add_benchmarks(write_fake_study(tmp_path_factory.mktemp('sweep') / 'study', recipes, seeds=seeds))
  write_report(folder)
  return folder


def test_a_sweep_has_its_arms_by_share(folder):
  (sweep,) = shares.sweeps(gather(read_study(folder)))
  assert tuple(sweep.rows) == CODE and sweep.is_papers and sweep.stage == 'pretrain'
  assert [row.code_share for row in sweep.rows.values()] == pytest.approx(CODE, abs=0.05)


def test_the_page_draws_every_figure_with_words_for_it(folder):
  page = Page((folder / 'report.html').read_text())
  labels = [label for label in page.values('aria-label') if 'by the share of code in pretrain, with 95% intervals over items and seeds' in label]
  assert len(labels) == 2 + 3  # held-out text and code, and three groups of tasks
  assert 'By the share of code' in page.words


def test_its_figures_are_those_of_the_other_tables(folder):
  content = gather(read_study(folder))
  (sweep,) = shares.sweeps(content)
  (table,) = shares.tables(content)
  assert [cell.text for cell in table.header] == ['Code', 'text', 'code', 'NL reasoning', 'World knowledge', 'Code']
  for line, (share, row) in zip(table.lines, sweep.rows.items(), strict=True):
    assert line.cells[0].text == formatting.share(share)
    assert line.cells[1].text == formatting.bits(row.bits['text'].value)
    assert '2 seeds' in line.cells[1].notes
  assert not any(note.startswith('change') for note in table.lines[0].cells[1].notes)  # the baseline
  assert any(note.startswith('change') and '%' in note for note in table.lines[1].cells[1].notes)


def test_one_seed_is_called_so(tmp_path):
  content = content_of(tmp_path, {f'{code}': recipe(code) for code in CODE})
  (table,) = shares.tables(content)
  assert all('items only' in cell.notes for line in table.lines for cell in line.cells[1:])


@pytest.mark.parametrize(
  'recipes',
  [
    paper_recipes(steps=10),  # arms that differ in several stages
    {f'{code}': recipe(code) for code in CODE[:2]},  # a difference, not a shape
    {f'{number}': recipe(0.5, steps=8 + 4 * number) for number in range(3)},  # other amounts of training
  ],
  ids=['paper', 'two shares', 'tokens'],
)
def test_other_studies_have_no_shape(tmp_path, recipes):
  assert not shares.sweeps(content_of(tmp_path, recipes))


def test_arms_that_differ_elsewhere_are_other_sweeps(tmp_path):
  recipes = {f'{code} then {after}': recipe(code, after) for after in (0.1, 0.5) for code in CODE[:3]}
  found = shares.sweeps(content_of(tmp_path, recipes))
  assert [tuple(sweep.rows) for sweep in found] == [CODE[:3], CODE[:3]]
  assert [sweep.label for sweep in found] == ['more 10% code', 'more 50% code'] and not any(sweep.is_papers for sweep in found)


SWEEP = {f'{100 * code:g}% code': recipe(code) for code in CODE}


@pytest.mark.parametrize(
  ('recipes', 'others'),
  [
    ({'text twice as long': recipe(0.0, steps=24), **SWEEP}, []),
    ({**SWEEP, 'long': recipe(0.5, steps=24)}, []),
    ({**SWEEP, 'another code': [stage('another', mixture(1.0), 12)]}, ['another code']),
  ],
  ids=['longer first', 'longer last', 'another of one share'],
)
def test_arms_beside_a_sweep_do_not_hide_it(tmp_path, recipes, others):
  [sweep] = shares.sweeps(content_of(tmp_path, recipes))
  assert list(sweep.rows) == list(CODE) and sweep.others == others
  assert all(f'{100 * share:g}% code' in row.name for share, row in sweep.rows.items())


def test_the_papers_sweep_stands_beside_one_of_a_single_stage_with_what_was_scored(folder):
  content = gather(read_study(folder))
  [sweep] = shares.sweeps(content)
  figures = {figure.name: figure for figure in shares.shown(content, sweep)}
  assert figures['text'].paper == {} and figures['NL reasoning'].paper == by_share('NL reasoning')
  assert figures['NL reasoning'].coverage == '3 of 11 tasks'
  [table] = shares.tables(content)
  assert 'paper 50.2' in table.lines[0].cells[3].notes and 'tasks of a group' in table.caption
  assert table.header[3].notes == ['3 of 11 tasks']


def test_a_group_called_code_is_code_whatever_stands_in_for_it(tmp_path):
  stood_in = lambda code: [stage('pretrain', {name: part for name, part in {'text': (1 - code, {'books': 1.0}), 'code': (code, {'code': 0.8, 'text': 0.2})}.items() if part[0]}, 12)]
  [sweep] = shares.sweeps(content_of(tmp_path, {f'{code}': stood_in(code) for code in CODE}))
  assert tuple(sweep.rows) == CODE
