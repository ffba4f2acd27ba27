"""What stands in a folder's name is a name, what cannot be read is an error, and what is no file is never waited for."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from codemix.contamination.items import EvaluationSet
from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.readers.whole_files import WholeFiles
from codemix.data.raw import local_files, storage
from codemix.data.raw.record import BadRecord
from codemix.errors import UserError
from tests.data.corpus.files import read, read_good, write_lines

NOBODY = 65534
NAMES = ('run[12]', 'd [v1]', 'a*b', 'what?', '[!x]', '#1', 'x#y', '100%', 'größer', 'a b', '{x,y}', 'C:', "it's", 'Foo::Bar', 'd\r', ' d')
LATIN = os.fsdecode(b'caf\xe9')


@pytest.fixture
def place() -> Iterator[Path]:
  """A folder that every user may look into; that of a test is its user's alone."""
  folder = Path(tempfile.mkdtemp())
  folder.chmod(0o755)
  yield folder
  for path in folder.rglob('*'):
    if path.is_dir() and not path.is_symlink():
      path.chmod(0o755)
  shutil.rmtree(folder)


@pytest.fixture
def as_somebody() -> Iterator[None]:
  """The administrator may read everything: go on as somebody else."""
  if os.geteuid():
    yield
    return
  os.seteuid(NOBODY)
  yield
  os.seteuid(0)


def one(folder: Path, text: str) -> str:
  return write_lines(folder / 'part-0.jsonl', [{'text': text}])


def found(*patterns: str, root: str = '') -> list[str]:
  return [record.text for record in read_good(Corpus({'train': list(patterns)}, root=root))]


@pytest.mark.parametrize('name', NAMES)
def test_the_name_of_a_folder_is_no_pattern(name, tmp_path, monkeypatch):
  one(tmp_path / name, 'own')
  for other in ('run1', 'run2', 'd v', 'd 1', 'axb', 'whatx', 'x', 'y', 'Foo', 'd'):
    one(tmp_path / other, 'other')
  own = tmp_path / name
  assert found('*.jsonl', root=str(own)) == ['own']
  assert found('**/*.jsonl', root=f'{own}/') == ['own']
  assert found('part-0.jsonl', root=f'{tmp_path}/./{name}/../{name}') == ['own']
  (tmp_path / 'linked').symlink_to(own)
  assert found('part-[0-9].jsonl', root=str(tmp_path / 'linked')) == ['own']
  monkeypatch.chdir(tmp_path)
  assert found('*.jsonl', root=name) == ['own']
  if '*' not in name:
    assert found(f'{name}/*.jsonl') == ['own']
    assert found(f'{tmp_path}/{name}/part-?.jsonl') == ['own']
  monkeypatch.chdir(own)
  assert found('*.jsonl') == found('./part-0.jsonl') == found('**') == ['own']
  whole = read_good(Corpus({'train': '.'}, WholeFiles(tracked_only=False), root=str(own)))
  assert [(record.id, record.source) for record in whole] == [('part-0.jsonl', local_files.printable(name))]


@pytest.mark.parametrize('name', ['a[1].jsonl', 'a?.jsonl', 'Foo::Bar.jsonl', 'a#b?c=d.jsonl', '100%20.jsonl', '~a.jsonl', 'a\nb.jsonl', f'{LATIN}.jsonl'])
def test_a_file_that_is_there_under_that_very_name_is_meant(name, tmp_path):
  for other in ('a1.jsonl', 'ab.jsonl', 'Foo', name):
    write_lines(tmp_path / other, [{'text': local_files.printable(other)}])
  assert found(name, root=str(tmp_path)) == [local_files.printable(name)]
  assert Path(storage.expand(name, str(tmp_path))[0]).name == name


def test_a_file_that_is_named_like_a_pattern_does_not_hide_the_others(tmp_path):
  for name in ('a.jsonl', 'b.jsonl', '*.jsonl'):
    write_lines(tmp_path / name, [{'text': name}])
  assert found('*.jsonl', root=str(tmp_path)) == ['*.jsonl', 'a.jsonl', 'b.jsonl']


def test_a_root_of_another_file_system_is_no_pattern_either():
  memory = fsspec.filesystem('memory')
  for folder in ('run[12]', 'run1'):
    memory.pipe(f'/of-local-files/{folder}/a::b.jsonl', b'{"text": "%s"}\n' % folder.encode())
  assert found('*.jsonl', root='memory://of-local-files/run[12]') == ['run[12]']
  assert found('run[12]/*.jsonl', root='memory://of-local-files') == ['run1']


def test_behind_a_link_the_folder_above_is_that_of_what_it_leads_to(tmp_path, monkeypatch):
  one(tmp_path / 'real' / 'data', 'own')
  (tmp_path / 'real' / 'sub').mkdir()
  (tmp_path / 'link').symlink_to(tmp_path / 'real' / 'sub')
  one(tmp_path / 'data', 'other')
  monkeypatch.chdir(tmp_path)
  assert found('*.jsonl', root='link/../data') == found('link/../data/*.jsonl') == ['own']


def test_home_is_where_it_is(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  one(tmp_path / 'raw', 'own')
  assert found('~/raw/*.jsonl') == found('*.jsonl', root='~/raw') == found('~/raw/*.jsonl', root='/elsewhere') == ['own']


@pytest.mark.parametrize(
  ('pattern', 'says'),
  [
    ('raw/**.jsonl', r"Write 'raw/\*\*/\*.jsonl'"),
    ('**.jsonl', r"Write '\*\*/\*.jsonl'"),
    ('raw/part**', r"Write 'raw/\*\*/part\*'"),
    ('raw/*.{json,jsonl}', 'Patterns do not have braces: write a list'),
    ('raw', r"'raw' is a folder: write 'raw/\*'"),
    (['raw', 'raw/part-0.jsonl'], "'raw' is a folder"),
    ('ra[w', "no file matches"),
    ('raw\\*.jsonl', 'Folders are parted by /'),
    ('', 'Corpus.files'),
    ('  ', 'Corpus.files'),
    (None, 'Corpus.files'),
    ([], 'Corpus.files'),
    ('raw/\0', 'Corpus.files'),
    ('raw/part-0.jsonl\r', r"'raw/part-0.jsonl\\r', which has white space"),
    ('raw/\ud800', 'no file matches|cannot be read'),
    ('raw/' + 'x' * 300, 'no file matches'),
  ],
)
def test_what_is_no_pattern_is_said_in_a_line(pattern, says, tmp_path):
  one(tmp_path / 'raw', 'own')
  with pytest.raises(UserError, match=says) as refused:
    Corpus({'train': pattern}, root=str(tmp_path)).pieces('train')
  assert '\n' not in str(refused.value)


def test_a_path_object_is_a_pattern_too(tmp_path):
  one(tmp_path, 'own')
  assert [r.text for r in read_good(Corpus({'train': tmp_path / '*.jsonl'}, root=tmp_path))] == ['own']


READERS = {
  '**': lambda folder: Corpus({'train': '**/*.jsonl'}, root=str(folder)).pieces('train'),
  'a star': lambda folder: Corpus({'train': '*/*.jsonl'}, root=str(folder)).pieces('train'),
  'WholeFiles': lambda folder: Corpus({'train': '.'}, WholeFiles(tracked_only=False), root=str(folder)).pieces('train'),
  'an evaluation set': lambda folder: EvaluationSet('set', f'{folder}/**/*.jsonl').read(),
}


@pytest.mark.parametrize('how', READERS)
def test_a_folder_that_cannot_be_read_is_named(how, place, as_somebody):
  _locked(place)
  with pytest.raises(UserError, match=f"'{place}/locked.*' cannot be read: Permission denied"):
    READERS[how](place)


def _locked(place: Path) -> None:
  somebody = os.geteuid()
  if somebody == NOBODY:
    os.seteuid(0)
  one(place / 'open', 'seen')
  one(place / 'locked', 'not seen')
  (place / 'locked').chmod(0)
  if somebody == NOBODY:
    os.seteuid(NOBODY)


def test_a_folder_that_cannot_be_read_may_be_left_out(place, as_somebody):
  _locked(place)
  left = Corpus({'train': '.'}, WholeFiles(tracked_only=False, exclude=('locked',)), root=str(place))
  assert [record.id for record in read_good(left)] == ['open/part-0.jsonl']


def harm(folder: Path) -> dict[str, str]:
  """Puts what is no file beside what is one; returns what it is called."""
  os.mkfifo(folder / 'pipe.jsonl')
  with socket.socket(socket.AF_UNIX) as bound:
    at = os.getcwd()
    os.chdir(folder)  # the path of a socket is short
    bound.bind('socket.jsonl')
    os.chdir(at)
  (folder / 'circle.jsonl').symlink_to('circle.jsonl')
  (folder / 'nowhere.jsonl').symlink_to('absent')
  (folder / 'up').symlink_to('..')
  (folder / 'device.jsonl').symlink_to('/dev/zero')
  return {'pipe.jsonl': 'a named pipe', 'socket.jsonl': 'a socket', **dict.fromkeys(('circle.jsonl', 'nowhere.jsonl', 'up', 'device.jsonl'), 'a link')}


def test_what_is_no_file_is_passed_over_in_a_folder_and_counted(tmp_path):
  one(tmp_path / 'raw', 'own')
  names = harm(tmp_path / 'raw')
  items = read(Corpus({'train': '.'}, WholeFiles(tracked_only=False), root=str(tmp_path / 'raw')))
  assert {Path(item.place).name: item.reason for item in items if isinstance(item, BadRecord)} == names
  assert all(item.expected for item in items if isinstance(item, BadRecord))
  assert [item.id for item in items if not isinstance(item, BadRecord)] == ['part-0.jsonl']


@pytest.mark.parametrize(
  ('name', 'says'),
  [
    ('pipe.jsonl', 'is a named pipe'),
    ('socket.jsonl', 'is a socket'),
    ('device.jsonl', 'is a device'),
    ('circle.jsonl', 'cannot be read: Too many levels'),
    ('nowhere.jsonl', 'cannot be read: No such file'),
  ],
)
def test_what_is_no_file_is_refused_where_a_pattern_matches_it(name, says, tmp_path):
  one(tmp_path / 'raw', 'own')
  harm(tmp_path / 'raw')
  for other in {'pipe.jsonl', 'socket.jsonl', 'device.jsonl', 'circle.jsonl', 'nowhere.jsonl'} - {name}:
    (tmp_path / 'raw' / other).unlink()
  for pattern in ('**/*.jsonl', name):
    with pytest.raises(UserError, match=f"{name}' {says}"):
      Corpus({'train': pattern}, root=str(tmp_path / 'raw')).pieces('train')
  with pytest.raises(UserError, match=says):
    storage.open_raw(str(tmp_path / 'raw' / name))


def test_folders_that_links_lead_to_again_are_read_once(tmp_path, capfd):
  one(tmp_path / 'a', 'a')
  one(tmp_path / 'b', 'b')
  (tmp_path / 'a' / 'to_b').symlink_to('../b')
  (tmp_path / 'b' / 'to_a').symlink_to('../a')
  (tmp_path / 'self').symlink_to('.')
  assert found('**/*.jsonl', root=str(tmp_path)) == ['a', 'b']
  assert 'warning: the link' in capfd.readouterr().err


def test_data_behind_a_link_are_found_and_a_link_to_nothing_is_told(tmp_path, capfd):
  one(tmp_path / 'disk' / 'wiki', 'far')
  (tmp_path / 'raw').mkdir()
  (tmp_path / 'raw' / 'wiki').symlink_to(tmp_path / 'disk' / 'wiki')
  (tmp_path / 'raw' / 'gone').symlink_to(tmp_path / 'unmounted')
  for pattern in ('**/*.jsonl', '*/*.jsonl'):
    assert found(pattern, root=str(tmp_path / 'raw')) == ['far']
  assert "raw/gone' leads nowhere" in capfd.readouterr().err


def test_any_name_is_read_and_its_id_can_be_stored(tmp_path):
  names = [LATIN + '.py', 'Foo::Bar.pm', 'a\nb.py', '100%.py', '#.py', '?.py', 'http:.py', ' .py', 'größer.py', '日本.py']
  for name in names:
    (tmp_path / name).write_text(f'# {len(name)}\n')
  (tmp_path / LATIN).mkdir()
  (tmp_path / LATIN / 'in.py').write_text('# in\n')
  corpus = Corpus({'train': str(tmp_path)}, WholeFiles(tracked_only=False))
  records = read_good(corpus)
  assert len(records) == len(names) + 1
  ids = [record.id for record in records]
  assert {'caf\\xe9.py', 'caf\\xe9/in.py', 'Foo::Bar.pm', 'a\\nb.py', 'größer.py'} <= set(ids)
  for record in records:
    f'{record.id} {record.source}'.encode()
  assert corpus.identity('train') == corpus.identity('train')
  by_itself = Corpus({'train': LATIN}, WholeFiles(tracked_only=False), root=str(tmp_path))
  assert [(record.id, record.source) for record in read_good(by_itself)] == [('in.py', 'caf\\xe9')]


def test_a_file_is_read_once_where_its_folder_is_named_too(tmp_path):
  for name in ('a.py', 'deep/b.py'):
    (tmp_path / 'src' / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / 'src' / name).write_text(f'# {name}\n')
  ids = lambda *patterns, **how: [r.id for r in read_good(Corpus({'train': patterns}, WholeFiles(tracked_only=False, **how), root=str(tmp_path)))]
  assert ids('src/**') == ['a.py', 'b.py']
  assert ids('src', 'src/a.py', 'src/deep') == ['a.py', 'deep/b.py']
  (tmp_path / 'src' / 'deep' / 'c.md').write_text('c')
  with pytest.raises(UserError, match='would be read twice'):
    ids('src', 'src/deep', exclude=('deep/b.py',))


def test_a_pattern_takes_no_folder_of_a_version_control_for_data(tmp_path):
  for name in ('.git/hooks/x.py', 'src/.git/config.py', 'src/a.py'):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text('1')
  os.mkfifo(tmp_path / 'src' / 'pipe')
  for pattern in ('*', '**', 'src/*', '**/*.py'):
    items = read(Corpus({'train': pattern}, WholeFiles(tracked_only=False), root=str(tmp_path)))
    assert [item.id for item in items if not isinstance(item, BadRecord)] == ['a.py']


def test_what_is_no_file_moves_no_border_of_a_piece(tmp_path):
  for number in range(5):
    (tmp_path / f'{number}.py').write_text(f'{number}')
  corpus = Corpus({'train': '.'}, WholeFiles(tracked_only=False, piece_files=2), root=str(tmp_path))
  pieces = corpus.pieces('train')
  before = [[item.id for item in corpus.records(piece, 'train')] for piece in pieces]
  harm(tmp_path)
  assert corpus.pieces('train') == pieces
  assert [[item.id for item in corpus.records(piece, 'train') if not isinstance(item, BadRecord)] for piece in pieces] == before


def test_a_set_may_be_negated_as_a_shell_does_it(tmp_path):
  for name in ('0', '1'):
    write_lines(tmp_path / f'part-{name}.jsonl', [{'text': name}])
  assert found('part-[^0].jsonl', root=str(tmp_path)) == found('part-[!0].jsonl', root=str(tmp_path)) == ['1']


def test_a_file_within_an_archive_is_found(tmp_path):
  with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
    archive.writestr('in.jsonl', '{"text": "in"}\n')
  system, path = storage.file_system(f'zip://in.jsonl::{tmp_path}/a.zip')
  assert system.cat_file(path) == b'{"text": "in"}\n'
