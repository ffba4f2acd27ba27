import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data import token_store
from codemix.data.token_store import open_store, verify_store
from codemix.errors import UserError
from tests.data.stores import make_store

lengths = st.lists(st.integers(1, 40), min_size=1, max_size=20)


@settings(max_examples=30, deadline=None)
@given(lengths, st.integers(1, 5), st.data())
def test_any_span_reads_the_same_as_the_whole_stream(tmp_path_factory, lengths, shards, data):
  store = make_store(tmp_path_factory.mktemp('store'), lengths, shards=shards)
  whole = store.read(0, store.tokens)
  start = data.draw(st.integers(0, store.tokens))
  stop = data.draw(st.integers(start, store.tokens))
  assert store.read(start, stop).tolist() == whole[start:stop].tolist()


@settings(max_examples=30, deadline=None)
@given(lengths, st.integers(1, 5))
def test_documents_end_where_their_last_token_is(tmp_path_factory, lengths, shards):
  store = make_store(tmp_path_factory.mktemp('store'), lengths, shards=shards)
  stream = store.read(0, store.tokens)
  assert (stream[store.document_ends - 1] == 2).all()
  assert sorted(np.diff(store.document_ends, prepend=0)) == sorted(lengths)
  assert (store.document_bytes == 2 * np.diff(store.document_ends, prepend=0)).all()


def test_a_token_type_holds_the_largest_id():
  assert token_store.token_dtype(2**16) == np.dtype('<u2')
  assert token_store.token_dtype(2**16 + 1) == np.dtype('<u4')


@pytest.mark.parametrize('name', ['tokens-00001-of-00002.bin', 'documents-00000-of-00002.npy'])
def test_one_flipped_bit_is_found_at_open(tmp_path, name):
  make_store(tmp_path, [30] * 10)
  path = tmp_path / name
  data = bytearray(path.read_bytes())
  data[-3] ^= 1
  path.write_bytes(data)
  with pytest.raises(UserError, match=f'damaged at .*{name}'):
    open_store(tmp_path)


def test_a_large_store_is_verified_whole_when_asked(tmp_path, monkeypatch):
  monkeypatch.setattr(token_store, 'FULL_CHECK_BYTES', 0)  # as if it were too large to re-read at open
  make_store(tmp_path, [30] * 10)
  path = tmp_path / 'tokens-00001-of-00002.bin'
  data = bytearray(path.read_bytes())
  data[-3] ^= 1
  path.write_bytes(data)
  store = open_store(tmp_path)
  with pytest.raises(UserError, match='damaged'):
    verify_store(store)


def test_changed_first_tokens_are_found_even_in_a_large_store(tmp_path, monkeypatch):
  monkeypatch.setattr(token_store, 'FULL_CHECK_BYTES', 0)
  make_store(tmp_path, [30] * 10)
  path = tmp_path / 'tokens-00000-of-00002.bin'
  data = bytearray(path.read_bytes())
  data[0] ^= 1
  path.write_bytes(data)
  with pytest.raises(UserError, match='first tokens have changed'):
    open_store(tmp_path)


def test_a_missing_or_short_shard_is_named(tmp_path):
  make_store(tmp_path, [30] * 10)
  path = tmp_path / 'tokens-00001-of-00002.bin'
  path.write_bytes(path.read_bytes()[:-2])
  with pytest.raises(UserError, match='tokens-00001-of-00002.bin: it has 298 bytes'):
    open_store(tmp_path)
  path.unlink()
  with pytest.raises(UserError, match='tokens-00001-of-00002.bin: it is missing'):
    open_store(tmp_path)


def test_a_store_of_another_tokenizer_is_refused_with_what_differs(tmp_path):
  make_store(tmp_path, [30])
  with pytest.raises(UserError, match="task: 'other' expected"):
    open_store(tmp_path, {'task': 'other'})


def test_a_damaged_manifest_is_an_error_for_people(tmp_path):
  make_store(tmp_path, [30])
  (tmp_path / 'manifest.json').write_text('{"format": 1, ')
  with pytest.raises(UserError, match='manifest.json is damaged'):
    open_store(tmp_path)
