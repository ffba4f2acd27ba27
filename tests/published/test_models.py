"""What is kept of the paper agrees with itself, and with what the paper says of it where that is right."""

from __future__ import annotations

import pytest

from codemix.published import models
from codemix.published.figures import FIGURES
from codemix.published.models import BY_SHARE, COLUMNS, HEADINGS, PublishedModel, by_share
from codemix.published.win_rates import TITLES, WIN_RATES

MODELS = [*(each for each in vars(models).values() if isinstance(each, PublishedModel)), *BY_SHARE.values()]
TABLE_2 = [model for model in MODELS if model.source == 'Table 2']


def test_the_papers_models_are_told_apart():
  keys = [(model.label, model.size) for model in MODELS]
  assert len(set(keys)) == len(keys) == 10 + 3 + 6 + 6 + 1
  assert {model.source for model in MODELS} == {'Table 2', 'Figure 3', 'Figure 4', 'Figure 5', 'Figure 6'}
  assert {(model.size, model.source) for model in MODELS if model.size != '470M'} == {('2.8B', 'Figure 3')}


@pytest.mark.parametrize('model', TABLE_2, ids=lambda model: model.label)
def test_the_aggregates_of_table_2_are_averages_of_its_categories(model):
  reasoning, knowledge, average, code, total = (model.scores[column] for column in COLUMNS)
  assert average == pytest.approx((reasoning + knowledge) / 2, abs=0.12)
  assert total == pytest.approx((reasoning + knowledge + code) / 3, abs=0.12)


def relative(model: PublishedModel, other: PublishedModel, column: str) -> float:
  return 100 * (model.scores[column] / other.scores[column] - 1)


@pytest.mark.parametrize(
  ('model', 'other', 'column', 'percent'),
  [
    (models.BALANCED_TO_TEXT, models.TEXT_ONLY, 'Reason.', 8.2),
    (models.CODE_TO_TEXT, models.TEXT_ONLY, 'Reason.', 8.8),
    (models.BALANCED_TO_TEXT, models.TEXT_ONLY, 'Know.', 4.2),
    (BY_SHARE[0.25], BY_SHARE[0.0], 'Reason.', 3.4),
    (BY_SHARE[1.0], BY_SHARE[0.0], 'Reason.', -18.3),
    (BY_SHARE[0.75], BY_SHARE[0.0], 'Know.', -31),
    (BY_SHARE[1.0], BY_SHARE[0.0], 'Know.', -86),
    (models.CODE_SYNTHETIC, models.CODE_MARKUP, 'Reason.', 9.0),
    (models.CODE_SYNTHETIC, models.CODE_MARKUP, 'Code', 44.9),
    (models.WITH_SYNTHETIC, models.WITHOUT_SYNTHETIC, 'Code', 41),
    (models.BALANCED_TO_TEXT_COOLED, models.BALANCED_TO_TEXT, 'Reason.', 3.6),
    (models.BALANCED_TO_TEXT_COOLED, models.BALANCED_TO_TEXT, 'Know.', 10.1),
    (models.BALANCED_TO_TEXT_COOLED, models.BALANCED_TO_TEXT, 'Code', 20),
  ],
  ids=lambda value: value.label if isinstance(value, PublishedModel) else str(value),
)
def test_the_scores_are_those_of_the_relative_numbers_in_its_text(model, other, column, percent):
  assert relative(model, other, column) == pytest.approx(percent, abs=1.0)


@pytest.mark.parametrize(
  ('small', 'large', 'percent'),
  [(models.BALANCED_ONLY, models.LARGER_BALANCED_ONLY, 30), (models.BALANCED_TO_TEXT, models.LARGER_BALANCED_TO_TEXT, 31.7), (models.CODE_TO_TEXT, models.LARGER_CODE_TO_TEXT, 33.1)],
  ids=lambda value: value.label if isinstance(value, PublishedModel) else str(value),
)
def test_larger_models_gain_in_natural_language_what_the_box_of_the_paper_says(small, large, percent):
  """Its body exchanges the last two."""
  before, after = (model.scores['Reason.'] + model.scores['Know.'] for model in (small, large))
  assert 100 * (after / before - 1) == pytest.approx(percent, abs=0.5)


def test_figure_4_is_by_share_and_by_group():
  reasoning = by_share('NL reasoning')
  assert tuple(reasoning) == (0.0, 0.25, 0.5, 0.75, 0.9, 1.0) and max(reasoning, key=reasoning.get) == 0.25
  assert by_share('Code')[1.0] == pytest.approx(0.1067) and by_share('World knowledge')[0.0] == pytest.approx(0.0913)
  assert by_share('Other benchmarks') == {}
  assert [model.arm for model in BY_SHARE.values()] == ['0% code', '25% code', '50% code', '75% code', '90% code', '100% code']


def test_a_score_that_is_not_printed_is_none():
  assert models.CODE_WEB.score('Know.') is None and models.CODE_WEB.score('Code') == pytest.approx(0.127)


@pytest.mark.parametrize('figure', FIGURES, ids=lambda figure: figure.name)
def test_every_panel_of_a_figure_is_printed_for_every_model(figure):
  assert set(figure.columns) <= set(HEADINGS)
  assert all(figure.columns == tuple(c for c in HEADINGS if c in model.scores) for model in figure.models)


def test_figures_have_names_of_their_own():
  names = [figure.name for figure in FIGURES]
  assert names == ['figure-2', 'figure-3', 'figure-5a', 'figure-5b', 'figure-6']


@pytest.mark.parametrize('pair', WIN_RATES, ids=lambda pair: f'{pair.source}: {pair.second.label}')
def test_win_rates_are_of_199_prompts(pair):
  assert pair.source in TITLES and pair.first.size == pair.second.size == '470M'
  shares = [pair.first_wins, pair.second_wins, pair.tie]
  counts = [round(share * 1.99) for share in shares]
  assert sum(counts) == 199
  assert all(share == pytest.approx(count / 1.99, abs=0.06) for share, count in zip(shares, counts, strict=True))


def test_win_rates_compare_pairs_that_differ():
  assert len({(pair.first, pair.second) for pair in WIN_RATES}) == len(WIN_RATES) == 7
  best = max(WIN_RATES, key=lambda pair: pair.second_wins - pair.first_wins if pair.source == 'Figure 8' else -100)
  assert (best.second.label, best.second_wins, best.first_wins) == ('balanced→text, cooled down', 37.7, 34.7)
