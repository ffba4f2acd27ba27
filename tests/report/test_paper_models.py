"""Published numbers stand beside the rows that are trained as the paper's models were, in every shipped study, and beside no other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import codemix
from codemix.data.mixtures.schedule import MixtureSchedule
from codemix.report import paper_figures, paper_models, suite_tables
from codemix.report.content import Content, gather
from codemix.report.results import read_study
from tests.report.fake_study import paper_recipes, stage, write_fake_study
from tests.report.planned_study import write_planned_study
from tests.test_gin_plans import STUDIES, at_scale

BEGUN = 'balanced→text, initialization'
BALANCED_TO_TEXT = [BEGUN, 'balanced→text', 'balanced→text, cooled down']
CODE_TO_TEXT = ['code→text, initialization', 'code→text', 'code→text, cooled down']
INITIALIZATION = {
  'text_only': ['text-only', 'text-only, cooled down'],
  'balanced_only': ['balanced-only', 'balanced-only, cooled down'],
  'balanced_to_text': BALANCED_TO_TEXT,
  'code_to_text': CODE_TO_TEXT,
}
CODE_FREE = [BEGUN, 'balanced→text', 'balanced→text, cooled down without code']
SWEEP = {f'{share}% code': [f'{share}% code'] for share in (0, 25, 50, 75, 90, 100)}
PROPERTIES = {
  'code': ['code'], 'code+markup': ['code+markup'], 'code+adjacent': ['code+adjacent'], 'code+adjacent_issues': ['code+adjacent'],
  'code+synthetic': ['code+synthetic'], 'code+markup+synthetic': ['code+synthetic'],
}  # fmt: skip
PLAIN = [BEGUN, 'balanced→text; balanced→text without synthetic code']
SYNTHETIC = [BEGUN, 'balanced→text; balanced+synthetic→text']
LARGER = {'balanced_to_text, larger': ['', 'balanced→text, 2.8B'], 'code_to_text, larger': ['', 'code→text, 2.8B']}
# What stands beside each stage of each arm of the shipped studies; arms that are not named have nothing.
EXPECTED: Mapping[str, Mapping[str, Sequence[str]]] = {
  'additive.gin': {},
  'competitive.gin': {name: SWEEP[name] for name in ('0% code', '50% code', '90% code')},
  'cooldown.gin': {'no_cooldown': BALANCED_TO_TEXT[:2], 'without_code': CODE_FREE, 'with_code': BALANCED_TO_TEXT},
  'initialization.gin': INITIALIZATION,
  'kinds.gin': {},
  'phased.gin': {},
  'properties.gin': PROPERTIES,
  'proportions.gin': SWEEP,
  'quickstart.gin': {
    **INITIALIZATION, 'text_only': ['', 'text-only', 'text-only, cooled down'], 'balanced_only': ['', 'balanced-only', 'balanced-only, cooled down'],
    'balanced_to_text_codefree': CODE_FREE,
  },
  'reproduction.gin': {**INITIALIZATION, **SWEEP},
  'scale.gin': {
    'balanced_only, smaller': ['', 'balanced-only'], 'balanced_to_text, smaller': BALANCED_TO_TEXT[:2], 'code_to_text, smaller': CODE_TO_TEXT[:2],
    **LARGER, 'balanced_only, larger': ['', 'balanced-only, 2.8B'],
  },
  'tuned.gin': {arm: [*beside, ''] for arm, beside in INITIALIZATION.items()},
  'timing.gin': {'text alone': ['0% code']},
  'transfer.gin': {'balanced_to_text': PLAIN, 'balanced_synthetic_to_text': SYNTHETIC},
  'paper.gin': {
    **INITIALIZATION, **SWEEP, **PROPERTIES, **LARGER, 'balanced_only, larger': ['balanced-only, 2.8B'],
    'balanced_to_text': [*PLAIN, BALANCED_TO_TEXT[2]], 'balanced_to_text_codefree': [*PLAIN, CODE_FREE[2]], 'balanced_synthetic_to_text': SYNTHETIC,
    # Equal to the arm of the kinds of code.
    '100% code': ['100% code; code+markup'],
  },
}  # fmt: skip
FIGURES = {
  'cooldown.gin': ['Figure 6'], 'initialization.gin': ['Figure 2', 'Figure 6'], 'properties.gin': ['Figure 5a'], 'quickstart.gin': ['Figure 2', 'Figure 6'],
  'reproduction.gin': ['Figure 2', 'Figure 6'], 'scale.gin': ['Figure 2', 'Figure 3'], 'transfer.gin': ['Figure 5b'], 'tuned.gin': ['Figure 2', 'Figure 6'],
  'paper.gin': ['Figure 2', 'Figure 3', 'Figure 5a', 'Figure 5b', 'Figure 6'],
}  # fmt: skip


def beside(content: Content) -> dict[str, list[str]]:
  """What stands beside each stage of each arm that has something, with the size of the paper's larger models."""
  name = lambda model: model.label + ('' if model.size == '470M' else f', {model.size}')
  rows = {arm.name: ['; '.join(map(name, paper_models.of_row(content, row))) for row in content.rows_of(arm)] for arm in content.arms}
  return {arm: of for arm, of in rows.items() if any(of)}


@pytest.fixture(scope='module', params=STUDIES)
def shipped(request, tmp_path_factory) -> tuple[str, Content]:
  plan = at_scale(f'studies/{request.param}', 'quickstart', bindings=('Study.seeds = (0,)',))
  folder = write_planned_study(tmp_path_factory.mktemp('shipped') / 'study', plan, tasks={})
  return request.param, gather(read_study(folder))


def test_every_shipped_study_has_the_papers_models_beside_the_right_rows(shipped):
  name, content = shipped
  assert beside(content) == EXPECTED[name]


def test_every_shipped_study_has_the_figures_of_its_arms(shipped):
  name, content = shipped
  assert [shown.figure.source for shown in paper_figures.shown(content)] == FIGURES.get(name, [])
  missing = [pair.model.label for shown in paper_figures.shown(content) for pair in shown.pairs if pair.row is None]
  assert missing == {'initialization.gin': [CODE_FREE[2]], 'reproduction.gin': [CODE_FREE[2]], 'tuned.gin': [CODE_FREE[2]], 'scale.gin': ['text-only']}.get(name, [])


# What an arm is.

HALF, TEXT, CODE, MORE = {'text': 0.5, 'code': 0.5}, {'text': 1.0}, {'code': 1.0}, {'text': 0.9, 'code': 0.1}
COOLED = paper_recipes(10)['text-only'][-1]


def content_of(folder: Path, recipes, **given) -> Content:
  return gather(read_study(write_fake_study(folder / 'study', recipes, evaluated=False, **given)))


def test_neither_names_nor_the_number_of_stages_decide(tmp_path):
  content = content_of(tmp_path, {
    'balanced_only': [stage('a', HALF, 10), stage('b', HALF, 10)],
    'a': [stage('once', TEXT, 20), COOLED],
    'b': [stage('c', TEXT, 10), stage('d', TEXT, 10), COOLED],
    'text only': [stage('c', TEXT, 10), stage('e', MORE, 10), COOLED],
    'code-to-text': [stage('code', CODE, 10), stage('more', MORE, 10)],
    'balanced to text': [stage('once', HALF, 20), COOLED],
  })  # fmt: skip
  assert beside(content) == {
    'balanced_only': ['', 'balanced-only'],
    'a': ['text-only', 'text-only, cooled down'],
    'b': ['', 'text-only', 'text-only, cooled down'],
    'code-to-text': CODE_TO_TEXT[:2],
    'balanced to text': ['balanced-only', 'balanced-only, cooled down'],
  }


@pytest.mark.parametrize(
  'stages',
  [
    [stage('a', HALF, 10), stage('b', MORE, 20)],
    [stage('a', {'text': 0.6, 'code': 0.4}, 10), stage('b', MORE, 10)],
    [stage('a', HALF, 10), stage('b', {'text': 0.8, 'code': 0.2}, 10)],
    [stage('a', HALF, 10), stage('b', MORE, 10), stage('c', MORE, 10)],
    [stage('a', HALF, 10)],
    [stage('a', MixtureSchedule(((0.0, TEXT), (0.5, CODE))), 10), stage('b', MORE, 10)],
    [COOLED, stage('a', HALF, 10)],
  ],
  ids=['unequal halves', 'another share', 'another share then', 'a third stage', 'half of it', 'half on average', 'a decay first'],
)
def test_what_is_trained_otherwise_has_nothing_of_its_own_beside_it(tmp_path, stages):
  stages = [dataclasses.replace(stages[0], schedule=codemix.LinearTo(1e-6, start=1e-3)), *stages[1:]] if stages[0] is COOLED else stages
  last = beside(content_of(tmp_path, {'balanced_to_text': stages, 'other': [stage('x', {'books': 1.0}, 10)]})).get('balanced_to_text', [''])
  assert last[-1] == ''


def test_one_stage_is_all_of_pre_training_only_if_the_other_arms_read_as_much(tmp_path):
  other = {'staged': [stage('half', HALF, 10), stage('more', MORE, 10), COOLED]}
  whole = content_of(tmp_path / 'whole', {'one': [stage('once', TEXT, 20), COOLED], **other})
  half = content_of(tmp_path / 'half', {'one': [stage('once', TEXT, 10), COOLED], **other})
  assert beside(whole)['one'] == ['text-only', 'text-only, cooled down'] and 'one' not in beside(half)


def test_a_cooldown_is_known_by_its_rate(tmp_path):
  restarted = stage('cooldown', {'text': 0.8, 'code': 0.2}, 2)
  assert beside(content_of(tmp_path, {'one': [stage('a', HALF, 10), stage('b', MORE, 10), restarted]})) == {'one': BALANCED_TO_TEXT[:2] + ['']}


def test_seeds_of_an_arm_are_one_row(tmp_path):
  stages = [stage('a', HALF, 10), stage('b', MORE, 10)]
  content = content_of(tmp_path, {f'arm, seed {seed}': stages for seed in (0, 1)}, seeds={'arm, seed 0': 0, 'arm, seed 1': 1})
  assert beside(content) == {'arm': BALANCED_TO_TEXT[:2]}


@pytest.mark.parametrize(
  ('widths', 'larger'), [((64, 256), True), ((256, 256), False), ((248, 256), False)], ids=['two sizes', 'one size', 'about one size'],
)
def test_the_larger_of_two_models_stands_for_the_larger_of_the_paper(tmp_path, widths, larger):
  stages = [stage('a', HALF, 10), stage('b', MORE, 10)]
  content = content_of(tmp_path, {'one': stages, 'two': [stage('c', HALF, 10), stages[1]]}, widths=dict(zip(('one', 'two'), widths, strict=True)))
  assert beside(content) == {'one': BALANCED_TO_TEXT[:2], 'two': ['', 'balanced→text, 2.8B'] if larger else BALANCED_TO_TEXT[:2]}


# The table of aggregates.


def test_the_papers_numbers_stand_below_their_rows_with_their_source(tmp_path):
  table = suite_tables.aggregates(gather(read_study(write_planned_study(tmp_path / 'study', at_scale('studies/quickstart.gin', 'quickstart')))))
  found, arm, own = {}, '', ''
  for line in table.lines:
    first = line.cells[0]
    arm = first.text if line.kind == 'group' else arm
    own = own if first.text.startswith('the paper') or line.kind == 'group' else first.text
    if first.text.startswith('the paper'):
      found[arm, own] = [first.text, *first.notes, *(cell.text for cell in line.cells[1:])]
  assert [cell.text for cell in table.header[1:]] == ['Reason.', 'Know.', 'NL Avg', 'Code', 'Total']
  assert found['text_only', '3 cooldown'] == ['the paper, 470M', 'text-only, cooled down, Table 2', '54.1', '11.1', '32.6', '4.4', '23.2']
  assert found['code_to_text', '1 code'][2:] == ['44.7', '1.5', '23.1', '15.5', '20.6']
  assert found['balanced_only', '2 balanced'][2:] == ['51.8', '8.1', '30.0', '9.0', '23.0']
  assert found['balanced_to_text_codefree', '3 cooldown_without_code'][1:] == ['balanced→text, cooled down without code, Figure 6', '52.9', '10.2', '–', '4.8', '–']
  assert ('text_only', '1 text') not in found and len(found) == 2 + 2 + 3 + 3 + 3
  assert '(Figure 6, Table 2)' in table.caption and 'probably have synthetic code' in table.caption


def test_nothing_is_said_of_the_paper_if_no_arm_is_like_its_own(tmp_path):
  content = gather(read_study(write_planned_study(tmp_path / 'study', at_scale('studies/phased.gin', 'quickstart'))))
  table = suite_tables.aggregates(content)
  assert 'paper' not in table.caption and not any('paper' in line.cells[0].text for line in table.lines)
  assert not paper_figures.tables(content)
