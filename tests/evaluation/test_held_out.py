"""Which documents of a held-out split are scored, and their sums."""

from __future__ import annotations

import math

import numpy as np
import pytest

from codemix.data.store import token_store
from codemix.evaluation.held_out import choose, summary
from tests.data.stores import EOS

RNG = np.random.default_rng(0)
DOCUMENTS = [np.append(RNG.integers(3, 50, n), EOS) for n in RNG.integers(1, 40, 60)]


def store(folder, documents, vocab: int = 50, shards: int = 2):
  names = [token_store.shard_name(i, shards) for i in range(shards)]
  dtype = token_store.token_dtype(vocab)
  for i, name in enumerate(names):
    token_store.write_shard(folder, name, [(ids, len(ids)) for ids in documents[i::shards]], dtype)
  return token_store.write_manifest(folder, {'task': 'any', 'split': 'validation'}, names, dtype)


def texts(held_out) -> set[tuple[int, ...]]:
  ends = held_out.store.document_ends
  starts = np.append(0, ends[:-1])
  return {tuple(held_out.store.read(starts[n], ends[n]).tolist()) for n in held_out.documents}


def test_the_same_documents_are_chosen_whatever_their_order_shards_and_type_of_ids(tmp_path):
  chosen = texts(choose('text', store(tmp_path / 'one', DOCUMENTS), 10))
  assert len(chosen) == 10
  shuffled = [DOCUMENTS[i] for i in RNG.permutation(len(DOCUMENTS))]
  assert texts(choose('text', store(tmp_path / 'shuffled', shuffled, shards=5), 10)) == chosen
  assert texts(choose('text', store(tmp_path / 'wide', DOCUMENTS, vocab=2**17), 10)) == chosen


def test_more_documents_are_those_of_fewer_and_others(tmp_path):
  split = store(tmp_path / 'one', DOCUMENTS)
  chosen = [set(choose('text', split, limit).documents.tolist()) for limit in (1, 5, 30, 59)]
  assert [len(documents) for documents in chosen] == [1, 5, 30, 59]
  assert all(a < b for a, b in zip(chosen, chosen[1:], strict=False))


@pytest.mark.parametrize('limit', [None, 60, 1000])
def test_a_limit_that_leaves_nothing_out_chooses_all(limit, tmp_path):
  held_out = choose('text', store(tmp_path / 'one', DOCUMENTS), limit)
  assert held_out.whole and held_out.documents.tolist() == list(range(60))
  assert str(held_out) == '60 documents'


def test_what_is_left_out_is_said(tmp_path):
  assert str(choose('text', store(tmp_path / 'one', DOCUMENTS), 10)) == '10 of 60 documents'


def test_the_summary_holds_sums_and_their_ratios():
  nats, tokens, sizes = np.array([3.0, 5.5]), np.array([2, 3]), np.array([4, 0])
  assert summary(nats, tokens, sizes) == {
    'documents': 2, 'tokens': 5, 'bytes': 4, 'nats': 8.5, 'loss': 8.5 / 5, 'bits_per_byte': 8.5 / math.log(2) / 4
  }  # fmt: skip
