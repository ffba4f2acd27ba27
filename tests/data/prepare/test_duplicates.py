"""Repeats are found over all shards, a range of digests at a time, as if all were looked at together."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.filters import ExactDuplicates
from codemix.data.prepare import duplicates
from codemix.data.raw.record import Record
from tests.data.raw_corpora import corpus, data, documents, prepared, write_lines

texts = st.lists(st.lists(st.sampled_from('abcdefgh'), max_size=12), min_size=1, max_size=5)


@pytest.fixture(autouse=True)
def small(monkeypatch):
  """Blocks and ranges so small that a few documents make several."""
  monkeypatch.setattr(duplicates, 'BLOCK', 3)
  monkeypatch.setattr(duplicates, 'RANGE', 4)
  monkeypatch.setattr(duplicates, 'COPY_DOCUMENTS', 2)
  monkeypatch.setattr(duplicates, 'COPY_TOKENS', 3)


@settings(max_examples=40, deadline=None)
@given(texts)
def test_all_but_the_first_of_each_text_are_repeats(shards):
  key = lambda text: ExactDuplicates().key(Record(text))
  names = tuple(str(number) for number in range(len(shards)))
  with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    for shard, lines in zip(names, shards, strict=True):
      writer = duplicates.DigestWriter(folder, shard)
      writer.add([key(text) for text in lines[:5]])
      writer.add([key(text) for text in lines[5:]])
      writer.finish()
    ranges = duplicates.digest_ranges(folder, names)
    find = duplicates.FindRepeats(folder, names)
    for digests in reversed(ranges):
      find(digests)
    copy = duplicates.CopyWithoutRepeats(folder, folder, names, ranges, 'duplicates', '<u2')
    found = [copy.repeats(shard).tolist() for shard in names]
  seen: set[str] = set()
  expected = [[n for n, text in enumerate(lines) if text in seen or seen.add(text)] for lines in shards]
  assert found == expected


@settings(max_examples=25, deadline=None)
@given(texts.filter(lambda files: any(files)), st.integers(1, 4))
def test_a_store_without_duplicates_holds_each_text_once_in_the_order_of_the_corpus(files, shards):
  with tempfile.TemporaryDirectory() as name:
    write_lines(Path(name) / 'raw', files)
    source = corpus(Path(name) / 'raw', filters=(ExactDuplicates(),))
    store = prepared(data(Path(name), source, shards=shards))
    assert documents(store) == list(dict.fromkeys(text for lines in files for text in lines))
    assert store.document_bytes.tolist() == [1] * store.documents
    assert [first['tokens'][0] for first in store.manifest['golden']] == [
      store.read(begin, begin + 1)[0]
      for begin, shard in zip(np.cumsum([0] + [s['tokens'] for s in store.manifest['shards']]), store.manifest['shards'], strict=False)
      if shard['documents']
    ]
    accounts = store.manifest['accounts']
    assert sum(part['documents'] for part in accounts['languages'].values()) == store.documents
    assert accounts['filters'][-1]['before']['documents'] == sum(map(len, files))
