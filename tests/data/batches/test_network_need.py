"""What a step needs of a bucket by arithmetic is what it is seen to fetch; on a disk it needs nothing."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from codemix.data.batches import source_use
from codemix.data.batches.network_need import network_need
from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.batches.source_use import plan_uses
from codemix.data.batches.stage_rows import StageRows
from codemix.data.order.row_schedule import constant_shares
from codemix.data.store.token_store import open_store
from codemix.storage import as_path, ranges
from tests.data.stores import BOS, make_store

LENGTH, ROWS, ONE = 1024, 32, {'a': Fraction(1)}


@pytest.fixture(scope='module')
def folder(bucket):
  """A store of 1M tokens in documents of 500, in a bucket: 31 blocks of tokens."""
  make_store(folder := as_path(f'{bucket}/network-need/a'), [500] * 2000, shards=1)
  return folder


def rows_of(source: PreparedSource) -> StageRows:
  segments = constant_shares(ONE, ROWS)
  return StageRows({'a': source}, plan_uses({'a': source}, ONE, segments, {}, 0), segments, 0)


@pytest.mark.parametrize('cache_bytes', [2**16, 2**30])  # tables alone fit, all fits
def test_the_arithmetic_is_what_is_fetched(folder, cache_bytes, monkeypatch):
  monkeypatch.setattr(ranges, 'CACHE', cache := ranges.Cache())
  monkeypatch.setattr('codemix.data.store.document_table.CACHE', cache)
  rows = rows_of(PreparedSource('a', open_store(folder, cache_bytes=cache_bytes), LENGTH, BOS))
  need = network_need(rows, ROWS)
  fetched, requests = cache.fetched, cache.requests
  rows.read(np.arange(ROWS))
  # The table is in the cache since the plan, and the tokens at which the store was opened are.
  assert need.requests == pytest.approx(cache.requests - requests, abs=5)
  assert need.bytes == pytest.approx(cache.fetched - fetched, abs=5 * ranges.BLOCK_BYTES)
  assert cache.requests > requests


def test_a_disk_needs_no_network(tmp_path):
  assert network_need(rows_of(PreparedSource('a', make_store(tmp_path / 'a', [500] * 200), LENGTH, BOS)), ROWS) is None


def test_a_process_that_is_sent_the_documents_reads_no_table(tmp_path, monkeypatch):
  source = PreparedSource('a', make_store(tmp_path / 'a', [500] * 200), LENGTH, BOS)
  segments = constant_shares(ONE, ROWS)
  [expected] = plan_uses({'a': source}, ONE, segments, {}, 0)
  sent = []
  monkeypatch.setattr('codemix.parallel.coordination.from_first', lambda compute: sent.append(compute) or [{'documents': expected.documents}])
  monkeypatch.setattr(PreparedSource, 'documents_drawn', lambda *_: pytest.fail('the table was read'))
  assert source_use.plan_uses({'a': source}, ONE, segments, {}, 0) == [expected]
  assert len(sent) == 1
