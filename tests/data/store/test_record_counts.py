"""Counts of shards add up, and stay small however many names there are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codemix.data.store import record_counts
from codemix.data.store.record_counts import RecordCounts, amount

amounts = st.builds(amount, st.integers(0, 9), st.integers(0, 99), st.integers(0, 99))
events = st.lists(st.tuples(st.integers(-1, 2), st.sampled_from('abc'), amounts), max_size=20)


def counted(events) -> RecordCounts:
  result = RecordCounts(('first', 'second', 'third'))
  for index, name, documents in events:
    if index < 0:
      result.keep(name, name.upper(), documents)
    else:
      result.drop(index, name, documents)
  result.records = len(events)
  return result


@given(st.lists(events, min_size=1, max_size=4))
def test_the_sum_of_the_shards_is_what_one_shard_would_say(shards):
  summed = record_counts.total(counted(events).summary() for events in shards)
  whole = counted([event for events in shards for event in events]).summary()
  for key in ('languages', 'sources'):
    assert summed[key] == whole[key]
  for ours, theirs in zip(summed['filters'], whole['filters'], strict=True):
    assert ours == theirs
  assert summed['kept'] == whole['kept'] and summed['records'] == whole['records']


@given(events)
def test_what_a_filter_leaves_is_what_the_next_sees(events):
  lines = counted(events).summary()['filters']
  for line, behind in zip(lines, lines[1:], strict=False):
    assert line['after'] == behind['before']
  total = {key: sum(each[2][key] for each in events) for key in amount()}
  assert lines[0]['before'] == total


def test_beyond_so_many_names_the_rest_is_one_and_nothing_is_lost(monkeypatch):
  monkeypatch.setattr(record_counts, 'MOST_NAMES', 3)
  shards = []
  for shard in range(3):
    counted = RecordCounts(())
    for n in range(5):
      counted.keep('en', f'repository {shard}{n}', amount(1, 10, n))
    shards.append(counted.summary())
  summed = record_counts.total(shards)
  assert len(summed['sources']) == 4 and list(summed['sources'])[-1] == record_counts.OTHERS
  assert sum(part['documents'] for part in summed['sources'].values()) == 15
  assert summed['languages']['en']['documents'] == 15
