"""The order of a stage: earliest due first, and kept in a file where it is long."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings

from codemix.data.order import row_order
from codemix.data.order.targets import Segment, Targets, constant
from tests.data.order.test_row_schedule import changing_shares, counts_of


def by_queue(segments: tuple[Segment, ...]) -> list[int]:
  """The rule read literally: a source's next row joins the queue when it is allowed and the one before it is drawn."""
  targets = Targets(segments)
  one, first = targets.denominator, targets.first
  drawn = [0] * len(segments[0].begin)
  order = []
  for row in range(1, targets.rows + 1):
    allowed = [s for s, count in enumerate(drawn) if first(s, count * one + 1) <= row]
    order.append(min(allowed, key=lambda s: (first(s, (drawn[s] + 1) * one), s)))
    drawn[order[-1]] += 1
  return order


@settings(max_examples=100, deadline=None)
@given(counts_of)
def test_constant_shares_are_laid_out_by_the_rule(counts):
  assert row_order.row_order(constant(counts)).tolist() == by_queue(constant(counts))


@settings(max_examples=100, deadline=None)
@given(changing_shares())
def test_changing_shares_are_laid_out_by_the_rule(segments):
  assert row_order.row_order(segments).tolist() == by_queue(segments)


@pytest.fixture
def long_stage(monkeypatch):
  """A stage that counts as long, and what is laid out for it."""
  monkeypatch.setattr(row_order, 'KEPT_ROWS', 50)
  laid_out = []
  lay_out = row_order.lay_out
  monkeypatch.setattr(row_order, 'lay_out', lambda segments: laid_out.append(1) or lay_out(segments))
  segments = constant([40, 13, 2, 6])

  def order(folder):
    row_order.row_order.cache_clear()
    return row_order.row_order(segments, folder).tolist()

  yield order, laid_out, by_queue(segments)
  row_order.row_order.cache_clear()


def test_the_order_of_a_long_stage_is_read_from_its_file(tmp_path, long_stage):
  order, laid_out, expected = long_stage
  assert order(tmp_path / 'orders') == order(tmp_path / 'orders') == expected
  assert len(laid_out) == 1
  assert len(list((tmp_path / 'orders').iterdir())) == 1


@pytest.mark.parametrize('damage', [lambda data: data[:-2], lambda data: data[:40] + b'\1' + data[41:], lambda data: b''], ids=['short', 'changed', 'empty'])
def test_a_damaged_file_is_written_again(tmp_path, long_stage, damage):
  order, laid_out, expected = long_stage
  order(tmp_path)
  [file] = tmp_path.iterdir()
  whole = file.read_bytes()
  file.write_bytes(damage(whole))
  assert order(tmp_path) == expected
  assert file.read_bytes() == whole
  assert len(laid_out) == 2


@pytest.mark.skipif(not os.getuid(), reason='root may write everywhere')
def test_a_folder_that_may_only_be_read_is_no_obstacle(tmp_path, long_stage):
  order, _, expected = long_stage
  tmp_path.chmod(0o500)
  assert order(tmp_path / 'orders') == expected


def test_a_short_stage_has_no_file(tmp_path):
  row_order.row_order(constant([5, 3, 2]), tmp_path / 'orders')
  assert not (tmp_path / 'orders').exists()


def test_one_period_of_an_order_that_repeats_is_laid_out():
  once = row_order.row_order(constant([5, 3, 2]))
  np.testing.assert_array_equal(row_order.row_order(constant([15, 9, 6])), np.tile(once, 3))
