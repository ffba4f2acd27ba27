"""What must hold of "no difference larger than X" and of the noise floor in tables of changes."""

from __future__ import annotations

import numpy as np
import pytest

import codemix
from codemix import formatting
from codemix.errors import UserError
from codemix.inference.arm_scores import ArmScores
from codemix.inference.difference import difference
from codemix.inference.equivalence import equivalence
from codemix.inference.multiplicity import holm
from codemix.inference.spread import noise_floor, spread_of
from codemix.report import suite_tables, tables
from codemix.report.content import gather
from codemix.report.correction import corrected
from codemix.report.margins import Margins
from codemix.report.results import read_study
from codemix.report.table import Cell, Line, Table
from tests.report.fake_benchmarks import add_benchmarks
from tests.report.fake_study import stage, write_fake_study

SEEDS = 3


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  mixtures = {'base': {'text': 1.0}, 'half': {'text': 0.5, 'code': 0.5}, 'code': {'code': 1.0}}
  recipes = {f'{name} seed {seed}': [stage('pre', mixture, 12)] for name, mixture in mixtures.items() for seed in range(SEEDS)}
  study = write_fake_study(tmp_path_factory.mktemp('margins') / 'study', recipes, seeds={name: int(name[-1]) for name in recipes})
  return add_benchmarks(study, {'piqa': (80, 2), 'boolq': (60, 2)})


def changes(folder, **margins):
  content = gather(read_study(folder), Margins(**margins))
  return suite_tables.score_changes(content, content.suite.groups[0]), tables.changes_by_stage(content), content


def test_without_a_margin_nothing_is_called_equal(folder):
  for table in changes(folder)[:2]:
    assert 'ithin ±' not in table.caption and not any('within' in note for line in table.lines for cell in line.cells for note in cell.notes)


def test_a_change_is_within_a_margin_exactly_if_two_one_sided_tests_say_so_after_holm(folder):
  margin = 9.0
  table, _, content = changes(folder, points=margin)
  arms = [arm for arm in content.arms if arm.name != 'base']
  p, group = [], content.suite.groups[0]
  for arm in arms:
    (row,) = content.rows_of(arm)
    for score in (*(benchmark.score for benchmark in group.scored), group.average):
      own, base = ([np.stack([task.correct[folder] for folder in of.values()]) for task, _ in score.parts] for of in (row.contrast.own, row.contrast.base))
      weights = [weight for _, weight in score.parts]
      p.append(equivalence(difference(*(ArmScores(tuple(of), tuple(weights), tuple(range(SEEDS))) for of in (own, base))), margin / 100).p)
  said = [any(note == 'within ±9 points' for note in cell.notes) for line in table.lines if line.kind == 'final' for cell in line.cells[1:]]
  assert said == (holm(np.array(p)) <= 0.05).tolist() and f'for the {len(p)} tests' in table.caption


def test_a_wide_margin_holds_all_and_every_line_has_its_seeds(folder):
  for table in changes(folder, points=99, percent=99)[:2]:
    cells = [cell for line in table.lines if line.kind == 'final' for cell in line.cells if cell.equal_p is not None]
    assert cells and all(cell.notes[-1].startswith('within ±99') and any(f'{SEEDS} seeds' in note for note in cell.notes) for cell in cells)


def test_the_noise_floor_is_that_of_the_baselines_seeds(folder):
  table, bits, content = changes(folder)
  benchmark = content.suite.groups[0].scored[0]
  base = next(arm for arm in content.arms if arm.name == 'base')
  figures = np.array([benchmark.score.value(stage) for stage in content.rows_of(base)[0].folders])
  two_runs, two_arms = (line for line in table.lines if line.cells[0].text.startswith('Noise floor'))
  for line, seeds in ((two_runs, 1), (two_arms, SEEDS)):
    assert line.cells[1].text == formatting.points(noise_floor(spread_of([figures]), seeds).difference)
    assert all(f'{SEEDS} seeds' in cell.notes[0] for cell in line.cells[1:])
  assert two_runs.kind == 'total' and [line.cells[0].text for line in bits.lines[-2:]] == [two_runs.cells[0].text, two_arms.cells[0].text]


def test_one_seed_has_no_noise_floor_and_shows_no_equality(tmp_path):
  recipes = {'base': [stage('pre', {'text': 1.0}, 8)], 'half': [stage('pre', {'text': 0.5, 'code': 0.5}, 8)]}
  folder = add_benchmarks(write_fake_study(tmp_path / 'study', recipes), {'piqa': (40, 2)})
  for table in changes(folder, points=99, percent=99)[:2]:
    assert table.lines[-1].cells[0].notes == ['not known: base has 1 seed'] and 'needs two seeds or more' in table.caption
    assert not any('within' in note for line in table.lines for cell in line.cells for note in cell.notes)


def test_a_small_difference_is_both_coloured_and_within_the_margin():
  table = Table('t', [Cell('x')], [Line([Cell('+0.1', [], 'better', p=0.001, equal_p=0.001)]), Line([Cell('+9', [], 'better', p=0.001, equal_p=0.9)])])
  small, large = (line.cells[0] for line in corrected(table, '0.5 points').lines)
  assert (small.mark, small.notes) == ('better', ['within ±0.5 points']) and (large.mark, large.notes) == ('better', [])


@pytest.mark.parametrize('margin', [0.0, -1.0, 100.0, float('nan'), float('inf'), True, '1'])
def test_a_margin_out_of_its_range_is_refused(margin):
  with pytest.raises(UserError, match='points'):
    Margins(points=margin)


def test_results_are_the_frames_of_the_report(folder):
  frames = codemix.results(folder)
  assert frames.stages.equals(codemix.load_results(folder)) and frames.scores.equals(codemix.load_scores(folder)) and frames.claims.empty
  found = frames.changes.set_index(['arm', 'metric'])
  assert set(found.index.get_level_values('metric')) == {'held_out/text', 'held_out/code', 'tasks/piqa', 'tasks/boolq', 'group/NL reasoning'}
  assert (found.against == 'base').all() and (found.seeds == SEEDS).all() and (found.baseline_seeds == SEEDS).all()
  scores = frames.scores.query("task == 'piqa' and score == 'score'").groupby('arm').value.mean()
  assert found.value['half', 'tasks/piqa'] == pytest.approx(100 * (scores['half'] - scores['base']))
  assert (found.low < found.value).all() and (found.value < found.high).all() and set(found.unit) == {'percent', 'points'}
