"""A JSON list is read element by element, in memory that does not grow with it."""

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.corpus.readers import json_array
from codemix.data.corpus.readers.json_array import JsonArray
from codemix.data.raw.record import BadRecord
from tests.data.corpus.files import gzip_lines, reasons, rows, write_bytes

VALUE = st.recursive(
  st.one_of(st.none(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
  lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
  max_leaves=8,
)


@given(
  elements=st.one_of(st.lists(VALUE, max_size=8), st.dictionaries(st.text(max_size=4), VALUE, max_size=8)),
  block=st.integers(1, 40),
  indent=st.sampled_from([None, 1]),
  ascii=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_the_elements_are_those_of_the_whole(tmp_path_factory, elements, block, indent, ascii):
  path = tmp_path_factory.mktemp('array') / 'a.json'
  text = json.dumps(elements, indent=indent, ensure_ascii=ascii)
  path.write_bytes(text.encode('utf-8', 'replace'))
  whole = json.loads(path.read_bytes())
  values = whole if isinstance(whole, list) else [
    {'key': key, **value} if isinstance(value, dict) else value for key, value in whole.items()
  ]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(json_array, 'BLOCK_BYTES', block)
    found = rows(JsonArray(), str(path))
  assert len(found) == len(values)
  for row, value in zip(found, values, strict=True):
    if isinstance(value, dict):
      assert row[1] == value
    else:
      assert row.reason == 'not an object'


def test_a_real_list_is_read(shared_data):
  path = shared_data / 'corpora/code/cosqa/cosqa-dev.json'
  assert [row for _, row in rows(JsonArray(), str(path))] == json.loads(path.read_text())


@pytest.mark.parametrize(
  ('text', 'reason', 'good'),
  [
    (b'[{"a": 1}, {"a": 2', 'not JSON', 1),
    (b'[{"a": 1} {"a": 2}]', 'not JSON', 1),
    (b'[{"a": 1}, {"a": "\xff"}]', 'not UTF-8', 1),
    (b'{"a": 1}\n{"a": 2}\n', 'not JSON', 0),
    (b'"text"', 'not JSON', 0),
    (b'', 'empty file', 0),
    (b'[' * 100_000, 'not JSON', 0),
  ],
)
def test_what_follows_a_broken_element_is_set_aside(tmp_path, text, reason, good):
  path = write_bytes(tmp_path / 'a.json', text)
  found = rows(JsonArray(), path)
  assert reason in reasons(found).values()
  assert len([row for row in found if not isinstance(row, BadRecord)]) == good


def test_json_lines_are_told_from_a_list(tmp_path):
  path = write_bytes(tmp_path / 'a.json', b'{"a": {}}\n{"a": {}}\n')
  assert 'JsonLines' in rows(JsonArray(), path)[-1].detail


def test_an_element_longer_than_allowed_ends_the_file(tmp_path):
  path = write_bytes(tmp_path / 'a.json.gz', b'[{"a": 1}, {"a": "' + b'x' * 10_000_000 + b'"}]')
  found = rows(JsonArray(max_record_bytes=2**20), path)
  assert [row[1] for row in found[:-1]] == [{'a': 1}]
  assert found[-1].reason == 'not JSON' and 'no element ends' in found[-1].detail


def test_memory_does_not_grow_with_the_file(shared_data, tmp_path):
  records = gzip_lines(shared_data / 'corpora/text/c4/validation.jsonl.gz')
  texts = ','.join(json.dumps(record) for record in records)
  path = write_bytes(tmp_path / 'a.json', f'[{",".join([texts] * 100)}]'.encode())
  tracemalloc.start()
  count = sum(1 for piece in JsonArray().pieces([path]) for _ in JsonArray().rows(piece))
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert count == 100 * len(records)
  assert peak < 12 * 2**20
