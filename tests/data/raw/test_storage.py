"""Raw files are found, opened and digested alike wherever they lie and however they are compressed."""

import gzip
import tracemalloc

import fsspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.raw import storage
from codemix.errors import UserError
from tests.data.corpus.files import compressed, write_bytes


def test_patterns_give_each_file_once_and_sorted(tmp_path):
  for name in ('b/2.jsonl', 'a/1.jsonl', 'a/3.txt', 'c.jsonl'):
    write_bytes(tmp_path / name, b'')
  found = storage.expand(['*/*.jsonl', 'a/1.jsonl', '**/c.jsonl'], str(tmp_path))
  assert found == [f'{tmp_path}/{name}' for name in ('a/1.jsonl', 'b/2.jsonl', 'c.jsonl')]


def test_the_root_is_not_put_before_absolute_patterns(tmp_path):
  path = write_bytes(tmp_path / 'a.txt', b'')
  assert storage.expand(path, '/elsewhere') == [path]


def test_a_name_with_brackets_is_a_name(tmp_path):
  path = write_bytes(tmp_path / 'a[1].txt', b'')
  assert storage.expand('a[1].txt', str(tmp_path)) == [path]


def test_each_pattern_must_match(tmp_path):
  write_bytes(tmp_path / 'a.txt', b'')
  with pytest.raises(UserError, match=r'absent-\*.txt'):
    storage.expand(['*.txt', 'absent-*.txt'], str(tmp_path))


def test_a_folder_with_the_name_of_a_file_is_not_passed_over(tmp_path):
  # Spark writes a folder `b.jsonl` of part files.
  write_bytes(tmp_path / 'a.jsonl', b'')
  (tmp_path / 'b.jsonl').mkdir()
  write_bytes(tmp_path / 'b.jsonl' / 'part-0.jsonl', b'')
  with pytest.raises(UserError, match=r"'\*.jsonl' matches a folder beside files: '.*/b.jsonl'.*write '\*\*/\*.jsonl'"):
    storage.expand_files('*.jsonl', str(tmp_path))
  assert len(storage.expand_files('**/*.jsonl', str(tmp_path))) == 2


def test_a_folder_beside_the_files_of_a_bare_star_is_told_of(tmp_path, capfd):
  write_bytes(tmp_path / 'a.jsonl', b'')
  (tmp_path / 'more').mkdir()
  assert storage.expand_files('*', str(tmp_path)) == [str(tmp_path / 'a.jsonl')]
  assert "what is in them is not read: '" in (said := capfd.readouterr().err) and '/more' in said, said


def test_an_unknown_file_system_is_named():
  with pytest.raises(UserError, match='nowhere://bucket'):
    storage.expand('nowhere://bucket/*.jsonl')


def test_files_of_another_file_system_are_found_and_read():
  memory = fsspec.filesystem('memory')
  for name in ('1.txt', '2.txt.gz', '3.txt.zst'):
    memory.pipe(f'/bucket-of-storage/{name}', compressed(name, name.encode()))
  urls = storage.expand('*.txt*', 'memory://bucket-of-storage')
  assert [url.rpartition('/')[2] for url in urls] == ['1.txt', '2.txt.gz', '3.txt.zst']
  assert [storage.open_raw(url).read() for url in urls] == [b'1.txt', b'2.txt.gz', b'3.txt.zst']


@given(parts=st.lists(st.binary(max_size=5000), min_size=1, max_size=5), end=st.sampled_from(['.gz', '.zst']))
@settings(max_examples=30, deadline=None)
def test_members_and_frames_one_after_another_are_one_stream(tmp_path_factory, parts, end):
  path = tmp_path_factory.mktemp('raw') / f'a{end}'
  path.write_bytes(b''.join(compressed(end, part) for part in parts))
  with storage.open_raw(str(path)) as file:
    assert file.read() == b''.join(parts)


@pytest.mark.parametrize('end', ['.gz', '.zst'])
@pytest.mark.parametrize('lost', [1, 3, 100])
def test_a_cut_stream_is_damage_and_not_an_end(tmp_path, end, lost):
  whole = compressed(end, bytes(range(256)) * 100)
  path = tmp_path / f'a{end}'
  path.write_bytes(whole[:-lost])
  with storage.open_raw(str(path)) as file, pytest.raises(storage.DAMAGE):
    while file.read(1000):
      pass


@pytest.mark.parametrize('end', ['.gz', '.zst'])
def test_what_is_not_compressed_is_damage(tmp_path, end):
  path = tmp_path / f'a{end}'
  path.write_bytes(b'{"text": "plain"}\n')
  with storage.open_raw(str(path)) as file, pytest.raises(storage.DAMAGE):
    file.read()


@pytest.mark.parametrize('end', ['.gz', '.zst'])
def test_memory_does_not_grow_with_what_comes_out(tmp_path, end):
  path = tmp_path / f'a{end}'
  opened = gzip.open if end == '.gz' else zstandard.open
  with opened(path, 'wb') as file:
    for _ in range(200):
      file.write(bytes(2**20))
  tracemalloc.start()
  with storage.open_raw(str(path)) as file:
    total = 0
    while block := file.read(2**20):
      total += len(block)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert total == 200 * 2**20
  assert peak < 80 * 2**20


def test_a_long_window_of_zstd_is_read(tmp_path):
  parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
  data = b'some text ' * 1000
  path = tmp_path / 'a.zst'
  compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
  path.write_bytes(compressor.compress(data) + compressor.flush())
  assert storage.open_raw(str(path)).read() == data


def test_the_digest_follows_the_bytes(tmp_path):
  path = write_bytes(tmp_path / 'a.txt', b'one')
  first = storage.digest_of(path)
  assert storage.digest_of(path) == first
  write_bytes(tmp_path / 'a.txt', b'two')
  assert storage.digest_of(path) != first
  write_bytes(tmp_path / 'b.txt', b'one')
  assert storage.digest_of(f'{tmp_path}/b.txt') == first


def test_a_missing_file_is_named(tmp_path):
  for ask in (storage.open_raw, storage.size, storage.digest_of):
    with pytest.raises(UserError, match='absent'):
      ask(f'{tmp_path}/absent')


def test_reading_starts_where_it_is_told(tmp_path):
  path = write_bytes(tmp_path / 'a.txt', b'0123456789')
  assert storage.open_raw(path, 4).read() == b'456789'
