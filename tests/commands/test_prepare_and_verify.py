"""`codemix prepare` of corpora that a gin file names, and `codemix verify` of what it wrote."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from codemix import cli
from codemix.data.store.raw_files import FILE
from tests.commands.test_wrong_input import GIN
from tests.data.raw_corpora import texts, write_lines

SOURCES = """
Data.sources = {'text': @text/Corpus(), 'code': @code/Corpus()}
text/Corpus.files = {'train': 'part-[01].jsonl', 'validation': 'part-2.jsonl'}
code/Corpus.files = {'train': 'part-*.jsonl'}
code/Corpus.filters = (@HexLiterals(), @ExactDuplicates())
"""


@pytest.fixture
def place(tmp_path) -> Path:
  write_lines(tmp_path / 'raw', [texts(30, seed=n) for n in range(3)])
  (tmp_path / 'recipe.gin').write_text(f"{GIN}\n{SOURCES}\nCorpus.root = '{tmp_path / 'raw'}'\n")
  return tmp_path


def run(place: Path, verb: str, *flags: str) -> int:
  return cli.main([verb, f'--gin_file={place / "recipe.gin"}', f"--gin.Data.directory='{place / 'data'}'", *flags])


def one_error(capfd) -> str:
  said = capfd.readouterr().err
  errors = [line for line in said.splitlines() if line.startswith('codemix ')]
  assert len(errors) == 1 and 'Traceback' not in said, said
  return errors[0]


def test_prepare_shows_what_each_filter_left_and_in_json_all_accounts(place, capfd):
  assert run(place, 'prepare') == 0
  shown = capfd.readouterr().out
  assert 'text train: 60 documents' in shown and 'text validation: 30 documents' in shown
  rows = [line.split() for line in shown.splitlines()]
  assert ['as', 'read', '90'] in [row[:3] for row in rows]
  [no_hex] = [row for row in rows if row[:2] == ['no', "'0x'"]]
  assert no_hex[-1] == 'hexadecimal' and int(no_hex[-2]) == 90 - int(no_hex[2])
  assert any(row and row[0] == 'markdown' for row in rows)
  assert run(place, 'prepare', '--format=json') == 0
  stores = json.loads(capfd.readouterr().out)
  assert stores.keys() == {'text train', 'code train', 'text validation'}
  assert stores['code train']['accounts']['filters'][0]['before']['documents'] == 90


def test_workers_of_a_gin_file_write_the_same(place, capfd):
  # What gin makes must be what another process can be sent.
  assert run(place, 'prepare', '--format=json') == 0
  alone = json.loads(capfd.readouterr().out)
  flags = (f"--gin.Data.directory='{place / 'again'}'", '--gin.Data.workers=@Processes()', '--gin.Processes.count=2')
  assert run(place, 'prepare', '--format=json', *flags) == 0
  again = json.loads(capfd.readouterr().out)
  assert {name: store['digest'] for name, store in again.items()} == {name: store['digest'] for name, store in alone.items()}


@pytest.mark.parametrize(
  ('flag', 'says'),
  [
    ('--gin.Data.workers=0', 'it is a whole number of processes'),
    ("--gin.Data.sources={'text': 'text.jsonl', 'code': 'x'}", "Data.sources['text'] is 'text.jsonl'; it is a Corpus."),
    ("--gin.text/Corpus.files={'train': 'prat-*.jsonl', 'validation': 'part-2.jsonl'}", "no file matches"),
    ("--gin.code/Corpus.files={'test': 'part-*.jsonl'}", "has no split 'train', only test"),
    ("--gin.Text.field='txt'", "no record has the field 'txt'"),
    ('--gin.code/Corpus.filters=(@ExactDuplicates(), @HexLiterals())', 'put it last'),
  ],
)
def test_a_mistake_in_a_corpus_is_found_before_anything_is_written(place, capfd, flag, says):
  flags = ('--gin.code/Corpus.layout=@Text()',) if 'Text.field' in flag else ()
  assert run(place, 'prepare', flag, *flags) == 2
  assert says in one_error(capfd)
  assert not list(place.glob('data/stores/*/tokens-*'))


def test_verify_re_reads_everything_and_names_what_is_damaged(place, capfd):
  assert run(place, 'prepare') == 0
  stores = sorted(path.parent for path in place.glob('data/stores/*/manifest.json'))
  capfd.readouterr()
  assert cli.main(['verify', str(place / 'data'), '--sources']) == 0
  lines = capfd.readouterr().out.splitlines()
  assert [line.split(':')[0] for line in lines] == [str(store) for store in stores]
  assert all(re.search(r'\d raw files? unchanged', line) for line in lines)
  assert run(place, 'verify', '--format=json') == 0
  assert {found['source'] for found in json.loads(capfd.readouterr().out)} == {'text', 'code'}

  tokens = next(stores[0].glob('tokens-*.bin'))
  tokens.write_bytes(tokens.read_bytes()[:-1] + b'\x07')
  assert cli.main(['verify', str(stores[0])]) == 2
  assert tokens.name in one_error(capfd)
  next(stores[1].glob('documents-*.npy')).unlink()
  assert cli.main(['verify', *map(str, stores)]) == 2
  said = capfd.readouterr()
  assert '2 of 3 token stores are not as they were prepared' in said.err
  assert 'documents-' in said.err and tokens.name in said.err
  assert str(stores[2]) in said.out


def test_verify_names_an_edited_raw_file(place, capfd):
  assert run(place, 'prepare') == 0
  capfd.readouterr()
  raw = place / 'raw' / 'part-2.jsonl'
  raw.write_bytes(raw.read_bytes() + b'\n')
  [store] = place.glob('data/stores/text-validation-*/')
  assert raw.name in (store / FILE).read_text()
  assert cli.main(['verify', str(store)]) == 0
  assert cli.main(['verify', str(store), '--sources']) == 2
  assert f"the raw file {raw} was edited after 'text' was prepared" in one_error(capfd)


@pytest.mark.parametrize('words', [(), ('--sources',)])
def test_verify_without_a_folder_says_what_it_wants(words, capfd):
  assert cli.main(['verify', *words]) == 2
  assert 'name the folder of a token store' in one_error(capfd)


def test_a_folder_that_holds_no_store_is_named(tmp_path, capfd):
  assert cli.main(['verify', str(tmp_path)]) == 2
  assert f'{tmp_path} holds no token store and no stage, but nothing' in one_error(capfd)


def test_stores_of_a_source_whose_name_has_slashes_are_found(place, capfd):
  recipe = place / 'recipe.gin'
  recipe.write_text(recipe.read_text().replace("'code'", "'org/repo/code'"))
  assert run(place, 'prepare') == 0
  capfd.readouterr()
  assert cli.main(['verify', str(place / 'data'), '--format=json']) == 0
  assert {found['source'] for found in json.loads(capfd.readouterr().out)} == {'text', 'org/repo/code'}
  assert run(place, 'verify') == 0
  [store] = place.glob('data/stores/org/repo/*/')
  assert cli.main(['inspect', str(store)]) == 0


def test_a_store_that_is_not_finished_is_said_to_be_so(place, capfd):
  assert run(place, 'prepare') == 0
  manifest = next(place.glob('data/stores/text-train-*/manifest.json'))
  manifest.unlink()
  capfd.readouterr()
  assert cli.main(['verify', str(place / 'data')]) == 0
  assert f'{manifest.parent}: not finished, 2 of its shards are there' in capfd.readouterr().out


@pytest.mark.parametrize('content', ['[]', '{}', 'null', '{"format": 2', ''])
def test_a_damaged_manifest_is_one_line(place, capfd, content):
  assert run(place, 'prepare') == 0
  manifest = next(place.glob('data/stores/text-train-*/manifest.json'))
  manifest.write_text(content)
  for words in (['verify', str(place / 'data')], ['verify', str(manifest.parent)], ['inspect', str(manifest.parent)]):
    capfd.readouterr()
    assert cli.main(words) == 2
    assert str(manifest.parent) in one_error(capfd)
  assert run(place, 'verify') == 2


def test_a_folder_that_is_a_part_of_a_store_or_mistyped_names_the_nearest_thing(place, capfd):
  assert run(place, 'prepare') == 0
  store = next(place.glob('data/stores/text-train-*/'))
  tokens = next(store.glob('tokens-*'))
  for argument, says in (
    (tokens, f'is a part of the token store {store}: name that'),
    (place / 'dat', "does not exist. Did you mean 'data'?"),
    (place / 'raw', 'holds no token store and no stage, but part-0.jsonl'),
    (place / 'raw/part-0.jsonl', 'is a file'),
  ):
    capfd.readouterr()
    assert cli.main(['verify', str(argument)]) == 2
    assert says in one_error(capfd)


def test_what_this_user_may_not_read_is_one_line(place, capfd, monkeypatch):
  assert run(place, 'prepare') == 0
  capfd.readouterr()
  read = Path.read_bytes

  def refuse(path):
    if path.suffix == '.current':
      raise PermissionError(13, 'Permission denied', str(path))
    return read(path)

  monkeypatch.setattr(Path, 'read_bytes', refuse)
  assert run(place, 'verify') == 2
  assert '.current cannot be read or written: Permission denied' in one_error(capfd)


KINDS = """
Data.sources = {'text': @text/Corpus(), 'code': @code/Corpus()}
text/Corpus.files = {'train': 'part-[01].jsonl', 'validation': 'part-2.jsonl'}
code/Corpus.files = {'train': 'part-*.jsonl'}
"""


@pytest.mark.parametrize(
  ('binding', 'says'),
  [
    ('code/Corpus.transformations = (@ShufleLines(),)', "gin knows no 'ShufleLines'. Did you mean 'ShuffleLines'?"),
    ('code/Corpus.transformation = (@ShuffleLines(),)', "Corpus has no parameter 'transformation'. Did you mean 'transformations'?"),
    ("code/Corpus.transformations = ('shuffle_lines',)", 'Corpus.transformations'),
    ('code/Corpus.transformations = (@Parses(),)', 'Corpus.transformations'),
    ('code/Corpus.transformations = (@ShuffleLines(),)\nShuffleLines.sead = 1', "ShuffleLines has no parameter 'sead'. Did you mean 'seed'?"),
    ("code/Corpus.transformations = (@RenameIdentifiers(),)\nRenameIdentifiers.new_names = 'owm'", "Did you mean 'own'?"),
    ('code/Corpus.transformations = (@NormalizeIndentation(),)\nNormalizeIndentation.spaces = 0', 'NormalizeIndentation.spaces is 0'),
    ('code/Corpus.transformations = (@RemoveComments(),)', 'RemoveComments knows python, and the document'),
    ("Data.matched = (('text', 'cod'),)", "Data.matched names 'cod', which is not a source of Data.sources. Did you mean 'code'?"),
    ("Data.matched = (('text', 'code'), ('code',))", "Data.matched names 'code' twice"),
    ("Data.matched = ('text', 'code')", 'Data.matched'),
    ("Data.matched = (('text', 'code'),)\nData.streaming = True", 'Data.matched needs to know how large sources are'),
  ],
)
def test_a_mistake_in_a_kind_of_code_is_one_line_that_says_what_to_change(place, capfd, binding, says):
  (place / 'recipe.gin').write_text(f"{GIN}\n{KINDS}\nCorpus.root = '{place / 'raw'}'\n{binding}\n")
  assert run(place, 'prepare') == 2
  assert says in one_error(capfd)
  assert not (place / 'data' / 'stores').exists()


def test_matched_sources_are_prepared_though_no_stage_reads_them(place, capfd):
  matched = "Data.matched = (('code', 'more'),)\nData.sources = [{'more': @more/Corpus()}, {'text': @text/Corpus(), 'code': @code/Corpus()}]"
  more = "more/Corpus.files = {'train': 'part-1.jsonl'}"
  (place / 'recipe.gin').write_text(f"{GIN}\n{KINDS}\nCorpus.root = '{place / 'raw'}'\n{matched}\n{more}\n")
  assert run(place, 'prepare', '--format=json') == 0
  stores = json.loads(capfd.readouterr().out)
  assert stores.keys() == {'text train', 'code train', 'more train', 'text validation'}
  assert run(place, 'inspect') == 0
  rows = stores['more train']['tokens'] // 32
  assert f"code: an epoch is {rows:,} of its {stores['code train']['tokens'] // 32:,} rows" in capfd.readouterr().out
