import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.store import digests, document_table, token_store, verify
from codemix.data.store.digests import seal
from codemix.data.store.token_store import open_store
from codemix.data.store.verify import verify_store, verify_whole
from codemix.errors import UserError
from codemix.identity import digest
from codemix.storage import write_json
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
  monkeypatch.setattr(verify, 'FULL_CHECK_BYTES', 0)  # as if it were too large to re-read at open
  make_store(tmp_path, [30] * 10)
  path = tmp_path / 'tokens-00001-of-00002.bin'
  data = bytearray(path.read_bytes())
  data[-3] ^= 1
  path.write_bytes(data)
  store = open_store(tmp_path)
  with pytest.raises(UserError, match='damaged'):
    verify_store(store)


def test_changed_first_tokens_are_found_even_in_a_large_store(tmp_path, monkeypatch):
  monkeypatch.setattr(verify, 'FULL_CHECK_BYTES', 0)
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


@settings(max_examples=30, deadline=None)
@given(lengths, st.data())
def test_the_digest_is_that_of_the_stream_however_it_is_divided(tmp_path_factory, lengths, data):
  rng = np.random.default_rng(0)
  documents = [(np.append(rng.integers(3, 50, n - 1), 2), 3 * n) for n in lengths]
  whole = divided(tmp_path_factory.mktemp('one'), documents, [])
  cuts = sorted(data.draw(st.lists(st.integers(0, len(lengths)), max_size=4)))
  parts = divided(tmp_path_factory.mktemp('several'), documents, cuts)
  assert parts.digest == whole.digest
  assert parts.read(0, parts.tokens).tolist() == whole.read(0, whole.tokens).tolist()
  verify_whole(open_store(parts.folder))


def divided(folder, documents, cuts):
  names = [token_store.shard_name(index, len(cuts) + 1) for index in range(len(cuts) + 1)]
  for name, begin, end in zip(names, [0, *cuts], [*cuts, len(documents)], strict=True):
    token_store.write_shard(folder, name, documents[begin:end], np.dtype('<u2'))
  return token_store.write_manifest(folder, {'task': 'x', 'split': 'train'}, names, np.dtype('<u2'))


def test_the_digest_tells_tokens_boundaries_and_bytes_apart(tmp_path, monkeypatch):
  documents = [
    [([3, 4, 2], 5), ([5, 2], 5)],
    [([3, 4, 2], 5), ([6, 2], 5)],
    [([3, 4], 5), ([2, 5, 2], 5)],
    [([3, 4, 2], 6), ([5, 2], 4)],
    [([5, 2], 5), ([3, 4, 2], 5)],
  ]
  found = [divided(tmp_path / str(n), [(np.array(ids), size) for ids, size in one], [1]).digest for n, one in enumerate(documents)]
  assert len(set(found)) == len(documents)
  monkeypatch.setattr(digests, 'READ_BYTES', 3)
  monkeypatch.setattr(document_table, 'BLOCK_ROWS', 1)
  assert divided(tmp_path / 'blocks', [(np.array(ids), size) for ids, size in documents[0]], []).digest == found[0]


def test_a_digest_that_was_edited_is_found(tmp_path):
  store = make_store(tmp_path, [30] * 4)
  write_json(tmp_path / 'manifest.json', {**store.manifest, 'digest': 'f' * 64})
  with pytest.raises(UserError, match='does not agree with itself: seal'):
    open_store(tmp_path)
  other = {**store.manifest, 'digest': 'f' * 64}
  write_json(tmp_path / 'manifest.json', {**other, 'seal': seal(other)})
  with pytest.raises(UserError, match='its digest is not that of its tokens'):
    verify_whole(open_store(tmp_path))


def test_a_store_from_before_is_opened_with_the_digest_that_it_has(tmp_path):
  store = make_store(tmp_path, [30] * 4)
  before = as_before(store)
  assert open_store(tmp_path).digest == before != store.digest
  verify_whole(open_store(tmp_path))


def as_before(store) -> str:
  """Makes the manifest one of the time when the digest was one of the files; returns that."""
  manifest = {key: value for key, value in store.manifest.items() if key != 'seal'}
  manifest['digest'] = digest([shard['sha256'] for shard in manifest['shards']])
  write_json(store.folder / 'manifest.json', manifest)
  return manifest['digest']


def test_a_damaged_manifest_is_an_error_for_people(tmp_path):
  make_store(tmp_path, [30])
  (tmp_path / 'manifest.json').write_text('{"format": 1, ')
  with pytest.raises(UserError, match='manifest.json is damaged'):
    open_store(tmp_path)
