"""Win rates: judges with known habits, and what holds for every set of verdicts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemix.evaluation.judge.verdicts import Verdict
from codemix.evaluation.judge.win_rate import win_rates

ORDERS = st.sampled_from(['first', 'second', 'tie', 'unparsed', 'not asked'])
VERDICTS = st.lists(st.builds(Verdict, st.tuples(ORDERS, ORDERS)), min_size=1, max_size=40)


def lengths(count: int, extra: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
  rng = np.random.default_rng(seed)
  return rng.integers(20, 400, count) + extra, rng.integers(20, 400, count)


def test_a_judge_that_always_says_a_gives_half():
  rates = win_rates([Verdict(('first', 'second'))] * 100, *lengths(100, 50))
  assert (rates['win_rate'], rates['tie'], rates['first_shown']) == (0.5, 1.0, 1.0)
  assert rates['win_rate_equal_length'] == pytest.approx(0.5)


def test_a_judge_that_prefers_length_is_caught_at_equal_length():
  first, second = lengths(300, 150)
  verdicts = [Verdict(('first', 'first') if a > b else ('second', 'second')) for a, b in zip(first, second, strict=True)]
  rates = win_rates(verdicts, first, second)
  assert rates['win_rate'] > 0.75 and rates['win_rate_low'] > 0.5
  assert rates['win_rate_equal_length_low'] < 0.5 < rates['win_rate_equal_length_high']
  assert rates['length_effect'] > 1


def test_a_judge_that_ignores_length_keeps_its_win_rate_at_equal_length():
  first, second = lengths(400, 150)
  rng = np.random.default_rng(1)
  verdicts = [Verdict(('first', 'first') if won else ('second', 'second')) for won in rng.random(400) < 0.7]
  rates = win_rates(verdicts, first, second)
  assert abs(rates['win_rate_equal_length'] - rates['win_rate']) < 0.06
  assert rates['win_rate_equal_length_low'] > 0.5


def test_intervals_hold_the_true_rate_as_often_as_they_say():
  rng = np.random.default_rng(0)
  inside, equal_inside, draws = 0, 0, 300
  for _ in range(draws):
    won = rng.random(80) < 0.65
    rates = win_rates([Verdict(('first', 'first') if w else ('second', 'second')) for w in won], *lengths(80, 0, int(rng.integers(1e6))))
    inside += rates['win_rate_low'] <= 0.65 <= rates['win_rate_high']
    equal_inside += rates['win_rate_equal_length_low'] <= 0.65 <= rates['win_rate_equal_length_high']
  assert inside / draws > 0.92 and equal_inside / draws > 0.91


@given(VERDICTS, st.integers(0, 99))
def test_exchanging_the_models_exchanges_win_and_loss(verdicts, seed):
  first, second = lengths(len(verdicts), 30, seed)
  other = {'first': 'second', 'second': 'first'}
  exchanged = [Verdict(tuple(other.get(order, order) for order in reversed(v.orders))) for v in verdicts]
  rates, mirrored = win_rates(verdicts, first, second), win_rates(exchanged, second, first)
  assert rates['judged'] == mirrored['judged'] == sum(v.score is not None for v in verdicts)
  if rates['judged']:
    assert rates['win'] == mirrored['loss'] and rates['tie'] == mirrored['tie']
    assert rates['win_rate'] == pytest.approx(1 - mirrored['win_rate'])
    assert rates['win_rate_equal_length'] == pytest.approx(1 - mirrored['win_rate_equal_length'], abs=1e-6)
    assert rates['win'] + rates['loss'] + rates['tie'] == pytest.approx(1)
    for name in ('win', 'loss', 'tie', 'win_rate', 'win_rate_equal_length'):
      assert 0 <= rates[f'{name}_low'] <= rates[name] + 1e-12 and rates[name] <= rates[f'{name}_high'] + 1e-12 <= 1 + 1e-9
