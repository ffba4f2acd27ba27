"""A damaged file gives every record before its damage, says where that is, and costs what it lost."""

import bz2
import functools
import gzip
import json
import lzma
import random
import zlib

import pytest
import zstandard

from codemix.data.corpus.bad_share import BadShare
from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.layouts.text import Text
from codemix.data.corpus.readers.json_array import JsonArray
from codemix.data.corpus.readers.json_lines import JsonLines
from codemix.data.corpus.readers.posts_xml import PostsXml
from codemix.data.corpus.readers.tfrecords import TFRecords
from codemix.data.corpus.readers.whole_files import WholeFiles
from codemix.data.raw.record import BadRecord, Record
from tests.data.corpus.files import reasons, rows


def _zstd_stream(data: bytes) -> bytes:
  """As `zstd` writes what comes through a pipe: a checksum, and no size of the contents."""
  compressor = zstandard.ZstdCompressor(write_checksum=True, write_content_size=False).compressobj()
  return compressor.compress(data) + compressor.flush()


COMPRESS = {'.gz': functools.partial(gzip.compress, mtime=0), '.zst': _zstd_stream, '.bz2': bz2.compress, '.xz': lzma.compress}
ENDS = list(COMPRESS)
# Without the time: the names of tests, in which these bytes stand, must be the same in all processes of the tests.
_GZIPPED = gzip.compress(b'{"text": "a"}\n', mtime=0)
_GZIPPED_TWICE = gzip.compress(_GZIPPED, mtime=0)
WORDS = ('rain', 'stone', 'def', 'return', 'größer', '日本')


def told(count: int, seed: int = 0) -> list[dict]:
  rng = random.Random(seed)
  return [{'text': ' '.join(rng.choices(WORDS, k=rng.randint(5, 40))), 'number': n} for n in range(count)]


def lines(records) -> bytes:
  return b''.join(json.dumps(record).encode() + b'\n' for record in records)


def found_in(path, data: bytes, reader=None):
  """(good rows, broken ones) of a file with these bytes."""
  path.write_bytes(data)
  found = rows(reader or JsonLines(), str(path))
  return [row[1] for row in found if not isinstance(row, BadRecord)], [row for row in found if isinstance(row, BadRecord)]


@pytest.mark.parametrize('end', ENDS)
@pytest.mark.parametrize('last', [b'\n', b''])
def test_bytes_behind_the_end_of_a_file_cost_no_line(tmp_path, end, last):
  records = told(2000)
  stored = COMPRESS[end](lines(records)[:-1] + last)
  good, [damage] = found_in(tmp_path / f'a.jsonl{end}', stored + b'x')
  assert good == records
  assert (damage.reason, damage.lost, damage.after) == ('damaged file', 1, 2000)
  assert 'after line 2,000: its end is followed by 1 byte that is not' in damage.detail
  assert f'read up to byte {len(stored):,} of {len(stored) + 1:,} as stored' in damage.detail


@pytest.mark.parametrize('end', ENDS)
@pytest.mark.parametrize('last', [b'\n', b''])
def test_a_file_without_its_last_4_bytes_costs_no_line(tmp_path, end, last):
  records = told(2000)
  good, [damage] = found_in(tmp_path / f'a.jsonl{end}', COMPRESS[end](lines(records)[:-1] + last)[:-4])
  assert good == records
  assert (damage.reason, damage.lost) == ('damaged file', 1)
  assert 'after line 2,000: it ends too soon' in damage.detail


@pytest.mark.parametrize('end', ENDS)
def test_zeros_behind_the_end_are_padding_and_members_are_one_stream(tmp_path, end):
  records = told(2000)
  members = COMPRESS[end](lines(records[:700])) + COMPRESS[end](lines(records[700:]))
  assert found_in(tmp_path / f'a.jsonl{end}', members + bytes(5000)) == (records, [])


def _text_that_decodes(end: str, stored: bytes) -> bytes:
  """What the library of a format makes of a beginning of its bytes, fed one by one."""
  decoder = {
    '.gz': lambda: zlib.decompressobj(31),
    '.zst': lambda: zstandard.ZstdDecompressor().decompressobj(),
    '.bz2': bz2.BZ2Decompressor,
    '.xz': lzma.LZMADecompressor,
  }[end]()
  return b''.join(decoder.decompress(stored[n : n + 1]) for n in range(len(stored)))


@pytest.mark.parametrize('end', ENDS)
@pytest.mark.parametrize('share', [0.3, 0.7, 0.999])
def test_a_file_that_is_cut_gives_all_lines_that_can_be_decoded(tmp_path, end, share):
  records = told(3000)
  stored = COMPRESS[end](lines(records))
  cut = stored[: int(share * len(stored))]
  whole = _text_that_decodes(end, cut).count(b'\n')
  good, [damage] = found_in(tmp_path / f'a.jsonl{end}', cut)
  assert good == records[:whole]
  assert (damage.reason, damage.lost, damage.after) == ('damaged file', None, whole)


def test_a_zstd_frame_that_says_its_size_tells_what_is_lost(tmp_path):
  records = told(20_000)
  stored = zstandard.compress(lines(records))
  good, [damage] = found_in(tmp_path / 'a.jsonl.zst', stored[: len(stored) // 2])
  assert good == records[: len(good)]
  assert abs(damage.lost - (20_000 - len(good))) < 0.02 * 20_000


@pytest.mark.parametrize('end', ['.gz', '.xz'])
def test_broken_bytes_in_the_middle_cost_what_follows_them(tmp_path, end):
  records = told(20_000)
  stored = bytearray(COMPRESS[end](lines(records)))
  middle = len(stored) // 2
  stored[middle : middle + 200] = random.Random(0).randbytes(200)
  good, bad = found_in(tmp_path / f'a.jsonl{end}', bytes(stored))
  before = _text_that_decodes(end, bytes(stored[:middle])).count(b'\n')
  assert good[:before] == records[:before]
  assert bad[-1].reason == 'damaged file'
  # Deflate goes on behind them to text that is wrong, and its checksum is that of the whole.
  most = (2.0 if end == '.gz' else 1.05) * 20_000 - before
  assert 0.95 * (20_000 - before) < sum(each.lost for each in bad) < most


@pytest.mark.parametrize('end', ['.gz', '.zst'])
def test_text_that_does_not_have_its_checksum_counts_whole(tmp_path, end):
  records = told(1000)
  stored = bytearray(COMPRESS[end](lines(records[:400])) + COMPRESS[end](lines(records[400:])))
  stored[-8 if end == '.gz' else -1] ^= 1
  good, [damage] = found_in(tmp_path / f'a.jsonl{end}', bytes(stored))
  assert good == records
  assert 'its checksum does not agree' in damage.detail
  assert abs(damage.lost - 600) < 30


@pytest.mark.parametrize(
  ('name', 'data', 'reason'),
  [
    ('a.jsonl.gz', b'<!DOCTYPE html>\n<html><body>404</body></html>', 'HTML page'),
    ('a.jsonl', b'  <html lang="en"><head><title>Sign in</title></head></html>\n', 'HTML page'),
    ('a.jsonl.zst', b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', 'XML error message'),
    ('a.jsonl', b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n', 'git-LFS pointer'),
    ('a.jsonl.gz', b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n', 'git-LFS pointer'),
    ('a.jsonl', '{"text": "a"}\n'.encode('utf-16'), 'UTF-16 text'),
    ('a.jsonl', '{"text": "a"}\n'.encode('utf-16-le'), 'UTF-16 text'),
    ('a.jsonl', '{"text": "a"}\n'.encode('utf-32'), 'UTF-32 text'),
    ('a.jsonl', _GZIPPED, 'gzip data'),
    ('a.jsonl.gz', _GZIPPED_TWICE, 'gzip data'),
    ('a.jsonl', zstandard.compress(b'{"text": "a"}\n'), 'zstd data'),
    ('a.jsonl.gz', b'PK\x03\x04rest', 'zip archive'),
    ('a.jsonl.gz', b'', 'empty file'),
    ('a.jsonl.bz2', b'plain', 'damaged file'),
  ],
)
def test_a_file_that_is_another_is_named_and_its_loss_is_not_known(tmp_path, name, data, reason):
  good, [bad] = found_in(tmp_path / name, data)
  assert (good, bad.reason, bad.lost, bad.expected) == ([], reason, None, False)


@pytest.mark.parametrize(('name', 'data'), [('a.jsonl', b''), ('a.jsonl.gz', gzip.compress(b'', mtime=0)), ('a.jsonl.xz', lzma.compress(b''))])
def test_a_file_with_nothing_in_it_is_named_and_costs_nothing(tmp_path, name, data):
  good, [bad] = found_in(tmp_path / name, data)
  assert (good, bad.reason, bad.expected) == ([], 'empty file', True)


def test_a_plain_file_that_is_cut_in_its_last_line_says_so(tmp_path):
  records = told(50)
  good, [bad] = found_in(tmp_path / 'a.jsonl', lines(records)[:-10])
  assert good == records[:-1]
  assert (bad.place, bad.reason) == (f'{tmp_path}/a.jsonl:50', 'cut short')
  share = BadShare()
  share.add(bad)
  assert share.damaged == [bad]  # which `prepare` prints with their places


def test_zeros_in_place_of_lines_cost_as_many_as_they_took(tmp_path):
  records, rest = told(1000), lines(told(1000, seed=1))
  good, [bad] = found_in(tmp_path / 'a.jsonl', lines(records) + bytes(len(rest)))
  assert good == records
  assert bad.reason == 'NUL byte' and abs(bad.lost - 1000) < 50
  assert f'{len(rest):,} of its {len(rest):,} bytes are NUL' in bad.detail


# The other readers.


@pytest.mark.parametrize('end', ENDS)
def test_a_damaged_list_gives_its_elements_before_the_damage(tmp_path, end):
  records = told(5000)
  stored = COMPRESS[end](json.dumps(records).encode())
  good, [damage] = found_in(tmp_path / f'a.json{end}', stored + b'x', JsonArray())
  assert good == records and damage.lost == 1
  good, [damage] = found_in(tmp_path / f'a.json{end}', stored[: int(0.9 * len(stored))], JsonArray())
  assert good == records[: len(good)] and damage.lost is None
  assert len(good) > (0 if end == '.bz2' else 3500)
  assert damage.after == len(good)


def test_a_broken_element_costs_the_rest_of_its_list(tmp_path):
  records = told(1000)
  text = json.dumps(records).encode()
  at = text.index(b'"number": 500')
  good, [bad] = found_in(tmp_path / 'a.json', text[:at] + b'number' + text[at:], JsonArray())
  assert good == records[:500]
  assert bad.reason == 'not JSON' and abs(bad.lost - 500) < 25
  good, [bad] = found_in(tmp_path / 'a.json', text[:at], JsonArray())
  assert good == records[:500] and bad.lost is None
  good, [bad] = found_in(tmp_path / 'a.json', text[:-1], JsonArray())
  assert good == records and bad.lost == 1


def test_elements_before_bytes_that_are_not_utf_8_are_read(tmp_path):
  records = told(1000)
  text = json.dumps(records).encode()
  at = text.index(b'"number": 500')
  good, [bad] = found_in(tmp_path / 'a.json', text[:at] + b'\xff' + text[at:], JsonArray())
  assert good == records[:500]
  assert bad.reason == 'not UTF-8' and abs(bad.lost - 500) < 25


def posts(count: int) -> bytes:
  rows_ = ''.join(f'  <row Id="{n}" PostTypeId="1" Score="1" Body="&lt;p&gt;{n} {"rain " * (n % 9)}&lt;/p&gt;" Title="t{n}" />\n' for n in range(1, count + 1))
  return f'<?xml version="1.0" encoding="utf-8"?>\n<posts>\n{rows_}</posts>'.encode()


@pytest.mark.parametrize('end', ENDS)
def test_a_damaged_dump_gives_its_questions_before_the_damage(tmp_path, end):
  stored = COMPRESS[end](posts(5000))
  good, [damage] = found_in(tmp_path / f'Posts.xml{end}', stored + b'x', PostsXml())
  assert [row['id'] for row in good] == list(range(1, 5001)) and damage.lost == 1
  good, [damage] = found_in(tmp_path / f'Posts.xml{end}', stored[:-4], PostsXml())
  assert [row['id'] for row in good] == list(range(1, 5001)) and damage.lost == 1
  good, [damage] = found_in(tmp_path / f'Posts.xml{end}', stored[: len(stored) // 2], PostsXml())
  assert [row['id'] for row in good] == list(range(1, len(good) + 1))
  assert (damage.lost, damage.after) == (None, len(good))
  assert good or end == '.bz2'


def test_a_whole_file_is_kept_where_only_bytes_behind_it_are_wrong(tmp_path):
  (tmp_path / 'code').mkdir()
  for name, stored in {'whole.py.gz': b'', 'trailing.py.gz': b'x'}.items():
    (tmp_path / 'code' / name).write_bytes(gzip.compress(b'print(1)\n') + stored)
  (tmp_path / 'code/cut.py.gz').write_bytes(gzip.compress(b'print(1)\n')[:-9])
  (tmp_path / 'code/pointer.py').write_bytes(b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n')
  found = rows(WholeFiles(), str(tmp_path / 'code'))
  assert [row[1]['id'] for row in found if not isinstance(row, BadRecord)] == ['trailing.py.gz', 'whole.py.gz']
  assert reasons(found) == {'trailing.py.gz': 'damaged file', 'cut.py.gz': 'damaged file', 'pointer.py': 'git-LFS pointer'}


@pytest.mark.parametrize('end', ['', '.gz'])
def test_a_damaged_tfrecord_file_gives_its_records_before_the_damage(tmp_path, end):
  import tensorflow as tf

  path = tmp_path / f'a.tfrecord{end}'
  with tf.io.TFRecordWriter(str(path), 'GZIP' if end else '') as writer:
    for record in told(1000):
      text = tf.train.Feature(bytes_list=tf.train.BytesList(value=[record['text'].encode()]))
      writer.write(tf.train.Example(features=tf.train.Features(feature={'text': text})).SerializeToString())
  stored = path.read_bytes()
  wanted = [{'text': record['text'].encode()} for record in told(1000)]
  good, [damage] = found_in(path, stored[: len(stored) // 2], TFRecords())
  assert good == wanted[: len(good)] and len(good) > 400
  assert damage.after == len(good) and damage.lost is None
  if not end:
    broken = bytearray(stored)
    broken[len(stored) // 2] ^= 1
    good, [damage] = found_in(path, bytes(broken), TFRecords())
    assert good == wanted[: len(good)] and abs(len(good) + damage.lost - 1000) < 30


# What it costs.


def read(files: dict, tmp_path, split='train', **settings) -> tuple[list[str], BadShare]:
  for name, data in files.items():
    (tmp_path / name).write_bytes(data)
  corpus = Corpus({'train': '*.gz'}, root=str(tmp_path), layout=Text(), **settings)
  share = BadShare()
  items = [item for piece in corpus.pieces(split) for item in corpus.records(piece, split, share)]
  return [item.text for item in items if isinstance(item, Record)], share


def test_a_cut_file_is_taken_for_as_long_as_the_whole_ones(tmp_path):
  whole = gzip.compress(lines(told(1000)))
  _, share = read({'a.gz': whole, 'b.gz': whole, 'c.gz': whole[: len(whole) // 5]}, tmp_path)
  assert (share.total, share.files) == (3000, 3)
  assert share.broken == 1000 - share.unknown[0]


def test_a_cut_file_without_others_is_taken_for_cut_in_its_middle(tmp_path):
  texts, share = read({'a.gz': gzip.compress(lines(told(1000)))[:-50]}, tmp_path)
  assert (share.broken, share.total) == (len(texts), 2 * len(texts))


def test_a_file_of_which_nothing_is_left_costs_as_much_as_the_others(tmp_path):
  whole = gzip.compress(lines(told(1000)))
  _, share = read({'a.gz': whole, 'b.gz': b'<html></html>'}, tmp_path)
  assert (share.broken, share.total) == (1000, 2000)


def test_what_is_set_apart_is_held_to_the_share_of_the_whole_corpus(tmp_path):
  data = lines(told(800)) + b'broken\n' * 200
  shares = [read({'a.gz': gzip.compress(data)}, tmp_path, split, validation_share=0.1)[1] for split in ('train', 'validation')]
  assert [(share.broken, share.total) for share in shares] == [(200, 1000), (200, 1000)]
