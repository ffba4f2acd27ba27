"""What a store was made from: each change of it makes another store, or is refused by name."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from codemix.data import settings
from codemix.data.filters import ExactDuplicates, MaxFloats
from codemix.data.prepare.source import prepare
from codemix.data.store import raw_files
from codemix.data.store.digests import seal
from codemix.data.store.token_store import open_store
from codemix.data.store.verify import verify_whole
from codemix.data.tokenization.bpe import train_bpe
from codemix.data.tokenization.tokenizer import ByteTokenizer, load_tokenizer
from codemix.errors import UserError
from tests.data.raw_corpora import corpus, data, documents, prepared, texts, write_lines
from tests.data.store.test_token_store import as_before

FILES = [texts(20, seed=1), texts(20, seed=2), texts(20, seed=3)]


@pytest.fixture
def raw(tmp_path) -> Path:
  write_lines(tmp_path / 'raw', FILES)
  return tmp_path / 'raw'


def opened(settings):
  return settings.open_store('lines', 'train', settings.load_tokenizer())


def test_an_edited_raw_file_is_refused_until_it_is_prepared_again(raw, tmp_path):
  prepare = data(tmp_path, corpus(raw))
  before = prepared(prepare)
  edited = raw / 'part-1.jsonl'
  edited.write_bytes(edited.read_bytes().replace(b'rain', b'snow', 1))
  os.utime(edited, ns=(1, 1))
  with pytest.raises(UserError, match="part-1.jsonl was edited after 'lines' was prepared"):
    opened(prepare)
  after = prepared(prepare)
  assert after.folder != before.folder
  assert opened(prepare).digest == after.digest
  edited.write_bytes(edited.read_bytes() + b'\n')
  with pytest.raises(UserError, match=r'bytes then, [\d,]+ now'):
    opened(prepare)


def test_a_raw_file_that_was_added_is_refused_until_it_is_prepared_too(raw, tmp_path):
  prepare = data(tmp_path, corpus(raw))
  before = prepared(prepare)
  (raw / 'part-9.jsonl').write_text('{"text": "one more document"}\n')
  with pytest.raises(UserError, match="part-9.jsonl matches Corpus.files of 'lines', and was added after"):
    opened(prepare)
  assert prepared(prepare).documents == opened(prepare).documents == before.documents + 1


def test_a_corpus_that_was_moved_has_no_added_files(raw, tmp_path):
  prepared(data(tmp_path, corpus(raw)))
  raw.rename(tmp_path / 'moved')
  opened(data(tmp_path, corpus(tmp_path / 'moved')))


def test_a_raw_file_that_was_only_touched_or_is_gone_is_no_matter(raw, tmp_path):
  prepare = data(tmp_path, corpus(raw))
  prepared(prepare)
  os.utime(raw / 'part-0.jsonl', ns=(1, 1))
  (raw / 'part-2.jsonl').unlink()
  opened(prepare)


def test_a_large_raw_file_that_was_touched_is_read_again_by_prepare_alone(raw, tmp_path, monkeypatch):
  prepare = data(tmp_path, corpus(raw))
  before = prepared(prepare)
  monkeypatch.setattr(raw_files, 'DIGEST_BYTES', 0)
  os.utime(raw / 'part-0.jsonl', ns=(1, 1))
  with pytest.raises(UserError, match='part-0.jsonl was edited'):
    opened(prepare)
  assert prepared(prepare).folder == before.folder
  opened(prepare)


def test_another_filter_layout_split_or_number_of_shards_makes_another_store(raw, tmp_path):
  plain = corpus(raw)
  made = [
    prepared(data(tmp_path, source, shards=shards)).folder.name
    for source, shards in (
      (plain, 8),
      (plain, 2),
      (dataclasses.replace(plain, filters=(MaxFloats(),)), 8),
      (dataclasses.replace(plain, filters=(MaxFloats(5),)), 8),
      (dataclasses.replace(plain, validation_share=0.2), 8),
    )
  ]
  assert len(set(made)) == len(made)


def test_the_number_of_shards_decides_the_files_and_not_what_a_stage_is_known_by(raw, tmp_path):
  stores = [prepared(data(tmp_path, corpus(raw, filters=filters), shards=shards)) for filters in ((), (ExactDuplicates(),)) for shards in (1, 2, 3)]
  assert len({store.folder for store in stores}) == 6
  assert len({store.digest for store in stores[:3]}) == len({store.digest for store in stores[3:]}) == 1


def test_a_store_from_before_is_used_as_it_is_and_prepare_says_so(raw, tmp_path):
  prepare_it = data(tmp_path, corpus(raw))
  store = prepared(prepare_it)
  before = as_before(store)
  times = {path: path.stat().st_mtime_ns for path in store.folder.iterdir() if path.name != '.lock'}
  said: list[str] = []
  again = prepare('lines', 'train', prepare_it, prepare_it.load_tokenizer(), said.append)
  assert again.digest == opened(prepare_it).digest == before
  assert [line for line in said if 'older codemix' in line] == said
  assert len(said) == 1
  assert {path: path.stat().st_mtime_ns for path in times} == times


def test_the_same_files_elsewhere_are_the_same_store(raw, tmp_path):
  write_lines(tmp_path / 'moved', FILES)
  stores = [prepared(data(tmp_path / str(n), corpus(folder))) for n, folder in enumerate((raw, tmp_path / 'moved'))]
  assert stores[0].folder.name == stores[1].folder.name
  assert stores[0].digest == stores[1].digest


def test_an_edited_tokenizer_is_refused_with_both_digests(raw, tmp_path):
  path = tmp_path / 'tokenizer.json'
  train_bpe([text for file in FILES for text in file] * 20, 300, path)
  prepare = dataclasses.replace(data(tmp_path, corpus(raw)), tokenizer='tokenizer.json')
  before = load_tokenizer(path)
  prepared(prepare)
  path.write_text(path.read_text() + '\n')
  with pytest.raises(UserError, match=f'not prepared with this tokenizer .*only with another .bpe {before.digest[:8]}'):
    opened(prepare)


def test_a_tokenizer_that_encodes_differently_though_its_file_is_the_same_is_refused(raw, tmp_path, monkeypatch):
  prepare = data(tmp_path, corpus(raw))
  prepared(prepare)
  encode = ByteTokenizer.encode_batch
  monkeypatch.setattr(ByteTokenizer, 'encode_batch', lambda self, texts: [[id + (id > 60) for id in ids] for ids in encode(self, texts)])
  with pytest.raises(UserError, match='does not encode as it did .*although it is the same file'):
    opened(prepare)


def test_another_policy_for_bos_is_refused_by_name(raw, tmp_path, monkeypatch):
  prepare = data(tmp_path, corpus(raw))
  prepared(prepare)
  identity = settings.tokenizer_identity
  monkeypatch.setattr(settings, 'tokenizer_identity', lambda tokenizer: {**identity(tokenizer), 'bos': 'none'})
  with pytest.raises(UserError, match="tokenizer.bos: 'none' expected, 'input 1 before each document' found"):
    opened(prepare)


def test_a_flipped_bit_or_a_missing_shard_is_named(raw, tmp_path):
  prepare = data(tmp_path, corpus(raw))
  folder = prepared(prepare).folder
  tokens = folder / 'tokens-00001-of-00003.bin'
  kept = tokens.read_bytes()
  tokens.write_bytes(kept[:-3] + bytes([kept[-3] ^ 1]) + kept[-2:])
  with pytest.raises(UserError, match=tokens.name):
    opened(prepare)
  tokens.unlink()
  with pytest.raises(UserError, match=f'{tokens.name}: it is missing'):
    opened(prepare)


def test_an_edited_manifest_is_found(raw, tmp_path):
  folder = prepared(data(tmp_path, corpus(raw))).folder
  manifest = json.loads((folder / 'manifest.json').read_text())
  (folder / 'manifest.json').write_text(json.dumps({**manifest, 'tokens': manifest['tokens'] + 1}))
  with pytest.raises(UserError, match='does not agree with itself: tokens'):
    verify_whole(open_store(folder))
  manifest['identity']['shards'] = 7
  (folder / 'manifest.json').write_text(json.dumps(manifest))
  with pytest.raises(UserError, match='does not agree with itself: seal'):
    open_store(folder)
  (folder / 'manifest.json').write_text(json.dumps({**manifest, 'seal': seal(manifest)}))
  with pytest.raises(UserError, match='its identity is not the one that the folder is named by'):
    verify_whole(open_store(folder))


def test_two_sources_of_one_name_are_refused(raw):
  twice = settings.Data(sources=({'lines': corpus(raw)}, {'lines': corpus(raw)}))
  with pytest.raises(UserError, match="two sources named 'lines'"):
    _ = twice.corpora
  merged = settings.Data(sources=({'lines': corpus(raw)}, {'others': corpus(raw)})).corpora
  assert [each.name for each in merged.values()] == ['lines', 'others']


@pytest.mark.parametrize('name', ['..', '../x', '/abs', 'a//b', 'a/', '.', 'a/../b', 'a\nb'])
def test_a_source_whose_files_would_lie_elsewhere_is_refused(name, raw):
  with pytest.raises(UserError, match='by which no file can be named'):
    _ = settings.Data(sources={name: corpus(raw)}).corpora


def test_a_tokenizer_that_is_no_file_is_refused_and_not_waited_for(raw, tmp_path):
  os.mkfifo(tmp_path / 'tokenizer.json')
  with pytest.raises(UserError, match='tokenizer.json is a named pipe'):
    dataclasses.replace(data(tmp_path, corpus(raw)), tokenizer='tokenizer.json').load_tokenizer()


@pytest.mark.parametrize(
  ('wrong', 'says'),
  [
    ({'shards': 0}, 'Data.shards is 0'),
    ({'workers': 0}, 'Data.workers is 0'),
    ({'workers': 'beam'}, "Data.workers is 'beam'"),
  ],
)
def test_senseless_settings_are_refused(wrong, says):
  with pytest.raises(UserError, match=says):
    settings.Data(**wrong)


def test_a_tokenizer_is_trained_on_what_the_filters_leave(raw, tmp_path):
  from codemix.data.prepare.source import train_tokenizer

  source = corpus(raw, filters=(MaxFloats(0),))
  settings = dataclasses.replace(
    data(tmp_path, source), tokenizer='made.json', train_on=('lines',), vocab_size=270
  )
  tokenizer = train_tokenizer(settings, lambda line: None)
  left = [text for file in FILES for text in file if '1.5' not in text]
  assert documents(prepared(data(tmp_path, source))) == left
  assert tokenizer.digest == train_bpe(left, 270, tmp_path / 'expected.json').digest


def trained(tmp_path, raw, name, **options):
  settings = dataclasses.replace(
    data(tmp_path, corpus(raw)), tokenizer=name, train_on=('lines',), vocab_size=261, sample_bytes=10_000
  )
  from codemix.data.prepare.source import train_tokenizer

  said = []
  return train_tokenizer(settings, said.append, **options), said


def test_a_new_tokenizer_is_trained_with_a_word_of_it(raw, tmp_path):
  _, said = trained(tmp_path, raw, 'tokenizers/tokenizer.json')
  assert 'tokenizers/tokenizer.json does not exist; training a new one of 261 entries' in said[0] and said[0].endswith('of each of lines')
  _, said = trained(tmp_path, raw, 'tokenizers/tokenizer.json')
  assert not said
  _, said = trained(tmp_path, raw, 'tokenizers/another-8192.json')
  assert said


def test_a_tokenizer_of_another_size_is_used_with_a_word_of_it(raw, tmp_path):
  trained(tmp_path, raw, 'tokenizer.json')
  settings = dataclasses.replace(
    data(tmp_path, corpus(raw)), tokenizer='tokenizer.json', train_on=('lines',), vocab_size=300
  )
  from codemix.data.prepare.source import train_tokenizer

  said = []
  assert train_tokenizer(settings, said.append).vocab_size == 261
  assert 'has 261 entries; it is used as it is, and not trained with Data.vocab_size = 300' in said[0]


@pytest.mark.parametrize('name', ['tokenizers/tokenizr.json', 'tokenizers/Tokenizer.json', 'tokenizer/tokenizer.json', 'tokenizer.json'])
def test_a_slip_in_the_name_of_a_tokenizer_trains_none(raw, tmp_path, name):
  trained(tmp_path, raw, 'tokenizers/tokenizer.json')
  with pytest.raises(UserError, match=r"does not exist\. Did you mean '.*tokenizer\.json'\?.*`codemix tokenizer train`"):
    trained(tmp_path, raw, name)
  there = {path.name for path in tmp_path.rglob('*.json') if 'okeni' in path.name}
  assert there == {'tokenizer.json'}
  assert trained(tmp_path, raw, name, asked_for=True)[1]


def test_a_tokenizer_in_the_working_folder_is_not_trained_again_in_the_data_folder(raw, tmp_path, monkeypatch):
  (tmp_path / 'work').mkdir()
  monkeypatch.chdir(tmp_path / 'work')
  Path('mine.json').write_text('{}')
  with pytest.raises(UserError, match=rf"Did you mean '{tmp_path}/work/mine.json'\? A relative path is looked for in"):
    trained(tmp_path, raw, 'mine.json')


@pytest.mark.parametrize('name', ['byte', 'Bytes'])
def test_a_slip_in_bytes_is_told(raw, tmp_path, name):
  for use in (settings.Data(tokenizer=name, directory=str(tmp_path)).load_tokenizer, lambda: trained(tmp_path, raw, name)):
    with pytest.raises(UserError, match="Did you mean 'bytes'"):
      use()


def test_a_lossy_tokenizer_makes_another_store_and_says_in_it_what_it_changes(raw, tmp_path):
  lossless, _ = trained(tmp_path, raw, 'tokenizer.json')
  assert 'changes text' not in settings.tokenizer_identity(lossless)
  path = next(tmp_path.rglob('tokenizer.json'))
  definition = json.loads(path.read_text())
  path.write_text(json.dumps({**definition, 'normalizer': {'type': 'NFC'}}))
  about = dataclasses.replace(data(tmp_path, corpus(raw)), tokenizer='tokenizer.json')
  with pytest.raises(UserError, match=r'changes text: the normalizer NFC.*Data\.allow_lossy_tokenizer'):
    about.load_tokenizer()
  allowed = dataclasses.replace(about, allow_lossy_tokenizer=True)
  store = prepared(allowed)
  assert store.manifest['identity']['tokenizer']['changes text'] == ['the normalizer NFC']
  assert opened(allowed).digest == store.digest

def test_a_corpus_of_other_settings_is_refused_until_it_is_prepared_again(raw, tmp_path):
  prepared(data(tmp_path, corpus(raw)))
  changed = data(tmp_path, corpus(raw, filters=(MaxFloats(5),)))
  with pytest.raises(UserError, match="'lines' .train. was prepared with other settings of its Corpus: filters.*max_floats.*Run `codemix prepare`"):
    opened(changed)
  assert prepared(changed).digest == opened(changed).digest
