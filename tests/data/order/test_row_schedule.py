from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.order.row_schedule import RowSchedule, apportion, constant_shares, rows_of_each
from codemix.data.order.targets import Segment, constant

counts_of = st.lists(st.integers(0, 400), min_size=1, max_size=12).filter(any)


@st.composite
def changing_shares(draw) -> tuple[Segment, ...]:
  """Segments with steps and slopes, whose shares may be nothing for a while."""
  sources = draw(st.integers(1, 8))
  parts = st.lists(st.integers(0, 50), min_size=sources, max_size=sources).filter(any)
  shares = parts.map(lambda p: tuple(Fraction(x, sum(p)) for x in p))
  segment = st.builds(Segment, st.integers(1, 80), shares, shares)
  steps = shares.flatmap(lambda s: st.integers(1, 80).map(lambda rows: Segment(rows, s, s)))
  return tuple(draw(st.lists(segment | steps, min_size=1, max_size=4)))


def rows_wanted(segments, source: int) -> np.ndarray:
  """float64 [rows]: the integral of a source's share up to the end of each row of a stage."""
  parts = []
  for segment in segments:
    begin, end = float(segment.begin[source]), float(segment.end[source])
    parts.append(begin + (end - begin) * (np.arange(segment.rows) + 0.5) / max(segment.rows, 1))
  return np.cumsum(np.concatenate(parts))


def assert_within_one_row(schedule: RowSchedule, segments) -> None:
  for source in range(len(segments[0].begin)):
    drawn = np.cumsum(schedule.order == source)
    assert (abs(drawn - rows_wanted(segments, source)) < 1 + 1e-9).all()


@settings(max_examples=200)
@given(counts_of)
def test_every_prefix_is_within_one_row_of_every_share(counts):
  assert_within_one_row(RowSchedule(constant(counts)), constant(counts))


@settings(max_examples=100, deadline=None)
@given(changing_shares())
def test_every_prefix_is_within_one_row_of_shares_that_change(segments):
  schedule = RowSchedule(segments)
  assert_within_one_row(schedule, segments)
  assert rows_of_each(segments) == schedule.counts.tolist()


@given(counts_of)
def test_the_order_holds_each_source_as_often_as_it_was_given(counts):
  schedule = RowSchedule(constant(counts))
  assert np.bincount(schedule.order, minlength=len(counts)).tolist() == counts == schedule.counts.tolist()
  assert rows_of_each(constant(counts)) == counts


def test_the_order_of_released_data_never_changes():
  # Part of the data's identity: if this fails, NUMERICS must rise and old runs cannot be resumed.
  assert RowSchedule(constant([5, 3, 2])).order.tolist() == [0, 1, 0, 2, 0, 1, 0, 1, 0, 2]


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
  assert rows_of_each(constant_shares(shares, 10)) == [5, 3, 2]


@settings(max_examples=50, deadline=None)
@given(counts_of, st.data())
def test_draws_found_by_position_are_those_counted_from_the_start(counts, data):
  schedule = RowSchedule(constant([count * 40 for count in counts]))  # several blocks
  start = data.draw(st.integers(0, len(schedule)))
  stop = data.draw(st.integers(start, min(len(schedule), start + 50)))
  sources, ordinals = schedule.draws(start, stop)
  drawn = np.bincount(schedule.order[:start], minlength=len(counts))
  assert schedule.drawn_before(start).tolist() == drawn.tolist()
  for row, source, ordinal in zip(range(start, stop), sources, ordinals, strict=True):
    assert ordinal == drawn[source]
    assert schedule.row_of(source, ordinal) == row
    drawn[source] += 1
