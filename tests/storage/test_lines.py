"""Append-only lines are those that were made durable, whatever process was killed, on a disk and in a bucket."""

from __future__ import annotations

import itertools
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codemix.errors import CodemixError
from codemix.storage import lines as module
from codemix.storage import whole
from codemix.storage.lines import open_lines, read_lines

_names = itertools.count()
# What a process does: appends so many lines, makes them durable, is killed and followed by one that drops what is after a number.
ACTIONS = st.lists(
  st.one_of(
    st.tuples(st.just('append'), st.integers(1, 5)), st.tuples(st.just('flush'), st.just(0)), st.tuples(st.just('restart'), st.integers(0, 30))
  ),
  max_size=25,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS, part_bytes=st.sampled_from([4, 16, 10**6]))
def test_lines_are_those_of_a_list(place, actions, part_bytes):
  path = place / f'{next(_names)}.jsonl'
  with mock.patch.object(module, 'PART_BYTES', part_bytes):
    lines, model, durable = open_lines(path), [], 0
    for action, count in actions:
      if action == 'append':
        first = model[-1] + 1 if model else 1
        model += range(first, first + count)
        lines.append(str(number) for number in range(first, first + count))
      elif action == 'flush':
        lines.flush()
        durable = len(model)
      else:
        found = [int(line) for line in (read_lines(path) or b'').split()]
        assert found == model[: len(found)] and len(found) >= durable
        lines = open_lines(path, lambda line, place, last=count: int(line) <= last)
        model = [number for number in found if number <= count]
        durable = len(model)
    lines.close()
  assert [int(line) for line in (read_lines(path) or b'').split()] == model


def test_half_a_line_at_the_end_is_dropped(place):
  path = place / 'm.jsonl'
  open_lines(path).close()
  target = path if path.exists() else path.with_name('m.jsonl.000000')
  whole.write_bytes(target, b'1\n2\n3')
  lines = open_lines(path)
  lines.append(['4'])
  lines.close()
  assert read_lines(path) == b'1\n2\n4\n'


def test_lines_that_could_not_be_put_are_not_kept_for_later(bucket_folder, monkeypatch):
  path = bucket_folder / 'm.jsonl'
  lines = open_lines(path)
  lines.append(['1'])
  lines.flush()

  def away(*_):
    raise CodemixError('away')

  with monkeypatch.context() as patch:
    patch.setattr(module, 'write_bytes', away)
    patch.setattr(module, 'PUT_EVERY_S', 0.0)
    with pytest.raises(CodemixError, match='away'):
      lines.append(['2'])  # the caller appends it again
  lines.append(['2'])
  lines.close()
  assert read_lines(path) == b'1\n2\n'


def test_a_long_file_is_put_in_parts_of_limited_size(bucket_folder, monkeypatch):
  monkeypatch.setattr(module, 'PART_BYTES', 100)
  lines = open_lines(bucket_folder / 'm.jsonl')
  for number in range(200):
    lines.append([f'{number:04d}'])
    lines.flush()
  lines.close()
  parts = sorted(path for path in bucket_folder.iterdir())
  assert len(parts) == 10 and all(path.stat().st_size == 100 for path in parts)
