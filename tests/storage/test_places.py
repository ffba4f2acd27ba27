"""What codemix asks of storage holds on a disk and in a bucket alike."""

from __future__ import annotations

import pytest

from codemix import storage
from codemix.errors import UserError
from codemix.storage.checksums import checksums, sizes
from codemix.storage.lines import open_lines, read_lines
from codemix.storage.whole import local_copy, move


def test_a_file_is_read_as_it_was_written_last(place):
  path = place / 'below' / 'x.json'
  for value in ({'step': 1}, {'step': 2}):
    storage.write_json(path, value)
    assert storage.read_json(path, {'step': int}) == value
  assert path.exists() and path.is_file() and (place / 'below').is_dir()
  assert [found.name for found in place.iterdir()] == ['below'] and list(place.glob('*/x.json')) == [path]
  with local_copy(path) as copy, open(copy, 'rb') as file:
    assert file.read() == path.read_bytes()


def test_a_missing_file_is_named(place):
  with pytest.raises(UserError, match=f'{place}/x.json does not exist'):
    storage.read_json(place / 'x.json')


def test_removing_takes_a_folder_with_all_that_is_in_it_and_nothing_else(place):
  for name in ('a/x', 'a/b/y', 'ab', 'c/z'):
    storage.write_text(place / name, name)
  storage.remove(place / 'a')
  storage.remove(place / 'a')  # again
  storage.remove(place / 'c' / 'z')
  assert [path.name for path in place.glob('*') if path.is_file()] == ['ab'] and not (place / 'a').exists()


def test_a_moved_file_is_in_one_place(place):
  storage.write_text(place / 'a', 'text')
  storage.make_folder(place / 'kept')
  move(place / 'a', place / 'kept' / 'a')
  assert (place / 'kept' / 'a').read_text() == 'text' and not (place / 'a').exists()


def test_a_probe_of_a_folder_leaves_nothing(place):
  storage.require_writable(place / 'out', 1000)
  assert not list((place / 'out').glob('*'))


def test_lines_are_read_as_they_were_appended(place):
  for part in (('1', '2'), ('3',)):
    lines = open_lines(place / 'm.jsonl')
    lines.append(part)
    lines.close()
  assert read_lines(place / 'm.jsonl') == b'1\n2\n3\n' and read_lines(place / 'n.jsonl') is None


def test_checksums_tell_every_change(place):
  for name in ('a', 'b/c'):
    storage.write_text(place / 'x' / name, f'text of {name}')
  whole = checksums(place / 'x')
  assert list(whole) == ['a', 'b/c'] and whole['a'][0] == len('text of a')
  assert checksums(place / 'x', whole) == whole and sizes(place / 'x', ['a', 'b/c', 'd']) == {name: size for name, (size, _) in whole.items()}
  storage.write_text(place / 'x' / 'a', 'text of b')
  changed = checksums(place / 'x', whole)
  assert changed['a'] != whole['a'] and changed['b/c'] == whole['b/c']
  storage.remove(place / 'x' / 'a')
  assert list(checksums(place / 'x', whole)) == ['b/c']


def test_checksums_of_a_bucket_hold_for_its_copy_on_a_disk_and_back(bucket_folder, tmp_path):
  for name in ('a', 'b/c'):
    storage.write_text(bucket_folder / name, f'text of {name}')
    storage.write_text(tmp_path / name, f'text of {name}')
  assert checksums(tmp_path, checksums(bucket_folder)) == checksums(bucket_folder)
  assert checksums(bucket_folder, checksums(tmp_path)) == checksums(tmp_path)


def test_a_bucket_that_does_not_exist_is_named(bucket):
  with pytest.raises(UserError, match='gs://no-such-bucket/x cannot be written: its bucket does not exist'):
    storage.write_text(storage.as_path('gs://no-such-bucket/x'), 'text')
