"""What a store was made from: each change of it makes another store, or is refused by name."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from codemix.data import raw_files, settings
from codemix.data.filters import MaxFloats
from codemix.data.tokenizer import ByteTokenizer, load_tokenizer, train_bpe
from codemix.data.verify import verify_whole
from codemix.errors import UserError
from tests.data.raw_corpora import corpus, data, documents, prepared, texts, write_lines

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
    verify_whole(folder)
  manifest['identity']['shards'] = 7
  (folder / 'manifest.json').write_text(json.dumps(manifest))
  with pytest.raises(UserError, match='its identity is not the one that the folder is named by'):
    verify_whole(folder)


def test_two_sources_of_one_name_are_refused(raw):
  twice = settings.Data(sources=({'lines': corpus(raw)}, {'lines': corpus(raw)}))
  with pytest.raises(UserError, match="two sources named 'lines'"):
    _ = twice.corpora
  merged = settings.Data(sources=({'lines': corpus(raw)}, {'others': corpus(raw)})).corpora
  assert [each.name for each in merged.values()] == ['lines', 'others']


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
  from codemix.data.prepare import train_tokenizer

  source = corpus(raw, filters=(MaxFloats(0),))
  settings = dataclasses.replace(
    data(tmp_path, source), tokenizer='made.json', train_on=('lines',), vocab_size=270
  )
  tokenizer = train_tokenizer(settings, lambda line: None)
  left = [text for file in FILES for text in file if '1.5' not in text]
  assert documents(prepared(data(tmp_path, source))) == left
  assert tokenizer.digest == train_bpe(left, 270, tmp_path / 'expected.json').digest
