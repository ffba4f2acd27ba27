"""A/A studies: the code of `same_arms`, on one study each."""

from __future__ import annotations

import pytest

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
  *_, of_text, of_code, of_table = same_arms.summary([different, same])
  assert '| 2 | 1 | 50.0% |' in of_text and '| 2 | 1 | 50.0% |' in of_table
