import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.batches.prepared_source import PreparedSource
from tests.data.stores import BOS, EOS, make_store

LENGTH = 16
lengths = st.lists(st.integers(1, 50), min_size=2, max_size=25).filter(lambda n: sum(n) >= LENGTH)


def rows_of(store):
  source = PreparedSource('s', store, LENGTH, BOS)
  return source, [source.row(i) for i in range(len(source))]


@settings(max_examples=60, deadline=None)
@given(lengths)
def test_the_targets_of_all_rows_are_the_stream(tmp_path_factory, lengths):
  store = make_store(tmp_path_factory.mktemp('s'), lengths)
  source, rows = rows_of(store)
  targets = np.concatenate([row['targets'] for row in rows])
  assert targets.tolist() == store.read(0, len(source) * LENGTH).tolist()
  assert 0 <= store.tokens - len(source) * LENGTH < LENGTH


@settings(max_examples=60, deadline=None)
@given(lengths)
def test_each_input_is_the_token_before_its_target_in_the_same_document_else_bos(tmp_path_factory, lengths):
  store = make_store(tmp_path_factory.mktemp('s'), lengths)
  stream = store.read(0, store.tokens)
  starts = set(np.append(0, store.document_ends[:-1]).tolist())
  _, rows = rows_of(store)
  inputs = np.concatenate([row['inputs'] for row in rows])
  expected = [BOS if i in starts else stream[i - 1] for i in range(len(inputs))]
  assert inputs.tolist() == expected


@settings(max_examples=60, deadline=None)
@given(lengths)
def test_segments_tell_documents_apart_and_positions_restart_in_each(tmp_path_factory, lengths):
  store = make_store(tmp_path_factory.mktemp('s'), lengths)
  _, rows = rows_of(store)
  document = np.searchsorted(store.document_ends, np.arange(store.tokens), side='right')
  for i, row in enumerate(rows):
    mine = document[i * LENGTH : (i + 1) * LENGTH]
    assert (row['segment_ids'] == mine - mine[0] + 1).all()
    for segment in np.unique(row['segment_ids']):
      positions = row['positions'][row['segment_ids'] == segment]
      assert positions.tolist() == list(range(len(positions)))


@settings(max_examples=60, deadline=None)
@given(lengths)
def test_every_row_has_exactly_its_length_in_loss_tokens(tmp_path_factory, lengths):
  _, rows = rows_of(make_store(tmp_path_factory.mktemp('s'), lengths))
  assert all(row['weights'].sum() == LENGTH for row in rows)


@settings(max_examples=60, deadline=None)
@given(lengths, st.data())
def test_document_starts_counts_the_bos_inputs(tmp_path_factory, lengths, data):
  source, rows = rows_of(make_store(tmp_path_factory.mktemp('s'), lengths))
  picked = data.draw(st.lists(st.integers(0, len(source) - 1), min_size=1, max_size=10))
  bos = sum(int((rows[i]['inputs'] == BOS).sum()) for i in picked)
  assert source.document_starts(np.asarray(picked)) == bos


def test_eos_is_a_target_and_never_lost_whatever_id_it_has(tmp_path):
  store = make_store(tmp_path, [5, 6, 5])
  _, rows = rows_of(store)
  assert int((rows[0]['targets'] == EOS).sum()) == 3
