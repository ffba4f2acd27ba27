"""Files are whole or absent, folders have one owner, and a failed write says what to do."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from codemix import storage
from codemix.errors import UserError


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
  path = tmp_path / 'result.json'
  storage.write_json(path, {'step': 1})

  def full(descriptor):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(os, 'fsync', full)
  with pytest.raises(UserError, match=f'cannot write {path}: the disk is full.*MiB are free.*nothing saved before is lost'):
    storage.write_json(path, {'step': 2})
  assert storage.read_json(path) == {'step': 1}
  assert list(tmp_path.iterdir()) == [path]


def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path):
  path = tmp_path / 'result.json'
  storage.write_json(path, {'step': 1})
  code = (
    'import os, signal, sys; from codemix import storage\n'
    'os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n'
    'storage.write_json(sys.argv[1], {"step": 2})'
  )
  killed = subprocess.run([sys.executable, '-c', code, str(path)], check=False)
  assert killed.returncode == -signal.SIGKILL
  assert storage.read_json(path) == {'step': 1}


@pytest.mark.parametrize(
  ('number', 'says'),
  [
    (errno.EROFS, 'the file system is read-only. Choose another folder'),
    (errno.EACCES, 'permission is denied. Choose another folder'),
    (errno.EDQUOT, 'the disk quota is used up; about 3 MiB are needed'),
    (errno.ENOSPC, 'the disk is full; about 3 MiB are needed'),
  ],
)
def test_what_a_user_can_fix_is_said_in_one_line_with_the_path(number, says, tmp_path):
  with pytest.raises(UserError) as said, storage.writing(tmp_path / 'deep' / 'file', 3 << 20):
    raise OSError(number, 'x')
  assert f'cannot write {tmp_path / "deep" / "file"}: {says}' in str(said.value)
  assert '\n' not in str(said.value)


@pytest.mark.parametrize(
  ('place', 'says'),
  [
    ('file', 'a file of that name exists'),
    ('file/below', 'a part of the path is a file'),
    ('x' * 300, 'a name in it is too long'),
    ('circle', 'a file of that name exists'),
    ('circle/below', 'lead in a circle|of that name exists'),
    ('/proc/nothing/here', 'the system makes no folder there'),
  ],
)
def test_a_path_at_which_no_folder_can_be_is_named(place, says, tmp_path):
  (tmp_path / 'file').write_text('')
  (tmp_path / 'circle').symlink_to('circle')
  with pytest.raises(UserError, match=f'cannot write .*: .*({says})'):
    storage.require_writable(tmp_path / place, 1)


def test_what_a_user_cannot_fix_stays_the_error_that_it_was(tmp_path):
  with pytest.raises(OSError, match='Input/output'), storage.writing(tmp_path):
    raise OSError(errno.EIO, 'Input/output error')


def test_numbers_that_json_does_not_know_are_never_written(tmp_path):
  with pytest.raises(ValueError, match='JSON'):
    storage.write_json(tmp_path / 'x.json', {'loss': float('nan')})
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('content', [b'{"a": 1', b'\xff\xfe\x00', b''])
def test_a_damaged_file_is_named(content, tmp_path):
  path = tmp_path / 'x.json'
  path.write_bytes(content)
  with pytest.raises(UserError, match=f'{path} is damaged'):
    storage.read_json(path)


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(UserError, match=f'{tmp_path}/x.json does not exist'):
    storage.read_json(tmp_path / 'x.json')


def test_room_is_asked_for_before_it_is_needed(tmp_path):
  storage.require_writable(tmp_path / 'new', 1)
  assert list((tmp_path / 'new').iterdir()) == []  # the probe is gone
  with pytest.raises(UserError, match='MiB free, and about 1,152,921,504,607 MiB are needed'):
    storage.require_writable(tmp_path, 1_208_925_819_614_629_174)


def test_a_folder_below_a_file_cannot_be_written(tmp_path):
  (tmp_path / 'file').write_text('x')
  with pytest.raises((UserError, NotADirectoryError, FileExistsError)):
    storage.require_writable(tmp_path / 'file' / 'below', 1)


def test_a_lock_goes_with_its_process_however_it_ends(tmp_path):
  code = (
    'import sys, time; from pathlib import Path; from codemix import storage\n'
    'with storage.locked(Path(sys.argv[1]), "training"):\n'
    '  print("held", flush=True); time.sleep(60)'
  )
  holder = subprocess.Popen([sys.executable, '-c', code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
  try:
    assert holder.stdout.readline() == 'held\n'
    with pytest.raises(UserError, match=f'another process is training in {tmp_path}'), storage.locked(tmp_path, 'training'):
      pass
  finally:
    holder.kill()
    holder.wait()
    holder.stdout.close()
  with storage.locked(tmp_path, 'training'):
    pass


FORM = {'a': int, 'b': [{'c': str | None}], 'd': {...: float}}
FITS = {'a': 1, 'b': [{'c': None}, {'c': 'x', 'more': 1}], 'd': {'x': 1, 'y': 0.5}, 'more': []}


@pytest.mark.parametrize(
  ('value', 'says'),
  [
    ([], 'it is a list, not an object'),
    (None, 'it is null, not an object'),
    (7, 'it is a whole number, not an object'),
    ('x', 'it is a string, not an object'),
    ({}, 'a is missing'),
    ({**FITS, 'a': True}, 'a is true or false, not a whole number'),
    ({**FITS, 'a': 1.5}, 'a is a number, not a whole number'),
    ({**FITS, 'b': {}}, 'b is an object, not a list'),
    ({**FITS, 'b': [{'c': None}, []]}, r'b\[1\] is a list, not an object'),
    ({**FITS, 'b': [{'c': 3}]}, r'b\[0\].c is a whole number, not a string or null'),
    ({**FITS, 'd': {'x': 'y'}}, 'd.x is a string, not a number'),
  ],
)
def test_a_file_of_another_form_is_damaged_and_says_where(value, says, tmp_path):
  path = tmp_path / 'x.json'
  storage.write_json(path, FITS)
  assert storage.read_json(path, FORM) == FITS
  storage.write_json(path, value)
  with pytest.raises(UserError, match=f'^{path} is damaged: {says}. Restore it.$'):
    storage.read_json(path, FORM)


@pytest.mark.parametrize('content', ['[' * 100_000, '9' * 5000, '{"a": 1} x', '\0\0\0'])
def test_no_content_of_a_file_is_a_traceback(content, tmp_path):
  (tmp_path / 'x.json').write_text(content)
  with pytest.raises(UserError, match='x.json is damaged'):
    storage.read_json(tmp_path / 'x.json')


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
  with pytest.raises(UserError, match=f'{tmp_path} cannot be read: Is a directory'):
    storage.read_json(tmp_path)


@pytest.mark.parametrize('number', [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_used_with_a_warning(number, tmp_path, monkeypatch, capfd):
  def refuse(*arguments):
    raise OSError(number, os.strerror(number))

  monkeypatch.setattr(fcntl, 'flock', refuse)
  with storage.locked(tmp_path, 'training'):
    storage.write_json(tmp_path / 'x.json', {})
  said = capfd.readouterr().err
  assert said.count('\n') == 1 and said.startswith(f'warning: the file system of {tmp_path} has no locks')


def test_another_error_of_a_lock_stays_what_it_was(tmp_path, monkeypatch):
  def refuse(*arguments):
    raise OSError(errno.EIO, 'Input/output error')

  monkeypatch.setattr(fcntl, 'flock', refuse)
  with pytest.raises(OSError, match='Input/output'), storage.locked(tmp_path, 'training'):
    pass


@pytest.mark.parametrize('number', [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_that_cannot_sync_is_written_all_the_same(number, tmp_path, monkeypatch):
  def refuse(descriptor):
    raise OSError(number, os.strerror(number))

  monkeypatch.setattr(os, 'fsync', refuse)
  storage.write_json(tmp_path / 'x.json', {'a': 1})
  assert storage.read_json(tmp_path / 'x.json') == {'a': 1}
