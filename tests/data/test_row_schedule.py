from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.row_schedule import RowSchedule, apportion, row_order

counts_of = st.lists(st.integers(0, 400), min_size=1, max_size=12).filter(any)


@settings(max_examples=200)
@given(counts_of)
def test_every_prefix_is_within_one_row_of_every_share(counts):
  order = row_order(counts)
  rows = np.arange(1, len(order) + 1)
  for source, count in enumerate(counts):
    off_by = np.cumsum(order == source) * len(order) - rows * count  # in rows, times len(order)
    assert np.abs(off_by).max() < len(order)


@given(counts_of)
def test_the_order_holds_each_source_as_often_as_it_was_given(counts):
  assert np.bincount(row_order(counts), minlength=len(counts)).tolist() == counts


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(1, 10_000))
def test_apportioned_rows_sum_exactly_and_are_within_one_of_the_share(parts, rows):
  shares = {str(i): Fraction(part, sum(parts)) for i, part in enumerate(parts)}
  counts = apportion(shares, rows)
  assert sum(counts.values()) == rows
  assert all(abs(counts[source] - share * rows) < 1 for source, share in shares.items())


def test_apportion_gives_the_rows_left_over_to_the_largest_remainders():
  # Exact shares of 10 rows: 4.5, 3.3, 2.2. One row is left after 4, 3 and 2.
  shares = {'a': Fraction(45, 100), 'b': Fraction(33, 100), 'c': Fraction(22, 100)}
  assert apportion(shares, 10) == {'a': 5, 'b': 3, 'c': 2}


@settings(max_examples=50)
@given(counts_of, st.data())
def test_draws_found_by_position_are_those_counted_from_the_start(counts, data):
  schedule = RowSchedule([count * 40 for count in counts])  # several blocks
  start = data.draw(st.integers(0, len(schedule)))
  stop = data.draw(st.integers(start, min(len(schedule), start + 50)))
  sources, ordinals = schedule.draws(start, stop)
  drawn = np.bincount(schedule.order[:start], minlength=len(counts))
  assert schedule.drawn_before(start).tolist() == drawn.tolist()
  for source, ordinal in zip(sources, ordinals, strict=True):
    assert ordinal == drawn[source]
    drawn[source] += 1
