"""A table of documents finds what a sorted list finds, on a disk and in a bucket, whatever the lengths of documents."""

from __future__ import annotations

import bisect
import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codemix.data.store import document_table
from codemix.data.store.document_table import DocumentTable, table_blocks
from codemix.data.store.shard_writer import documents_file
from codemix.data.store.token_store import write_shard
from codemix.errors import UserError
from codemix.storage import ranges
from tests.storage.conftest import bucket_folder, place  # noqa: F401 (fixtures)

_names = itertools.count()
# Runs of documents of one length: ends may grow evenly, or jump.
LENGTHS = st.lists(st.tuples(st.integers(1, 40), st.sampled_from([1, 2, 50, 3000])), min_size=1, max_size=6)


def table(folder, lengths, cache_bytes=10**9) -> DocumentTable:
  name = str(next(_names))
  write_shard(folder, name, ((np.zeros(length, np.uint16), 7) for length in lengths), np.dtype('<u2'))
  return DocumentTable(folder / documents_file(name), len(lengths), sum(lengths), cache_bytes)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=LENGTHS, offset=st.integers(0, 30))
def test_a_search_is_that_of_a_sorted_list(place, runs, offset):  # noqa: F811
  lengths = [length for count, length in runs for _ in range(count)]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(document_table, '_TOGETHER', 4)
    patch.setattr(ranges, 'BLOCK_BYTES', 64)
    found = table(place, lengths)
    ends = np.cumsum(lengths).tolist()
    assert found.rows()[:, 0].tolist() == ends and len(found) == len(ends)
    assert np.concatenate(list(table_blocks(found.path, 7)))[:, 1].tolist() == [7] * len(ends)
    for token in {0, *range(offset, ends[-1] + 2, max(ends[-1] // 40, 1)), *ends}:
      found.will_search(token)
      assert found.search(token) == bisect.bisect_left(ends, token)
      assert found.search(token, 'right') == bisect.bisect_right(ends, token)


def test_a_search_in_a_bucket_reads_a_block_or_two(bucket_folder, monkeypatch):  # noqa: F811
  monkeypatch.setattr(document_table, '_TOGETHER', 64)
  monkeypatch.setattr(ranges, 'BLOCK_BYTES', 1024)
  monkeypatch.setattr(ranges, 'CACHE', ranges.Cache())
  lengths = np.random.default_rng(0).integers(1, 200, 20_000).tolist()
  found = table(bucket_folder, lengths)
  tokens = np.random.default_rng(1).integers(0, sum(lengths), 20)
  for token in tokens.tolist():
    assert found.search(token) == bisect.bisect_left(np.cumsum(lengths), token)
  assert ranges.CACHE.requests <= 5 * len(tokens)


def test_tables_that_do_not_fit_into_the_cache_are_refused(bucket_folder):  # noqa: F811
  found = table(bucket_folder, [3] * 100, cache_bytes=100)
  with pytest.raises(UserError, match='the tables of documents do not fit into the cache.*Set Data.cache_bytes higher'):
    found.search(5)
