"""Folders and checkouts: each file once, named, with its language; nothing that is not text."""

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.readers.whole_files import WholeFiles
from codemix.data.raw.record import BadRecord, Record
from codemix.errors import UserError
from tests.data.corpus.files import compressed, read, reasons

AUTHOR = ('-c', 'user.name=a', '-c', 'user.email=a@example.org')


@pytest.fixture
def folder(tmp_path):
  root = tmp_path / 'project'
  for name, data in {
    'setup.py': b'import os\n',
    'src/main.rs': b'fn main() {}\n',
    'src/deep/README.md': 'naïve'.encode(),
    'src/empty.py': b'',
    'src/logo.png': b'\x89PNG\r\n\0\0',
    'src/latin.c': 'na\xefve'.encode('latin-1'),
    'src/packed.py.gz': compressed('.gz', b'packed = True\n'),
    'src/node_modules/x/index.js': b'1\n',
    'Makefile': b'all:\n',
    '.git/config': b'[core]\n',
  }.items():
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(data)
  return root


def corpus(folder, **options):
  return Corpus({'train': str(folder)}, WholeFiles(**{'tracked_only': False, **options}))


def good(items):
  return {item.id: item for item in items if isinstance(item, Record)}


def test_each_file_is_a_document_with_its_path_and_language(folder):
  items = read(corpus(folder))
  records = good(items)
  assert {path: record.language for path, record in records.items()} == {
    'Makefile': 'makefile',
    'setup.py': 'python',
    'src/deep/README.md': 'markdown',
    'src/empty.py': 'python',
    'src/main.rs': 'rust',
    'src/node_modules/x/index.js': 'javascript',
    'src/packed.py.gz': 'python',
  }
  assert records['src/deep/README.md'].text == 'naïve'
  assert records['src/packed.py.gz'].text == 'packed = True\n'
  assert {record.source for record in records.values()} == {'project'}
  assert reasons(items) == {'logo.png': 'binary', 'latin.c': 'not UTF-8'}
  assert [item.expected for item in items if isinstance(item, BadRecord)] == [False, True]


def test_patterns_choose_files_and_leave_folders_out(folder):
  chosen = read(corpus(folder, include=('*.py', 'src/*.rs', '*.js'), exclude=('node_modules', 'setup.*')))
  assert sorted(good(chosen)) == ['src/empty.py', 'src/main.rs']


def test_single_files_and_globs_of_folders(folder):
  files = Corpus({'train': ['setup.py', 'sr*']}, WholeFiles(include=('*.rs', 'setup.py')), root=str(folder))
  assert {record.id: record.source for record in read(files)} == {'setup.py': '', 'main.rs': 'src'}


def test_a_long_file_is_set_aside(folder):
  assert reasons(read(corpus(folder, include=('setup.py',), max_file_bytes=3))) == {'setup.py': 'too long'}


def test_links_are_not_followed(folder):
  os.symlink('/etc/hostname', folder / 'outside.py')
  os.symlink(folder / 'setup.py', folder / 'inside.py')
  assert not {'outside.py', 'inside.py'} & set(good(read(corpus(folder))))


def test_of_a_checkout_only_what_git_tracks(folder):
  for name in ('config',):
    (folder / '.git' / name).unlink()
  (folder / '.git').rmdir()
  git = ['git', '-C', str(folder)]
  subprocess.run([*git, 'init', '-q'], check=True)
  subprocess.run([*git, 'add', 'setup.py', 'src/main.rs', 'Makefile'], check=True)
  (folder / 'Makefile').unlink()
  assert sorted(good(read(corpus(folder, tracked_only=True)))) == ['setup.py', 'src/main.rs']
  assert 'src/deep/README.md' in good(read(corpus(folder, tracked_only=False)))


def test_the_submodules_of_a_checkout_are_counted(tmp_path):
  for name in ('inner', 'outer'):
    (tmp_path / name).mkdir()
    (tmp_path / name / f'{name}.py').write_text('x = 1\n')
    _git(tmp_path / name, 'init', '-q')
    _git(tmp_path / name, 'add', '.')
    _git(tmp_path / name, *AUTHOR, 'commit', '-qm', 'first')
  _git(tmp_path / 'outer', '-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', str(tmp_path / 'inner'), 'inner')
  items = read(Corpus({'train': 'outer'}, WholeFiles(include=('*.py', 'inner')), root=str(tmp_path)))
  assert [item.id for item in items if not isinstance(item, BadRecord)] == ['outer.py']
  assert [(bad.place, bad.reason, bad.expected) for bad in items if isinstance(bad, BadRecord)] == [(f'{tmp_path}/outer/inner', 'a submodule', True)]


def test_a_bare_repository_is_not_taken_for_a_folder_of_code(tmp_path):
  _git(tmp_path, 'init', '-q', '--bare', 'mirror.git')
  with pytest.raises(UserError, match='mirror.git. is a bare git repository.*git clone'):
    read(Corpus({'train': '*.git'}, WholeFiles(), root=str(tmp_path)))


def _git(folder, *arguments):
  subprocess.run(['git', '-C', str(folder), *arguments], check=True)


def test_a_checkout_that_git_cannot_list_is_an_error(folder):
  with pytest.raises(UserError, match='WholeFiles.tracked_only = False'):
    read(corpus(folder, tracked_only=True))


@given(piece_files=st.integers(1, 12))
@settings(max_examples=10, deadline=None)
def test_pieces_give_what_the_whole_gives(tmp_path_factory, piece_files):
  root = tmp_path_factory.mktemp('files')
  for number in range(10):
    (root / f'{number}.py').write_text(f'{number}\n')
  assert read(corpus(root, piece_files=piece_files)) == read(corpus(root))


def test_the_identity_follows_every_file_that_is_read(folder):
  settings = {'include': ('*.py', '*.rs')}
  first = corpus(folder, **settings).identity('train')
  (folder / 'src/other.js').write_text('new')
  assert corpus(folder, **settings).identity('train') == first
  (folder / 'src/new.py').write_text('new')
  second = corpus(folder, **settings).identity('train')
  (folder / 'src/new.py').write_text('newer')
  assert len({str(identity) for identity in (first, second, corpus(folder, **settings).identity('train'))}) == 3


def test_a_folder_without_such_files_is_refused(folder):
  with pytest.raises(UserError, match='no files'):
    corpus(folder, include=('*.absent',)).pieces('train')
