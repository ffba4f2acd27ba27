"""Parquet: rows by row group, only the columns asked for, and damage confined to where it is."""

import tracemalloc

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.sources.parquet import Parquet
from codemix.data.sources.record import BadRecord
from codemix.errors import UserError
from tests.data.sources.files import gzip_lines, reasons, rows


def write(path, records, group=100, **options):
  pq.write_table(pa.Table.from_pylist(records), path, row_group_size=group, **options)
  return str(path)


@given(count=st.integers(0, 40), group=st.integers(1, 15), piece_bytes=st.integers(1, 2000))
@settings(max_examples=40, deadline=None)
def test_the_pieces_give_all_rows_in_order(tmp_path_factory, count, group, piece_bytes):
  told = [{'content': f'text {number} ' * 5, 'id': number} for number in range(count)]
  table = pa.Table.from_pylist(told, pa.schema([('content', pa.string()), ('id', pa.int64())]))
  path = tmp_path_factory.mktemp('parquet') / 'a.parquet'
  pq.write_table(table, path, row_group_size=group)
  found = rows(Parquet(piece_bytes=piece_bytes), str(path))
  if not told:
    assert reasons(found) == {'a.parquet': 'empty file'}
    return
  assert [row for _, row in found] == told
  assert [place for place, _ in found] == [f'{path}:row {number}' for number in range(1, count + 1)]


def test_a_real_corpus_in_the_columns_of_the_stack(shared_data, tmp_path):
  records = gzip_lines(shared_data / 'corpora/code/card2code/magic.jsonl.gz')[:300]
  told = [{'content': record['text'], 'max_stars_repo_name': 'magic'} for record in records]
  path = write(tmp_path / 'a.parquet', [{**row, 'size': 1, 'ext': 'java'} for row in told])
  reader = Parquet(columns=('content', 'max_stars_repo_name'), piece_bytes=1)
  assert len(reader.pieces([path])) == 3
  assert [row for _, row in rows(reader, path)] == told
  with fsspec.open('memory://bucket-of-parquet/a.parquet', 'wb') as file:
    file.write((tmp_path / 'a.parquet').read_bytes())
  assert [row for _, row in rows(reader, 'memory://bucket-of-parquet/a.parquet')] == told


def test_a_column_that_is_not_there_is_named_with_the_nearest(tmp_path):
  path = write(tmp_path / 'a.parquet', [{'content': 'a', 'size': 1}])
  with pytest.raises(UserError, match=r"'contents', but .*a.parquet has content, size. Did you mean 'content'"):
    rows(Parquet(columns=('contents',)), path)


def test_a_string_that_is_no_utf_8_costs_its_row_only(tmp_path):
  stored = pa.array([b'one', b'bad \xff', b'three'])
  table = pa.table({'content': stored.view(pa.string())})
  pq.write_table(table, tmp_path / 'a.parquet')
  found = rows(Parquet(), f'{tmp_path}/a.parquet')
  assert reasons(found) == {'a.parquet:row 2': 'not UTF-8'}
  assert [row[1]['content'] for row in found if not isinstance(row, BadRecord)] == ['one', 'three']


def test_a_broken_page_costs_its_row_group_only(tmp_path):
  told = [{'content': f'{number} ' * 200} for number in range(300)]
  path = write(tmp_path / 'a.parquet', told, compression='zstd', write_page_checksum=True)
  second = pq.ParquetFile(path).metadata.row_group(1).column(0)
  begin = second.dictionary_page_offset or second.data_page_offset
  data = bytearray((tmp_path / 'a.parquet').read_bytes())
  data[begin : begin + 200] = bytes(200)
  (tmp_path / 'a.parquet').write_bytes(data)
  found = rows(Parquet(), path)
  assert reasons(found) == {'a.parquet': 'damaged file'}
  assert [row[1] for row in found if not isinstance(row, BadRecord)] == told[:100] + told[200:]


@pytest.mark.parametrize('cut', [0, 5, 200])
def test_a_file_without_its_end_is_set_aside(tmp_path, cut):
  path = write(tmp_path / 'a.parquet', [{'content': 'a' * 500}])
  (tmp_path / 'a.parquet').write_bytes((tmp_path / 'a.parquet').read_bytes()[:cut])
  assert reasons(rows(Parquet(), path)) == {'a.parquet': 'damaged file'}


def test_memory_does_not_grow_with_the_number_of_row_groups(tmp_path):
  def peak(groups):
    path = tmp_path / f'{groups}.parquet'
    table = pa.table({'content': [f'{number} ' * 1000 for number in range(100)]})
    with pq.ParquetWriter(path, table.schema) as writer:
      for _ in range(groups):
        writer.write_table(table)
    tracemalloc.start()
    reader = Parquet()
    count = sum(1 for piece in reader.pieces([str(path)]) for _ in reader.rows(piece))
    most = tracemalloc.get_traced_memory()[1] + pa.default_memory_pool().bytes_allocated()
    tracemalloc.stop()
    assert count == groups * 100
    return most

  peak(2)
  assert peak(40) < 1.5 * peak(4)
