"""A/A studies: the code of `same_arms`, on one study each."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind

from tests.inference import same_arms


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  return same_arms.prepare(tmp_path_factory.mktemp('data'))


@pytest.mark.usefixtures('one_device')
def test_arms_that_differ_are_told_apart_and_equal_ones_are_compared(data):
  different = same_arms.outcome(0, data, {'code': 1.0})
  assert different.marked and max(different.p.values()) < 0.05
  same = same_arms.outcome(0, data)
  assert set(same.p) == {'text', 'code'} and min(same.p.values()) > max(different.p.values())
  of_text, _, of_text_exact, _, of_table = list(same_arms.summary([different, same]))[1:]
  assert '| 5.0% | 2 | 1 | 50.0% |' in of_text and '| 9.0% | 2 | 1 | 50.0% |' in of_text_exact and '| 2 | 1 | 50.0% |' in of_table


def test_the_expected_rate_is_that_of_welchs_test():
  one, two = np.random.default_rng(0).normal(size=(2, 100_000, same_arms.SEEDS))
  p = ttest_ind(one, two, axis=1, equal_var=False).pvalue
  assert np.mean(p <= same_arms.LEVEL) == pytest.approx(same_arms.expected(same_arms.LEVEL), abs=0.002)
  assert np.mean(p <= same_arms.exact_level()) == pytest.approx(same_arms.LEVEL, abs=0.002)
