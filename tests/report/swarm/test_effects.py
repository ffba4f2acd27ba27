"""What is said of the share of code is so, on a swarm with known effects."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from codemix import cli
from codemix.errors import UserError
from codemix.report.swarm.content import Content, gather
from codemix.report.swarm.effects import LEAST_RUNS, Effect
from codemix.report.swarm.files import Source, Swarm, read_swarm
from tests.report.swarm.fake_swarm import CURVED, FALLS, NOTHING, RISES, RUNS, tables, write


@pytest.fixture(scope='module')
def content(tmp_path_factory) -> Content:
  return report_of(tmp_path_factory.mktemp('swarm'), *tables())


def report_of(folder, shares: pd.DataFrame, figures: pd.DataFrame, **given) -> Content:
  return gather(read_swarm(*write(folder, shares, figures).split(','), **given), 'bits_per_byte', 'codemix report')


def effect(content: Content, name: str) -> Effect:
  return next(each for each in (*content.groups, *content.tasks) if each.name == name)


def test_every_effect_is_found_with_its_sign_and_nothing_where_there_is_none(content):
  verdicts = {each.name: each.verdict for each in content.groups}
  assert verdicts == {'HumanEval': 'falls', 'MBPP': 'falls', 'MMLU': 'rises', 'HellaSwag': 'not told apart'}
  assert all(each.permutations_agree for each in (*content.groups, *content.tasks))
  assert effect(content, NOTHING).verdict == 'not told apart' and effect(content, RISES).verdict == 'rises'


def test_the_interval_of_the_adjusted_slope_holds_the_true_change(content):
  found = effect(content, FALLS)
  assert found.main == 'groups' and set(found.slopes) == {'alone', 'groups', 'domains'}
  # The rest has an effect of its own, in proportion 0.04 for all of it.
  low, high = found.slopes['domains'].interval()
  assert low < 0.1 * (-2 - 0.2 / 5) < high
  assert high - low < 0.03


def test_a_curve_is_taken_where_there_is_one_and_only_there(content):
  assert {each.name: each.shape.curved for each in content.tasks} == {name: name == CURVED for name in (each.name for each in content.tasks)}
  lower, upper = effect(content, CURVED).shape.halves
  assert lower.value < 2 * upper.value < 0  # it flattens
  shape = effect(content, FALLS).shape
  assert np.ptp(np.diff(shape.value_P)) < 1e-9
  assert (shape.low_P < shape.value_P).all() and (shape.value_P < shape.high_P).all()


def test_the_halves_of_a_line_add_up_to_its_slope(content):
  found, designs = effect(content, FALLS), content.designs
  assert sum(half.value for half in found.shape.halves) == pytest.approx(found.slope.value / 0.1 * (designs.high - designs.low))


def test_a_group_is_the_mean_of_its_tasks(content):
  group = effect(content, 'MMLU')
  assert group.tasks == (RISES, 'mmlu_art:rc')
  assert group.slope.value == pytest.approx(np.mean([effect(content, task).slope.value for task in group.tasks]))


def test_a_run_that_moves_the_slope_is_named(tmp_path):
  shares, figures = tables()
  most = int(shares[['stack-edu:Python', 'stack-edu:Markdown']].sum(axis=1).argmax())
  figures.loc[most, NOTHING] += 3
  found = effect(report_of(tmp_path, shares, figures), NOTHING).influence
  assert found.run == f'r{most:03}' and found.low == found.without < found.high


def test_missing_figures_leave_out_runs_with_words(tmp_path):
  shares, figures = tables()
  figures.loc[:9, NOTHING] = math.nan
  figures.loc[LEAST_RUNS - 1 :, RISES] = math.nan
  figures['nothing:rc'] = math.nan
  figures['constant:rc'] = 1.0
  content = report_of(tmp_path, shares, figures)
  said = ' '.join(content.left_out)
  assert effect(content, NOTHING).runs == RUNS - 10
  assert f'Of the tasks: 1 have no figure of some runs, which are left out of them: {NOTHING} (10 runs).' in said
  assert f'Of the tasks: 2 left out with figures of fewer than {LEAST_RUNS} runs: {RISES} ({LEAST_RUNS - 1}), nothing:rc (0).' in said
  assert 'the same in all runs: constant:rc' in said
  # A group needs all of its tasks.
  assert 'MMLU' not in {each.name for each in content.groups} and 'fewer than 20 runs: MMLU' in said


def test_the_same_runs_without_a_task_give_the_same_effect(tmp_path):
  shares, figures = tables()
  gone = figures.copy()
  gone.loc[:9, NOTHING] = math.nan
  some = effect(report_of(tmp_path / 'a', shares, gone), NOTHING).slopes['alone']
  all_gone = effect(report_of(tmp_path / 'b', shares.iloc[10:], figures.iloc[10:]), NOTHING).slopes['alone']
  assert (some.value, some.error) == pytest.approx((all_gone.value, all_gone.error))


def test_a_figure_that_the_shares_give_exactly_makes_no_claim(tmp_path):
  shares, figures = tables()
  figures['exact:rc'] = 3 - shares['stack-edu:Python'] - shares['stack-edu:Markdown']
  found = effect(report_of(tmp_path, shares, figures), 'exact:rc')
  assert found.slope.value == pytest.approx(-0.1) and math.isnan(found.p) and found.verdict == 'not told apart'


def test_code_that_does_not_vary_says_nothing(tmp_path):
  shares, figures = tables()
  rest = [column for column in shares if ':' in column or column == 'wiki']
  shares[rest] = np.random.default_rng(0).dirichlet(np.ones(len(rest)), RUNS)
  code = shares[rest[:2]].sum(axis=1)
  shares[rest[:2]] = shares[rest[:2]].mul(0.2 / code, axis=0)
  shares[rest[2:]] = shares[rest[2:]].mul(0.8 / (1 - code), axis=0)
  with pytest.raises(UserError, match='every run of ratios.csv has 20% of code'):
    report_of(tmp_path, shares, figures)


def test_too_few_runs_are_not_enough(tmp_path):
  shares, figures = tables(runs=LEAST_RUNS - 1)
  with pytest.raises(UserError, match='no figure that varies over 20 runs or more'):
    report_of(tmp_path, shares, figures)


def test_an_adjustment_for_more_than_the_runs_allow_is_not_made_and_says_so(tmp_path):
  shares, figures = tables(runs=20)
  content = report_of(tmp_path, shares, figures)
  assert content.designs.names == ['alone', 'groups', 'domains']
  extra = shares.copy()
  for number in range(12):
    extra[f'kind{number}'] = shares['wiki'] / 12
  content = report_of(tmp_path / 'more', extra.drop(columns='wiki'), figures)
  assert content.designs.names == ['alone'] and content.designs.main.name == 'alone'
  assert any('Not adjusted for the 14 groups of other domains: 20 runs' in note for note in content.notes)
  assert any('Nothing is adjusted for' in note for note in content.notes)


def test_confounded_domains_are_told(tmp_path):
  """A task that health lowers, in mixtures that have more health where they have more code."""
  shares, figures = tables()
  code = shares['stack-edu:Python'] + shares['stack-edu:Markdown']
  rest = np.random.default_rng(5).dirichlet(np.ones(5), RUNS)
  rest[:, 1] *= np.exp(10 * code)
  names = ['web:games', 'health', 'pdf:law', 'pdf:art', 'wiki']
  moved = shares.drop(columns='web:health').assign(**{'web:games': 0.0, 'health': 0.0})
  moved[names] = rest / rest.sum(axis=1, keepdims=True) * (1 - code.to_numpy())[:, None]
  figures[NOTHING] = 1.2 - 0.5 * (moved.health - (1 - code) * moved.health.sum() / (1 - code).sum()) + 0.03 * np.random.default_rng(6).normal(size=RUNS)
  content = report_of(tmp_path, moved, figures)
  found = effect(content, 'HellaSwag')
  assert found.verdict == 'not told apart' and found.slopes['alone'].interval()[1] < 0
  assert any('explain' in note and 'variance of the share of code' in note for note in content.notes)


def confounded_swarm(*rare_runs: Sequence[int]) -> Swarm:
  """Code raises the figure by 0.46, and does not seem to if math, of which runs with more code have more, is not adjusted for; a rare domain for each set of runs that draw on it."""
  generator = np.random.default_rng(1)
  runs = 300
  code = generator.beta(1, 8, runs)
  rest = generator.dirichlet([2, 2, 2], runs)
  rest[:, 0] += 3 * code
  rest *= ((1 - code) / rest.sum(axis=1))[:, None]
  rare = np.zeros((runs, len(rare_runs)))
  for number, members in enumerate(rare_runs):
    rare[members, number] = 0.05
  rest *= (1 - rare.sum(axis=1) / (1 - code))[:, None]
  figures = (2 - rest[:, 0] + 0.02 * generator.normal(size=runs))[:, None]
  domains = ('github', 'math', 'web', 'pdf', *(f'rare{number}' for number in range(len(rare_runs))))
  return Swarm(
    tuple(f'r{number}' for number in range(runs)), domains, ('github',), np.column_stack([code, rest, rare]),
    ('t',), figures, {'t': ['t']}, (Source('a.csv', ''), Source('b.csv', '')), (),
  )  # fmt: skip


@pytest.mark.parametrize('rare_runs', [([7],), ([7], [7]), ([7], [8]), ([7, 8, 9, 10],)], ids=str)
def test_a_domain_of_a_few_runs_does_not_take_away_the_adjustment(rare_runs):
  plain = gather(confounded_swarm(), 'bits_per_byte', '').groups[0]
  content = gather(confounded_swarm(*rare_runs), 'bits_per_byte', '')
  assert content.designs.names == ['alone', 'groups'] and content.groups[0].verdict == plain.verdict == 'rises'
  assert content.groups[0].slope.value == pytest.approx(plain.slope.value, rel=0.02)
  fewest = next(name for name in ('math', 'web', 'pdf') if any(f'taken as one with {name} in the adjustment: rare0' in note for note in content.notes))
  assert fewest and not any('Not adjusted' in note for note in content.notes)


def test_rare_domains_that_enough_runs_draw_on_together_are_one_column():
  notes = gather(confounded_swarm([1, 2, 3], [4, 5, 6]), 'bits_per_byte', '').designs.notes
  assert notes == ['2 domains that fewer than 5 runs draw on are taken as one in the adjustment: rare0, rare1.']


def test_figures_of_runs_that_do_not_identify_the_effect_are_refused(tmp_path):
  """Of the runs that have figures, none draws on code."""
  shares, figures = tables(runs=300)
  columns = [column for column in figures if ':' in column]
  figures.loc[shares[['stack-edu:Python', 'stack-edu:Markdown']].sum(axis=1) > 0, columns] = math.nan
  with pytest.raises(UserError, match='metrics.csv has no figure whose runs identify the effect of code.* 4 left out'):
    report_of(tmp_path, shares, figures)
  assert cli.main(['report', f'--from={write(tmp_path, shares, figures)}', f'--output={tmp_path / "out"}']) == 2
  assert not (tmp_path / 'out').exists()
