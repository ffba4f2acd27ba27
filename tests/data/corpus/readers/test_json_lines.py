"""JSON lines: each line is a row or is set aside by its number, in bounded memory, in any division."""

import json
import tracemalloc

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.corpus.readers.json_lines import JsonLines
from codemix.data.raw.protocols import Piece
from codemix.data.raw.record import BadRecord
from tests.data.corpus.files import compressed, gzip_lines, reasons, rows, write_bytes, write_lines

ENDS = ['', '.gz', '.zst']

LINE = st.one_of(
  st.just(b''),
  st.binary(max_size=40).map(lambda data: data.replace(b'\n', b'')),
  st.text(max_size=30).map(lambda text: json.dumps({'text': text}).encode()),
  st.text(max_size=30).map(lambda text: json.dumps({'text': text}, ensure_ascii=False).encode('utf-8', 'replace')),
)


@given(lines=st.lists(LINE, max_size=30), last=st.booleans(), piece_bytes=st.integers(1, 300))
@settings(max_examples=200, deadline=None)
def test_the_pieces_of_a_file_give_what_the_whole_gives(tmp_path_factory, lines, last, piece_bytes):
  path = tmp_path_factory.mktemp('lines') / 'a.jsonl'
  path.write_bytes(b'\n'.join(lines) + (b'\n' if last else b''))
  whole = list(JsonLines(max_line_bytes=60).rows(Piece(str(path))))
  assert rows(JsonLines(max_line_bytes=60, piece_bytes=piece_bytes), str(path)) == whole


@given(lines=st.lists(LINE, max_size=30), piece_bytes=st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_pieces_are_a_partition_into_whole_lines(tmp_path_factory, lines, piece_bytes):
  path = tmp_path_factory.mktemp('lines') / 'a.jsonl'
  data = b'\n'.join(lines)
  path.write_bytes(data)
  pieces = JsonLines(piece_bytes=piece_bytes).pieces([str(path)])
  ends = [piece.stop for piece in pieces]
  assert [piece.start for piece in pieces] == [0, *ends[:-1]] and ends[-1] is None
  for piece in pieces[1:]:
    assert data[piece.start - 1 : piece.start] == b'\n'
    assert piece.line == 1 + data.count(b'\n', 0, piece.start)


@pytest.mark.parametrize('end', ENDS)
def test_a_real_corpus_is_the_same_in_each_form_and_place(shared_data, tmp_path, end):
  told = gzip_lines(shared_data / 'corpora/text/c4/validation.jsonl.gz')
  path = write_lines(tmp_path / f'c4.jsonl{end}', told)
  found = rows(JsonLines(piece_bytes=50_000), path)
  assert [row for _, row in found] == told
  assert [place for place, _ in found] == [f'{path}:{line}' for line in range(1, len(told) + 1)]
  remote = f'memory://bucket-of-lines/c4.jsonl{end}'
  with fsspec.open(remote, 'wb') as file:
    file.write((tmp_path / f'c4.jsonl{end}').read_bytes())
  assert [row for _, row in rows(JsonLines(piece_bytes=50_000), remote)] == told


@pytest.mark.parametrize('end', ENDS)
def test_each_kind_of_broken_line_is_named_and_the_rest_is_read(tmp_path, end):
  lines = [
    b'{"text": "first"}',
    b'{"text": "cut',
    b'',
    b'{"text": "bad \xff\xfe utf-8"}',
    b'{"text": "surrogate \xed\xa0\x80"}',
    b'["a list"]',
    b'{"text": "a \0 raw NUL"}',
    b'\0\0\0\0',
    b'[' * 100_000,
    b'{"text": "long ' + b'x' * 200_000 + b'"}',
    b'{"number": ' + b'9' * 5000 + b'}',
    b'   \t ',
    b'{"text": "an escaped \\u0000 is text"}\r',
    b'{"text": "last, without newline"}',
  ]
  path = write_bytes(tmp_path / f'a.jsonl{end}', b'\n'.join(lines))
  found = rows(JsonLines(max_line_bytes=150_000), path)
  name = f'a.jsonl{end}'
  assert reasons(found) == {
    f'{name}:2': 'not JSON',
    f'{name}:4': 'not UTF-8',
    f'{name}:5': 'not UTF-8',
    f'{name}:6': 'not an object',
    f'{name}:7': 'NUL byte',
    f'{name}:8': 'NUL byte',
    f'{name}:9': 'not JSON',
    f'{name}:10': 'too long',
    f'{name}:11': 'not JSON',
  }
  good = [row[1]['text'] for row in found if not isinstance(row, BadRecord)]
  assert good == ['first', 'an escaped \0 is text', 'last, without newline']


def test_a_mark_of_the_byte_order_is_no_part_of_the_first_line(tmp_path):
  path = write_bytes(tmp_path / 'a.jsonl', b'\xef\xbb\xbf{"text": "first"}\n')
  assert [row for _, row in rows(JsonLines(), path)] == [{'text': 'first'}]


@pytest.mark.parametrize('end', ENDS)
def test_a_line_of_200_megabytes_is_passed_over_in_bounded_memory(tmp_path, end):
  path = tmp_path / f'a.jsonl{end}'
  with fsspec.open(str(path), 'wb', compression='infer') as file:
    file.write(b'{"text": "before"}\n{"text": "')
    for _ in range(200):
      file.write(b'long' * 2**18)
    file.write(b'"}\n{"text": "behind"}\n')
  reader = JsonLines(max_line_bytes=2**20, piece_bytes=2**20)
  tracemalloc.start()
  found = rows(reader, str(path))
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert reasons(found) == {f'{path.name}:2': 'too long'}
  assert [row for row in found if not isinstance(row, BadRecord)] == [
    (f'{path}:1', {'text': 'before'}),
    (f'{path}:3', {'text': 'behind'}),
  ]
  assert peak < 80 * 2**20


@pytest.mark.parametrize('end', ['.gz', '.zst'])
def test_the_rows_before_damage_are_kept_and_the_rest_is_named(tmp_path, end):
  told = [{'text': f'{number} ' * 50} for number in range(5000)]
  whole = compressed(end, b''.join(json.dumps(record).encode() + b'\n' for record in told))
  path = tmp_path / f'a.jsonl{end}'
  path.write_bytes(whole[: len(whole) // 2])
  *found, damage = rows(JsonLines(), str(path))
  assert damage.reason == 'damaged file'
  assert reasons([*found, damage]) == {path.name: 'damaged file'}
  assert [row for _, row in found] == told[: len(found)]


@given(data=st.binary(max_size=300), end=st.sampled_from(ENDS), stored=st.booleans())
@settings(max_examples=200, deadline=None)
def test_no_bytes_whatever_raise(tmp_path_factory, data, end, stored):
  path = tmp_path_factory.mktemp('any') / f'a.jsonl{end}'
  path.write_bytes(data if stored else compressed(end, data))
  for row in rows(JsonLines(max_line_bytes=100, piece_bytes=64), str(path)):
    assert isinstance(row, BadRecord) or isinstance(row[1], dict)
