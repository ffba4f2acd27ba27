"""What is planned by arithmetic is what reading row by row comes to."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.batches.source import Cursor
from codemix.data.batches.source_use import plan_uses
from codemix.data.batches.stage_rows import StageRows
from codemix.data.order.row_schedule import constant_shares
from codemix.errors import UserError
from tests.data.stores import BOS, make_store

LENGTH = 16
SEED = 3


@pytest.fixture(scope='module')
def sources(tmp_path_factory) -> dict[str, PreparedSource]:
  """Three sources of 15, 38 and 6 rows, whose documents differ in length."""
  root = tmp_path_factory.mktemp('sources')
  lengths = {'short': [3, 5, 8] * 15 + [4], 'long': [100, 210, 300], 'few': [33, 66]}
  return {
    name: PreparedSource(name, make_store(root / name, tokens, seed=len(name)), LENGTH, BOS)
    for name, tokens in lengths.items()
  }


def shares(*parts: int) -> dict[str, Fraction]:
  return {name: Fraction(part, sum(parts)) for name, part in zip(('short', 'long', 'few'), parts, strict=False)}


stages = st.tuples(
  st.lists(st.integers(1, 9), min_size=1, max_size=3),
  st.integers(1, 120),
  st.dictionaries(st.sampled_from(['short', 'long', 'few']), st.integers(0, 90)),
)


def plan(sources, stage) -> tuple[list, StageRows]:
  parts, rows, cursors = stage
  before = {name: Cursor(cursor, cursor, cursor) for name, cursor in cursors.items()}
  segments = constant_shares(shares(*parts), rows)
  uses = plan_uses(sources, shares(*parts), segments, before, SEED)
  return uses, StageRows(sources, uses, segments, SEED)


@settings(max_examples=60, deadline=None)
@given(stages)
def test_the_plan_is_what_reading_every_row_comes_to(sources, stage):
  uses, rows = plan(sources, stage)
  which, _, row = rows.locate(0, len(rows))
  for index, use in enumerate(uses):
    read = [sources[use.source].row(r) for r in row[which == index].tolist()]
    assert use.rows == len(read)
    assert use.loss_tokens == sum(int(r['weights'].sum()) for r in read)
    assert use.documents == sum(int((r['inputs'] == BOS).sum()) for r in read)
    assert use.unique_tokens == len(set(row[which == index].tolist())) * LENGTH


@settings(max_examples=60, deadline=None)
@given(stages, st.data())
def test_a_row_is_found_by_its_position_alone(sources, stage, data):
  _, rows = plan(sources, stage)
  start = data.draw(st.integers(0, len(rows)))
  stop = data.draw(st.integers(start, len(rows)))
  for part, whole in zip(rows.locate(start, stop), rows.locate(0, len(rows)), strict=True):
    np.testing.assert_array_equal(part, whole[start:stop])


@settings(max_examples=30, deadline=None)
@given(stages)
def test_a_row_is_found_wherever_the_stage_reads_it(sources, stage):
  _, rows = plan(sources, stage)
  which, epochs, row = rows.locate(0, len(rows))
  for source in range(len(rows.names)):
    for wanted in range(len(rows.sources[source])):
      at = np.flatnonzero((which == source) & (row == wanted)).tolist()
      assert rows.rows_that_read(source, wanted) == [(int(epochs[i]), i) for i in at]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60))
def test_two_stages_read_what_one_of_both_would_have_read(sources, first, second):
  share = {'long': Fraction(1)}
  begin = plan_uses(sources, share, constant_shares(share, first), {}, SEED)
  after = {'long': Cursor().after(first)}
  goes_on = plan_uses(sources, share, constant_shares(share, second), after, SEED)
  whole = plan_uses(sources, share, constant_shares(share, first + second), {}, SEED)
  located = lambda uses, rows: np.stack(
    StageRows(sources, uses, constant_shares(share, rows), SEED).locate(0, rows)
  )
  np.testing.assert_array_equal(
    np.concatenate([located(begin, first), located(goes_on, second)], axis=1), located(whole, first + second)
  )


def test_a_rewind_goes_back_to_the_first_row_and_forgets_no_repetition(sources):
  share = {'few': Fraction(1)}
  first, second = Cursor().after(9), Cursor().after(9).rewound()
  [use] = plan_uses(sources, share, constant_shares(share, 4), {'few': second}, SEED)
  assert (use.cursor, use.rows_cumulative) == (0, 13)
  assert use.epochs_cumulative == pytest.approx(13 / 6)
  assert use.unique_tokens_cumulative == 6 * LENGTH  # every row was read before
  [onward] = plan_uses(sources, share, constant_shares(share, 4), {'few': first}, SEED)
  assert (onward.cursor, onward.rows_cumulative) == (9, 13)


def test_the_cap_on_epochs_holds_over_the_run_rewound_or_not(sources):
  share = {'few': Fraction(1)}
  for before in (Cursor().after(9), Cursor().after(9).rewound()):
    plan = lambda rows, before=before: plan_uses(
      sources, share, constant_shares(share, rows), {'few': before}, SEED, max_epochs=2.0, where='here'
    )
    plan(3)
    with pytest.raises(UserError, match="here draws 4 rows of 'few', which makes 2.17 epochs.*leaves 3 rows"):
      plan(4)


def test_a_source_that_fills_no_row_is_refused(tmp_path):
  tiny = PreparedSource('tiny', make_store(tmp_path, [5, 6]), LENGTH, BOS)
  with pytest.raises(UserError, match=r"here: 'tiny' fills no row of 16 tokens \(it has 11\)"):
    tiny.require_row('here')
