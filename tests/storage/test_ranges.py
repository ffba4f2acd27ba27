"""Ranges are the bytes of the file; what fits into the cache is fetched once, what does not is fetched exactly."""

from __future__ import annotations

import gc
import itertools
import random
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codemix.errors import UserError
from codemix.storage import ranges, write_bytes
from codemix.storage.ranges import open_ranges

_names = itertools.count()
SIZE = 5000


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
  monkeypatch.setattr(ranges, 'BLOCK_BYTES', 64)
  monkeypatch.setattr(ranges, 'CACHE', ranges.Cache())


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
  asked=st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, 300), st.booleans()), max_size=20),
  cache_bytes=st.sampled_from([0, 10**9]),
)
def test_a_range_is_the_bytes_of_the_file(place, asked, cache_bytes):
  data = random.Random(0).randbytes(SIZE)
  write_bytes(path := place / f'{next(_names)}.bin', data)
  file = open_ranges(path, SIZE, cache_bytes)
  for start, size, announced in asked:
    if announced:
      file.will_read(start, size)
    assert file.read(start, size) == data[start : start + size]


def test_a_file_that_fits_is_fetched_once(bucket_folder):
  write_bytes(path := bucket_folder / 'a', bytes(SIZE))
  file = open_ranges(path, SIZE, SIZE)
  for start in [*range(0, SIZE, 10)] * 2:
    file.will_read(start, 10)
    file.read(start, 10)
  assert (ranges.CACHE.fetched, ranges.CACHE.requests) == (SIZE, -(-SIZE // 64))


def test_of_a_file_that_does_not_fit_exactly_the_ranges_are_fetched(bucket_folder):
  write_bytes(path := bucket_folder / 'a', bytes(SIZE))
  first, file = (open_ranges(path, SIZE, SIZE) for _ in range(2))  # the cache is promised to the first
  assert first.kept and not file.kept
  file.will_read(100, 50)
  file.read(100, 50)
  file.read(300, 7)
  assert (ranges.CACHE.fetched, ranges.CACHE.requests) == (57, 2)


def test_the_cache_of_a_file_that_is_closed_is_free_again(bucket_folder):
  write_bytes(path := bucket_folder / 'a', bytes(SIZE))
  file = open_ranges(path, SIZE, SIZE)
  assert file.kept and not open_ranges(path, SIZE, SIZE).kept
  del file
  gc.collect()
  assert open_ranges(path, SIZE, SIZE).kept


def test_many_threads_read_a_cached_file(bucket_folder):
  data = random.Random(1).randbytes(SIZE)
  write_bytes(path := bucket_folder / 'a', data)
  file, wrong = open_ranges(path, SIZE, SIZE), []

  def read(seed):
    rng = random.Random(seed)
    for _ in range(100):
      start, size = rng.randrange(SIZE), rng.randrange(200)
      if file.read(start, size) != data[start : start + size]:
        wrong.append(start)

  threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert not wrong and ranges.CACHE.fetched <= SIZE


@pytest.mark.parametrize(('cache_bytes', 'message'), [(0, 'is gone'), (SIZE, 'is gone')])
def test_a_file_that_is_gone_is_named(bucket_folder, cache_bytes, message):
  write_bytes(path := bucket_folder / 'a', bytes(SIZE))
  file = open_ranges(path, SIZE, cache_bytes)
  path.unlink()
  with pytest.raises(UserError, match=f'{path} {message}'):
    file.read(0, 10)


def test_a_file_that_became_shorter_is_named(bucket_folder):
  write_bytes(path := bucket_folder / 'a', bytes(SIZE))
  file = open_ranges(path, SIZE, SIZE)
  write_bytes(path, bytes(100))
  with pytest.raises(UserError, match=f'{path} has become shorter'):
    file.read(90, 20)
