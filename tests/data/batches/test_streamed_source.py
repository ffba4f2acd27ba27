"""A streamed source gives what a prepared one would, in the order of its documents."""

import dataclasses
import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.batches.source import Cursor
from codemix.data.batches.source_use import SourceUse, plan_uses
from codemix.data.batches.stage_rows import StageRows
from codemix.data.batches.streamed_source import EpochSize, StreamedSource
from codemix.data.order.row_schedule import constant_shares
from codemix.errors import UserError
from tests.data.stores import BOS, make_store

LENGTH = 16
NOT_READ = Cursor()


def streamed(store, name='x', max_epochs=100.0) -> StreamedSource:
  begins = np.concatenate([[0], store.document_ends[:-1]]).tolist()
  documents = lambda: (
    store.read(begin, end) for begin, end in zip(begins, store.document_ends.tolist(), strict=True)
  )
  return StreamedSource(name, documents, {}, LENGTH, BOS, max_epochs)


def assert_same(row, other) -> None:
  assert row.keys() == other.keys()
  for key in row:
    np.testing.assert_array_equal(row[key], other[key])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=30).filter(lambda n: sum(n) >= LENGTH), st.integers(0, 50))
def test_rows_of_every_epoch_are_those_of_the_store_from_any_start(tmp_path_factory, lengths, start):
  store = make_store(tmp_path_factory.mktemp('store'), lengths, shards=1)
  source = PreparedSource('x', store, LENGTH, BOS)
  rows = streamed(store).rows(start)
  for number, row in zip(range(start, start + 2 * len(source)), rows, strict=False):
    assert_same(row, source.row(number % len(source)))


def test_a_resumed_stage_reads_what_an_uninterrupted_one_reads(tmp_path):
  sources = {
    name: streamed(make_store(tmp_path / name, lengths, seed=len(name)), name)
    for name, lengths in {'short': [3, 5, 8] * 40, 'long': [100, 210, 300]}.items()
  }
  shares = {'short': Fraction(2, 3), 'long': Fraction(1, 3)}
  segments = constant_shares(shares, 8 * 9)
  uses = plan_uses(sources, shares, segments, {'long': Cursor().after(7)}, seed=0)
  assert [use.rows for use in uses] == [48, 24]
  assert [use.documents for use in uses] == [None, None]
  rows = StageRows(sources, uses, segments, seed=0)
  everything = np.arange(8)
  whole = list(rows.in_order(8, range(9), everything))
  resumed = list(rows.in_order(8, range(5, 9), everything))
  for batch, other in zip(whole[5:], resumed, strict=True):
    assert_same(batch, other)
  # Two processes together read what one does.
  for batch, even, odd in zip(
    whole, rows.in_order(8, range(9), everything[::2]), rows.in_order(8, range(9), everything[1::2]), strict=True
  ):
    assert_same({k: v[::2] for k, v in batch.items()}, even)
    assert_same({k: v[1::2] for k, v in batch.items()}, odd)
  assert np.bincount(np.concatenate([batch['source'] for batch in whole])).tolist() == [48, 24]


def test_a_source_read_oftener_than_allowed_stops_the_run(tmp_path):
  store = make_store(tmp_path, [16] * 4)
  assert len(list(itertools.islice(streamed(store, max_epochs=2.0).rows(0), 8))) == 8
  with pytest.raises(UserError, match="'x' has 4 rows and would be read more than 2 times"):
    list(itertools.islice(streamed(store, max_epochs=2.0).rows(0), 9))


def plan(source: StreamedSource, rows: int, before: Cursor = NOT_READ, where: str = '') -> tuple[list[SourceUse], StageRows]:
  segments = constant_shares({'x': Fraction(1)}, rows)
  uses = plan_uses(
    {'x': source}, {'x': Fraction(1)}, segments, {'x': before}, seed=0, max_epochs=source.max_epochs, where=where
  )
  return uses, StageRows({'x': source}, uses, segments, seed=0)


def read(rows: StageRows) -> list:
  return list(rows.in_order(1, range(len(rows)), np.arange(1)))


def test_what_was_drawn_before_a_rewind_counts_as_for_a_prepared_source(tmp_path):
  source = streamed(make_store(tmp_path, [16] * 4), max_epochs=2.0)
  second = Cursor().after(4).rewound()
  _, rows = plan(source, 4, second)
  assert len(read(rows)) == 4
  source.size.found(4)  # whoever reads on finds the end: the plan is refused, as that of a prepared source
  with pytest.raises(UserError, match="third draws 4 rows of 'x', which makes 3.00 epochs over the run; Recipe.max_epochs is 2"):
    plan(source, 4, second.after(4).rewound(), 'third')


def test_a_rewound_source_whose_size_was_not_known_stops_the_run_when_it_is(tmp_path):
  source = streamed(make_store(tmp_path, [16] * 4), max_epochs=2.0)
  _, rows = plan(source, 6, Cursor().after(3).rewound())
  with pytest.raises(UserError, match="'x' has 4 rows and would be read more than 2 times .*with 3 rows drawn before it was rewound"):
    read(rows)


def test_the_size_of_a_source_is_known_to_later_runs_and_changes_no_ledger(tmp_path):
  store = make_store(tmp_path / 'store', [16] * 4)
  keep = lambda: dataclasses.replace(streamed(store, max_epochs=1.0), size=EpochSize(tmp_path / 'size.json'))
  before, _ = plan(keep(), 3)
  with pytest.raises(UserError, match='read more than 1 times'):
    list(itertools.islice(keep().rows(0), 5))
  with pytest.raises(UserError, match='makes 1.25 epochs'):
    plan(keep(), 5)
  assert plan(keep(), 3)[0] == before


def test_a_source_without_a_row_is_refused(tmp_path):
  with pytest.raises(UserError, match="'x' fills no row of 16 tokens"):
    next(streamed(make_store(tmp_path, [7])).rows(0))
