"""The corpora made from the Python installation: what is in them, and that they come whole."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from codemix.data.local_corpora import (
  Extent,
  build_local_corpora,
  open_local_corpora,
  store,
  verify_corpora,
)
from codemix.data.local_corpora.build import CODE, TEXT
from codemix.data.local_corpora.installation import find_installation
from codemix.data.local_corpora.split import content_hash, shorten_code, shorten_prose, split
from codemix.data.raw.record import Record
from codemix.errors import UserError

SMALL = {
  'distributions': (),
  'modules': ('argparse', 'email', 'json', 'logging', 'pydoc_data', 'unittest'),
  'code': Extent(100_000, 400_000, 9_000, 10),
  'text': Extent(50_000, 400_000, 9_000, 10),
}


@pytest.fixture(scope='module')
def corpora(tmp_path_factory):
  return build_local_corpora(tmp_path_factory.mktemp('small') / 'corpora', **SMALL)


def read(corpora, name, split_name):
  with corpora.corpora[name][split_name].path.open(encoding='utf-8') as lines:
    return [json.loads(line) for line in lines]


def run(code, **environment):
  return subprocess.run(
    [sys.executable, '-c', textwrap.dedent(code)],
    env={**os.environ, **environment},
    cwd=Path(__file__).parents[3],
    capture_output=True,
    text=True,
  )


# What the corpora hold.


def test_manifest_counts_are_those_of_the_files(corpora):
  for name, splits in corpora.corpora.items():
    for split_name, part in splits.items():
      records = read(corpora, name, split_name)
      assert part.documents == len(records)
      assert part.text_bytes == sum(len(record['text'].encode()) for record in records)
      assert part.file_bytes == part.path.stat().st_size


def test_no_document_is_there_twice_nor_in_both_splits(corpora):
  for name in corpora.corpora:
    records = read(corpora, name, 'train') + read(corpora, name, 'validation')
    assert len({content_hash(record['text']) for record in records}) == len(records)
    assert len({record['id'] for record in records}) == len(records)


def test_no_paragraph_of_prose_occurs_twice(corpora):
  found = [
    paragraph
    for split_name in store.SPLITS
    for record in read(corpora, 'local_text', split_name)
    for paragraph in record['text'].split('\n\n')
  ]
  assert len(found) == len(set(found))


def test_every_program_compiles(corpora):
  for split_name in store.SPLITS:
    for record in read(corpora, 'local_code', split_name):
      compile(record['text'], record['id'], 'exec')


def test_documents_of_prose_are_neither_tiny_nor_endless(corpora):
  lengths = [len(record['text']) for record in read(corpora, 'local_text', 'train')]
  assert min(lengths) >= 300
  assert sorted(lengths)[-1] < 8000  # one paragraph may be longer than a document should be


def test_validation_is_as_large_as_wanted(corpora):
  for name, extent in (('local_code', SMALL['code']), ('local_text', SMALL['text'])):
    part = corpora.corpora[name]['validation']
    assert part.documents >= extent.validation_documents
    assert extent.validation_bytes <= part.text_bytes < 2 * extent.validation_bytes


def test_manual_pages_and_modules_are_read(corpora):
  names = {record['id'] for record in read(corpora, 'local_text', 'train')}
  assert any(name.startswith('python:topics/') for name in names)
  assert any(name.startswith('python:argparse.py#') for name in names)


# Splitting.


def records(count, size=100):
  return [
    Record(f'{number:05} ' + 'x' * size, 's', 'en', str(number))
    for number in range(count)
  ]


def test_a_split_does_not_depend_on_the_order_of_the_documents():
  extent = Extent(0, 10**6, 500, 3)
  assert split(records(40), extent, shorten_prose) == split(records(40)[::-1], extent, shorten_prose)


def test_a_split_loses_no_document():
  halves = split(records(40), Extent(0, 10**6, 500, 3), shorten_prose)
  ids = [record.id for half in halves.values() for record in half]
  assert sorted(ids, key=int) == [str(number) for number in range(40)]


def test_a_split_leaves_something_to_train_on():
  with pytest.raises(UserError, match='3 documents are too few'):
    split(records(3), Extent(0, 10**6, 100, 3), shorten_prose)


def test_an_excerpt_of_code_parses_and_is_part_of_it():
  source = Path(json.__file__).with_name('decoder.py').read_text(encoding='utf-8')
  for most in (300, 1000, 5000):
    excerpt = shorten_code(source, most)
    compile(excerpt, 'excerpt', 'exec')
    assert 0 < len(excerpt) <= most
    assert excerpt.rstrip() in source


def test_a_program_that_cannot_be_cut_stays_whole():
  source = 'x = [\n' + '  1,\n' * 500 + ']\n'
  assert shorten_code(source, 100) == source


def test_an_excerpt_of_prose_is_its_first_paragraphs():
  text = '\n\n'.join(['a' * 50, 'b' * 50, 'c' * 50])
  assert shorten_prose(text, 120) == text[:102]
  assert shorten_prose(text, 10) == text[:50]


# The same installation gives the same bytes, whoever builds and however.


def test_neither_hash_seed_nor_number_of_processes_changes_a_byte(corpora, tmp_path):
  for seed, files in (('1', 10**9), ('2', 10)):
    built = run(
      f"""
      from codemix.data.local_corpora import Extent, build_local_corpora, read_files
      read_files.WORTH_A_PROCESS = {files}
      print(build_local_corpora({str(tmp_path / seed)!r}, **{SMALL!r}).digest)
      """,
      PYTHONHASHSEED=seed,
    )
    assert built.stdout.strip() == corpora.digest, built.stderr


def test_a_script_without_main_guard_can_build_with_workers(tmp_path):
  script = tmp_path / 'script.py'
  script.write_text(
    'from codemix.data.local_corpora import Extent, build_local_corpora, read_files\n'
    'read_files.WORTH_A_PROCESS = 10\n'
    f'print(build_local_corpora({str(tmp_path / "built")!r}, **{SMALL!r}).digest)\n'
  )
  environment = {**os.environ, 'PYTHONPATH': str(Path(__file__).parents[3])}
  result = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
  assert result.stdout.count('\n') == 1, result.stderr


def install(folder, name, requires=(), files=None):
  """Lays out an installed distribution as pip does."""
  recorded = {
    f'{name}-1.0.dist-info/METADATA': f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n'
    + ''.join(f'Requires-Dist: {line}\n' for line in requires),
    **(files or {}),
  }
  for path, content in recorded.items():
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(content)
  (folder / f'{name}-1.0.dist-info/RECORD').write_text(''.join(f'{path},,\n' for path in recorded))


@pytest.fixture
def site(tmp_path, monkeypatch):
  folder = tmp_path / 'site'
  folder.mkdir()
  monkeypatch.setattr(sys, 'path', [str(folder)])
  return folder


def test_only_what_codemix_requires_is_read(site):
  install(site, 'codemix', ['direct', 'python2-only; python_version < "3"', 'dev; extra == "dev"'])
  install(site, 'direct', ['below[fast]', 'unasked; extra == "all"'])
  install(site, 'below', ['faster; extra == "fast"'], {'below.py': 'x = 1\n', '../run.py': 'y\n'})
  for name in ('python2-only', 'dev', 'unasked', 'faster', 'unrelated'):
    install(site, name, files={f'{name}.py': 'x = 1\n'})
  (site / 'stray.py').write_text('x = 1\n')
  installation = find_installation(modules=['json'])
  assert set(installation.versions) == {'python', 'direct', 'below', 'faster'}
  names = [file.name for file in installation.files if file.source != 'python']
  assert names == ['below:below.py', 'faster:faster.py']


def test_without_codemix_as_a_distribution_all_are_read(site):
  install(site, 'one')
  install(site, 'other')
  assert set(find_installation(modules=['json']).versions) == {'python', 'one', 'other'}


def test_a_vendored_copy_and_a_licence_are_not_read(site):
  files = ['p/_vendor/q.py', 'p/LICENSE.txt', 'p/README.md', 'p/own.py', 'p-1.0.dist-info/n.txt']
  install(site, 'p', files=dict.fromkeys(files, 'x = 1\n'))
  names = [file.path for file in find_installation(['p'], ['json']).files if file.source == 'p']
  assert names == ['p/README.md', 'p/own.py']


def test_an_unknown_distribution_or_module_is_named(site):
  install(site, 'numpy')
  with pytest.raises(UserError, match="'numpi' is not installed. Did you mean 'numpy'"):
    find_installation(['numpi'])
  with pytest.raises(UserError, match="'jsn' is not a module .* Did you mean 'json'"):
    find_installation([], ['jsn'])


def test_the_place_of_an_installation_changes_no_byte(tmp_path, monkeypatch):
  digests = []
  for place in ('here', 'there/deeper'):
    folder = tmp_path / place
    source = 'def f(number):\n  """Doc."""\n' + '  number += 1  # more\n' * 20 + '  return {0}\n'
    files = {f'p/m{i}.py': source.replace('{0}', f'number * {i}') for i in (3, 1, 2)}
    install(folder, 'p', files=files)
    monkeypatch.setattr(sys, 'path', [str(folder)])
    built = build_local_corpora(tmp_path / place / 'out', **{**SMALL, 'distributions': ['p']})
    digests.append(built.digest)
    assert 'p:p/m1.py' in {r['id'] for s in store.SPLITS for r in read(built, 'local_code', s)}
  assert digests[0] == digests[1]


# On disk: whole or not there.


def test_what_is_built_is_reused_as_it_is(corpora):
  again = build_local_corpora(corpora.directory)  # with other arguments
  assert again == corpora == open_local_corpora(corpora.directory)


def test_verify_accepts_what_was_built_and_finds_a_changed_byte(tmp_path):
  built = build_local_corpora(tmp_path / 'built', **SMALL)
  assert verify_corpora(built.directory) == built
  path = built.corpora['local_text']['train'].path
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)
  open_local_corpora(built.directory)
  with pytest.raises(UserError, match='train.jsonl is not what was built'):
    verify_corpora(built.directory)


def test_opening_finds_a_file_cut_short_or_gone(tmp_path):
  built = build_local_corpora(tmp_path / 'built', **SMALL)
  path = built.corpora['local_code']['validation'].path
  path.write_bytes(path.read_bytes()[:-1])
  with pytest.raises(UserError, match=f'{path.stat().st_size} bytes instead of'):
    open_local_corpora(built.directory)
  path.unlink()
  with pytest.raises(UserError, match='has 0 bytes instead of'):
    open_local_corpora(built.directory)


def test_a_folder_without_corpora_says_so(tmp_path):
  with pytest.raises(UserError, match='holds no corpora'):
    open_local_corpora(tmp_path)


def test_a_folder_with_other_things_is_left_alone(tmp_path):
  (tmp_path / 'thesis.txt').write_text('mine')
  with pytest.raises(UserError, match='holds something other than corpora'):
    build_local_corpora(tmp_path, **SMALL)
  assert [path.name for path in tmp_path.iterdir()] == ['thesis.txt']


@pytest.mark.parametrize('what', ['code', 'text'])
def test_too_small_an_installation_says_how_much_it_has(tmp_path, what):
  small = {**SMALL, what: Extent(10**8, 10**9, 9_000, 10)}
  with pytest.raises(UserError, match=r'has \d+\.\d MB of .* where 100.0 MB'):
    build_local_corpora(tmp_path / 'built', **small)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('moment', ['write_bytes:1', 'write_bytes:4', 'write_json:1', 'open_local_corpora:1'])
def test_a_kill_leaves_nothing_or_all_of_it(corpora, tmp_path, moment):
  function, count = moment.split(':')
  killed = run(
    f"""
    import os, signal
    from codemix.data.local_corpora import Extent, build_local_corpora, store
    real, calls = store.{function}, []
    def dying(*arguments):
      calls.append(1)
      if len(calls) == {count}:
        os.kill(os.getpid(), signal.SIGKILL)
      return real(*arguments)
    store.{function} = dying
    build_local_corpora({str(tmp_path / 'built')!r}, **{SMALL!r})
    """
  )
  assert killed.returncode == -signal.SIGKILL
  assert (tmp_path / 'built').exists() == (function == 'open_local_corpora')
  again = build_local_corpora(tmp_path / 'built', **SMALL)
  assert verify_corpora(again.directory).digest == corpora.digest


def test_what_a_killed_build_left_is_cleared_away_in_time(tmp_path):
  left = tmp_path / '.built.building-0'
  left.mkdir()
  os.utime(left, (0, 0))
  fresh = tmp_path / '.built.building-1'
  fresh.mkdir()
  build_local_corpora(tmp_path / 'built', **SMALL)
  assert not left.exists()
  assert fresh.exists()


def test_of_two_builders_the_slower_one_takes_what_the_faster_one_made(tmp_path, monkeypatch):
  real = store.write_json
  others = []

  def overtaken(path, value):
    monkeypatch.setattr(store, 'write_json', real)
    others.append(build_local_corpora(tmp_path / 'built', **SMALL))
    real(path, {**value, 'versions': {'python': 'slower'}})

  monkeypatch.setattr(store, 'write_json', overtaken)
  assert build_local_corpora(tmp_path / 'built', **SMALL) == others[0]
  assert 'slower' not in (tmp_path / 'built' / 'manifest.json').read_text()
  assert [path.name for path in tmp_path.iterdir()] == ['built']


def test_the_builder_imports_neither_tensorflow_nor_seqio():
  imported = run(
    """
    import sys, codemix.data.local_corpora
    print({'tensorflow', 'seqio', 'jax'} & set(sys.modules))
    """
  )
  assert imported.stdout.strip() == 'set()', imported.stderr


@pytest.mark.slow
def test_this_installation_has_enough_of_both(tmp_path):
  built = verify_corpora(build_local_corpora(tmp_path / 'built').directory)
  for name, extent in (('local_code', CODE), ('local_text', TEXT)):
    parts = built.corpora[name]
    assert extent.least_bytes <= parts['train'].text_bytes < 1.1 * extent.most_bytes
    for split_name in store.SPLITS:
      assert parts[split_name].documents >= 100
    assert parts['validation'].text_bytes < 2 * extent.validation_bytes
  for record in read(built, 'local_code', 'train'):
    compile(record['text'], record['id'], 'exec')
