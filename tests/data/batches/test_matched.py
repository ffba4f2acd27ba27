"""Matched sources have epochs of one length, whatever they hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemix.data.batches.matched import companions, epoch_rows
from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.batches.source import Cursor
from codemix.errors import UserError
from tests.data.stores import BOS, make_store

NAMES = 'abcdef'
sizes = st.fixed_dictionaries({name: st.integers(1, 99) for name in NAMES})
groups = st.permutations(NAMES).flatmap(lambda names: st.integers(1, 5).map(lambda cut: (tuple(names[:cut]), tuple(names[cut:]))))


@given(groups, sizes)
def test_an_epoch_has_the_rows_of_the_smallest_of_its_group(groups, sizes):
  found = epoch_rows(groups, sizes)
  for group in groups:
    assert {found[name] for name in group} == {min(sizes[name] for name in group)}
  assert found == epoch_rows([group[::-1] for group in groups], sizes)


@given(groups, st.sets(st.sampled_from(NAMES)))
def test_companions_complete_the_groups_that_are_drawn_from(groups, drawn):
  names = sorted(drawn)
  needed = {name for group in groups if drawn & set(group) for name in group}
  assert {*names, *companions(groups, names)} == needed | drawn
  assert not drawn & set(companions(groups, names))
  assert epoch_rows(groups, dict.fromkeys(needed | drawn, 7)) == dict.fromkeys(needed, 7)


def test_a_member_without_a_row_is_named():
  with pytest.raises(UserError, match=r"'b' fills no row, and Data.matched reads a, b only as far"):
    epoch_rows([('a', 'b')], {'a': 5, 'b': 0})


@pytest.fixture
def source(tmp_path) -> PreparedSource:
  store = make_store(tmp_path / 's', [7, 30, 1, 12, 25, 9, 16] * 3)
  return PreparedSource('s', store, 8, BOS)


def test_a_bounded_source_is_the_beginning_of_the_whole_one(source):
  bounded = dataclasses.replace(source, most_rows=10)
  assert (len(bounded), bounded.epoch_rows, bounded.stored_rows) == (10, 10, 37)
  for row in range(10):
    for key, values in source.row(row).items():
      np.testing.assert_array_equal(bounded.row(row)[key], values)
  every = np.arange(10)
  assert bounded.document_starts(every) == source.document_starts(every) == bounded.documents_drawn(0, 10, seed=0)
  assert bounded.documents_drawn(0, 25, seed=0) == bounded.documents_drawn(0, 20, 0) + bounded.documents_drawn(20, 25, 0)


def test_what_is_not_read_is_counted_as_cropped(source):
  counts = dataclasses.replace(source, most_rows=10).counts(Cursor(), Cursor().after(25), seed=0)
  assert counts['source_rows'] == 10 and counts['epochs'] == 2.5 and counts['unique_tokens'] == 80
  assert counts['cropped_tokens'] == source.tokens - 80


def test_another_bound_is_another_source_and_one_that_bounds_nothing_is_not(source):
  bounded = lambda rows: dataclasses.replace(source, most_rows=rows).fingerprint
  assert bounded(None) == bounded(37) == bounded(99) == source.store.digest
  assert len({bounded(10), bounded(11), source.fingerprint}) == 3
