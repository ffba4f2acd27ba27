"""Parquet: rows by row group, only the columns asked for, and damage confined to where it is."""

import dataclasses
import decimal
import tracemalloc

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.corpus.bad_share import BadShare
from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.layouts.question import Question
from codemix.data.corpus.layouts.text import Text
from codemix.data.corpus.readers.parquet import Parquet
from codemix.data.raw.record import BadRecord, Record
from codemix.errors import UserError
from tests.data.corpus.files import gzip_lines, reasons, rows


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


# Columns that are needed, and values that Python cannot hold.


def far_dates(count=3):
  """A timestamp beyond the year 9999, which no datetime of Python is."""
  return pa.array([400_000_000_000] * count, pa.timestamp('s'))


def read_corpus(path, layout):
  corpus = Corpus({'train': str(path)}, Parquet(), layout)
  corpus.check('train')
  return [item for piece in corpus.pieces('train') for item in corpus.records(piece, 'train')]


def test_a_column_that_the_layout_does_not_need_is_not_decoded(tmp_path):
  meta = pa.StructArray.from_arrays([pa.array(['a', 'b', 'c']), far_dates()], ['set', 'crawled'])
  pq.write_table(pa.table({'text': ['one', 'two', 'three'], 'date': far_dates(), 'meta': meta}), tmp_path / 'a.parquet')
  items = read_corpus(tmp_path / 'a.parquet', Text(source='meta.set'))
  assert [(item.text, item.source) for item in items] == [('one', 'a'), ('two', 'b'), ('three', 'c')]


def test_a_layout_that_does_not_say_what_it_needs_reads_all(tmp_path):
  @dataclasses.dataclass(frozen=True)
  class Own:
    def record(self, place, row):
      return Record(' '.join(row))

  pq.write_table(pa.table({'text': ['one'], 'other': ['two']}), tmp_path / 'a.parquet')
  assert [item.text for item in read_corpus(tmp_path / 'a.parquet', Own())] == ['text other']


def test_a_value_that_python_cannot_hold_costs_its_row_only(tmp_path):
  dates = pa.array([0, 400_000_000_000, 0], pa.timestamp('s'))
  pq.write_table(pa.table({'text': ['one', 'two', 'three'], 'date': dates}), tmp_path / 'a.parquet')
  found = rows(Parquet(), f'{tmp_path}/a.parquet')
  assert reasons(found) == {'a.parquet:row 2': 'no value of Python'}
  assert [row[1]['text'] for row in found if not isinstance(row, BadRecord)] == ['one', 'three']


def test_a_field_that_is_missing_is_named_with_the_nearest_of_all_columns(tmp_path):
  meta = pa.StructArray.from_arrays([pa.array(['a'])], ['set'])
  pq.write_table(pa.table({'content': ['one'], 'meta': meta}), tmp_path / 'a.parquet')
  corpus = Corpus({'train': f'{tmp_path}/a.parquet'}, Parquet(), Text('contents'))
  with pytest.raises(UserError, match="no record has the field 'contents' .*its fields are content, meta.set.* Did you mean 'content'"):
    corpus.check('train')
  with pytest.raises(UserError, match="no record has the field 'meta.sets'.* Did you mean 'meta.set'"):
    Corpus({'train': f'{tmp_path}/a.parquet'}, Parquet(), Text('content', source='meta.sets')).check('train')


@pytest.mark.parametrize(
  'column',
  [
    pa.array(['one', 'two'], pa.large_string()),
    pa.array(['one', 'two'], pa.string_view()),
    pa.array([b'one', b'two'], pa.binary()),
    pa.array([b'one', b'two'], pa.large_binary()),
    pa.array(['one', 'two']).dictionary_encode(),
  ],
  ids=lambda column: str(column.type),
)
def test_text_is_read_from_each_type_that_holds_it(tmp_path, column):
  pq.write_table(pa.table({'text': column}), tmp_path / 'a.parquet')
  assert [item.text for item in read_corpus(tmp_path / 'a.parquet', Text())] == ['one', 'two']


@pytest.mark.parametrize(
  ('column', 'id'),
  [
    (pa.array([7]), '7'),
    (pa.array([decimal.Decimal('7.50')]), '7.50'),
    (pa.array(['x']).dictionary_encode(), 'x'),
    (pa.array([b'x' * 16], pa.uuid()), '78787878-7878-7878-7878-787878787878'),
  ],
  ids=lambda value: str(getattr(value, 'type', value)),
)
def test_an_id_is_read_from_each_type_that_holds_it(tmp_path, column, id):
  pq.write_table(pa.table({'text': ['one'], 'key': column}), tmp_path / 'a.parquet')
  assert [item.id for item in read_corpus(tmp_path / 'a.parquet', Text(id='key'))] == [id]


def test_lists_of_structs_are_read_whole(tmp_path):
  answers = pa.array([[{'body': 'yes', 'score': 1}, {'body': 'no', 'score': 0}]])
  pq.write_table(pa.table({'title': ['t'], 'body': ['why?'], 'answers': answers, 'date': far_dates(1)}), tmp_path / 'a.parquet')
  [item] = read_corpus(tmp_path / 'a.parquet', Question(html=False, source=None))
  assert item.text == 'Q: t\n\nwhy?\n\nA: yes\n\nA: no'


def test_files_of_other_schemas_empty_groups_and_no_rows_do_not_matter(tmp_path):
  schema = pa.schema([('text', pa.string()), ('extra', pa.int32())])
  with pq.ParquetWriter(tmp_path / 'a.parquet', schema) as writer:
    for texts in ([], ['one'], [], ['two'], []):
      writer.write_table(pa.table({'text': texts, 'extra': [1] * len(texts)}, schema))
  pq.write_table(pa.table({'text': pa.array([], pa.string())}), tmp_path / 'b.parquet')
  pq.write_table(pa.table({'date': far_dates(1), 'text': ['three']}), tmp_path / 'c.parquet')
  pq.write_table(pa.table({'other': ['x']}), tmp_path / 'd.parquet')
  items = read_corpus(f'{tmp_path}/*.parquet', Text())
  assert [item.text for item in items if isinstance(item, Record)] == ['one', 'two', 'three']
  assert reasons(items) == {'b.parquet': 'empty file', 'd.parquet:row 1': "no field 'text'"}


def test_a_broken_row_group_costs_its_rows_and_a_lost_footer_a_file(tmp_path):
  path = write(tmp_path / 'a.parquet', [{'text': f'{number} ' * 200} for number in range(300)], compression='zstd', write_page_checksum=True)
  write(tmp_path / 'b.parquet', [{'text': 'b'}] * 300)
  column = pq.ParquetFile(path).metadata.row_group(1).column(0)
  begin = column.dictionary_page_offset or column.data_page_offset
  data = bytearray((tmp_path / 'a.parquet').read_bytes())
  data[begin : begin + 200] = bytes(200)
  (tmp_path / 'a.parquet').write_bytes(data)
  (tmp_path / 'c.parquet').write_bytes((tmp_path / 'b.parquet').read_bytes()[:-9])
  (tmp_path / 'd.parquet').write_bytes(b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n')
  corpus, share = Corpus({'train': f'{tmp_path}/*.parquet'}, Parquet()), BadShare()
  items = [item for piece in corpus.pieces('train') for item in corpus.records(piece, 'train', share)]
  assert sum(isinstance(item, Record) for item in items) == 500
  assert reasons(items) == {'a.parquet': 'damaged file', 'c.parquet': 'damaged file', 'd.parquet': 'git-LFS pointer'}
  assert [bad.lost for bad in items if isinstance(bad, BadRecord)] == [100, None, None]
  assert (share.broken, share.total) == (700, 1200)
