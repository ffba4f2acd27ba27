"""A streamed source gives what a prepared one would, in the order of its documents."""

import dataclasses
import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.batches import stream
from codemix.data.batches.ledger import Cursor
from codemix.data.batches.rows import Source
from codemix.data.batches.stream import EpochSize, StreamedRows, StreamedSource
from codemix.data.order.row_schedule import constant_shares
from codemix.errors import UserError
from tests.data.stores import BOS, make_store

LENGTH = 16


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
  source = Source('x', store, LENGTH, BOS)
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
  draws = stream.plan_draws(sources, shares, segments, {'long': Cursor().after(7)}, 'stage')
  assert [draw.rows for draw in draws] == [48, 24]
  assert [draw.documents for draw in draws] == [None, None]
  rows = StreamedRows(sources, draws, segments)
  everything = np.arange(8)
  whole = list(rows.batches(8, range(9), everything))
  resumed = list(rows.batches(8, range(5, 9), everything))
  for batch, other in zip(whole[5:], resumed, strict=True):
    assert_same(batch, other)
  # Two processes together read what one does.
  for batch, even, odd in zip(
    whole, rows.batches(8, range(9), everything[::2]), rows.batches(8, range(9), everything[1::2]), strict=True
  ):
    assert_same({k: v[::2] for k, v in batch.items()}, even)
    assert_same({k: v[1::2] for k, v in batch.items()}, odd)
  assert np.bincount(np.concatenate([batch['source'] for batch in whole])).tolist() == [48, 24]


def test_a_source_read_oftener_than_allowed_stops_the_run(tmp_path):
  store = make_store(tmp_path, [16] * 4)
  assert len(list(itertools.islice(streamed(store, max_epochs=2.0).rows(0), 8))) == 8
  with pytest.raises(UserError, match="'x' has 4 rows and would be read more than 2 times"):
    list(itertools.islice(streamed(store, max_epochs=2.0).rows(0), 9))


def test_what_was_drawn_before_a_rewind_counts_as_for_a_prepared_source(tmp_path):
  source = streamed(make_store(tmp_path, [16] * 4), max_epochs=2.0)
  segments = constant_shares({'x': Fraction(1)}, 4)
  cursors = {'x': Cursor().after(4).rewound()}
  rows = StreamedRows({'x': source}, stream.plan_draws({'x': source}, {'x': Fraction(1)}, segments, cursors, 'second'), segments)
  assert len(list(rows.batches(1, range(4), np.arange(1)))) == 4
  third = {'x': cursors['x'].after(4).rewound()}
  source.size.found(4)  # whoever reads on finds the end: the plan is refused, as that of a prepared source
  with pytest.raises(UserError, match="third draws 4 rows of 'x', which makes 3.00 epochs over the run; Recipe.max_epochs is 2"):
    stream.plan_draws({'x': source}, {'x': Fraction(1)}, segments, third, 'third')


def test_a_rewound_source_whose_size_was_not_known_stops_the_run_when_it_is(tmp_path):
  source = streamed(make_store(tmp_path, [16] * 4), max_epochs=2.0)
  segments = constant_shares({'x': Fraction(1)}, 6)
  draws = stream.plan_draws({'x': source}, {'x': Fraction(1)}, segments, {'x': Cursor().after(3).rewound()}, 'second')
  with pytest.raises(UserError, match="'x' has 4 rows and would be read more than 2 times .*with 3 rows drawn before it was rewound"):
    list(StreamedRows({'x': source}, draws, segments).batches(1, range(6), np.arange(1)))


def test_the_size_of_a_source_is_known_to_later_runs(tmp_path):
  store = make_store(tmp_path / 'store', [16] * 4)
  keep = lambda: dataclasses.replace(streamed(store, max_epochs=1.0), size=EpochSize(tmp_path / 'size.json'))
  with pytest.raises(UserError, match='read more than 1 times'):
    list(itertools.islice(keep().rows(0), 5))
  with pytest.raises(UserError, match='makes 1.25 epochs'):
    stream.plan_draws({'x': keep()}, {'x': Fraction(1)}, constant_shares({'x': Fraction(1)}, 5), {}, 'first')


def test_a_source_without_a_row_is_refused(tmp_path):
  with pytest.raises(UserError, match="'x' fills no row of 16 tokens"):
    next(streamed(make_store(tmp_path, [7])).rows(0))
