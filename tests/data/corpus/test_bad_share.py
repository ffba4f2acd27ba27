"""All that reads a corpus ends with the same error where too much of it is broken."""

from __future__ import annotations

import dataclasses
import gzip
import random

import pytest

from codemix.data.corpus.bad_share import BadShare, merged
from codemix.data.corpus.corpus import Corpus
from codemix.data.open_stream import open_stream
from codemix.data.prepare.source import train_tokenizer
from codemix.data.raw.record import BadRecord, Record
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.errors import UserError
from tests.data.raw_corpora import as_json, corpus, data, documents, prepared, texts, write_lines

BYTES = load_tokenizer('bytes')


def lines(good: int, bad: int, seed: int = 0) -> list:
  mixed = [*texts(good, seed), *[b'broken'] * bad]
  random.Random(seed).shuffle(mixed)
  return mixed


def read_whole(kind: str, root, source: Corpus, **settings) -> None:
  """Reads a corpus to its end as one of those who do."""
  settings = data(root, source, **settings)
  if kind in ('train', 'validation'):
    prepared(settings, kind)
  elif kind == 'tokenizer':
    train_tokenizer(dataclasses.replace(settings, tokenizer='made.json', train_on=('lines',), vocab_size=300), lambda line: None)
  elif kind == 'streaming':
    stream = open_stream('lines', dataclasses.replace(settings, streaming=True), BYTES, 16, 1.0)
    for _ in stream.read():
      pass
  else:
    _prepare_task(settings, source)


def _prepare_task(settings, source: Corpus) -> None:
  import seqio

  from codemix.data.prepare.source import prepare
  from codemix.data.seqio.corpus_task import register_corpus

  register_corpus('bad_share_lines', dataclasses.replace(source, name='lines'))
  try:
    prepare('bad_share_lines', 'train', dataclasses.replace(settings, sources={}), BYTES, lambda line: None)
  finally:
    seqio.TaskRegistry.remove('bad_share_lines')


@pytest.mark.parametrize('kind', ['train', 'validation', 'tokenizer', 'streaming', 'task'])
@pytest.mark.parametrize(('good', 'bad'), [(150, 850), (15, 85), (2000, 100)])
def test_every_reader_refuses_what_is_too_broken(tmp_path, kind, good, bad):
  write_lines(tmp_path / 'raw', [lines(good, bad)])
  with pytest.raises(UserError, match=r"corpus 'lines': .* records (read so far )?are broken, more than Corpus.max_bad_share=0.01. The first: .*part-0.jsonl:\d+: not JSON"):
    read_whole(kind, tmp_path, corpus(tmp_path / 'raw', validation_share=0.1))


@pytest.mark.parametrize('kind', ['train', 'validation', 'tokenizer', 'streaming', 'task'])
def test_every_reader_takes_what_the_share_allows(tmp_path, kind):
  write_lines(tmp_path / 'raw', [lines(150, 850), lines(150, 10, 1)])
  read_whole(kind, tmp_path, corpus(tmp_path / 'raw', validation_share=0.1, max_bad_share=0.9))


@pytest.mark.parametrize('kind', ['train', 'task'])
@pytest.mark.parametrize('shards', [1, 3, pytest.param(8, marks=pytest.mark.slow)])
def test_the_division_into_shards_does_not_decide_what_is_too_broken(tmp_path, kind, shards):
  # A part of 2% within a whole of 0.5%.
  write_lines(tmp_path / 'raw', [lines(980, 20), *(lines(1000, 0, seed) for seed in (1, 2, 3))])
  read_whole(kind, tmp_path, corpus(tmp_path / 'raw'), shards=shards)
  with pytest.raises(UserError, match='are broken, more than Corpus.max_bad_share=0.004'):
    read_whole(kind, tmp_path / 'strict', corpus(tmp_path / 'raw', max_bad_share=0.004), shards=shards)


def test_a_tokenizer_whose_sample_ends_early_is_held_to_the_rule(tmp_path):
  write_lines(tmp_path / 'raw', [lines(150, 850)])
  with pytest.raises(UserError, match='records read so far are broken'):
    read_whole('tokenizer', tmp_path, corpus(tmp_path / 'raw'), sample_bytes=2000)


def test_a_streamed_source_is_looked_at_before_anything_is_trained_on_it(tmp_path):
  write_lines(tmp_path / 'raw', [lines(150, 850)])
  with pytest.raises(UserError, match='records read so far are broken'):
    open_stream('lines', data(tmp_path, corpus(tmp_path / 'raw')), BYTES, 16, 1.0)


@pytest.mark.parametrize('workers', [1, 2])
@pytest.mark.parametrize('shards', [1, 2])
def test_a_damaged_file_costs_the_same_on_any_workers_and_its_documents_are_kept(tmp_path, workers, shards):
  raw = tmp_path / 'raw'
  raw.mkdir()
  written = [texts(2000, seed) for seed in (0, 1)]
  for name, each in zip('ab', written, strict=True):
    (raw / f'{name}.jsonl.gz').write_bytes(gzip.compress(b''.join(as_json(text) + b'\n' for text in each)))
  (raw / 'b.jsonl.gz').write_bytes((raw / 'b.jsonl.gz').read_bytes() + b'x')
  source = Corpus({'train': '*.jsonl.gz'}, root=str(raw))
  store = prepared(data(tmp_path, source, workers=workers, shards=shards))
  assert documents(store) == [*written[0], *written[1]]
  read = merged([store.manifest['accounts']['read']])
  assert (read.broken, read.total, read.files) == (1, 4001, 2)
  [damage] = read.damaged
  assert damage.place == f'{raw}/b.jsonl.gz' and 'after line 2,000' in damage.detail
  (raw / 'b.jsonl.gz').write_bytes((raw / 'b.jsonl.gz').read_bytes()[:-20_000])
  with pytest.raises(UserError, match=r'about [\d,]+ of 4,000 records are broken or lost with damaged files.*b.jsonl.gz: damaged file .after line'):
    prepared(data(tmp_path, source, workers=workers, shards=shards))


def test_parts_of_a_corpus_add_up_to_the_whole():
  whole, parts = BadShare(files=3), []
  items = [Record('a')] * 100 + [BadRecord('f:1', 'not JSON')] * 4 + [BadRecord('f', 'damaged file', lost=7), BadRecord('g', 'damaged file', lost=None, after=30)]
  random.Random(0).shuffle(items)
  for n in range(3):
    part = BadShare(files=1)
    for item in items[n * 40 : (n + 1) * 40]:
      part.add(item)
    parts.append(part)
  for item in items:
    whole.add(item)
  assert merged(part.summary() for part in parts) == whole
  assert (whole.broken, whole.total) == (4 + 7 + (round((111 - 30) / 2) - 30), 111 + (round((111 - 30) / 2) - 30))


@pytest.mark.parametrize('kind', ['tokenizer', 'streaming'])
def test_a_damaged_file_that_is_read_without_accounts_is_named_on_the_terminal(tmp_path, capfd, kind):
  raw = tmp_path / 'raw'
  raw.mkdir()
  (raw / 'a.jsonl.gz').write_bytes(gzip.compress(b''.join(as_json(text) + b'\n' for text in texts(500))) + b'x')
  read_whole(kind, tmp_path, Corpus({'train': '*.jsonl.gz'}, root=str(raw)))
  assert "corpus 'lines': " in (said := capfd.readouterr().err)
  assert 'a.jsonl.gz: damaged file (after line 500: its end is followed by 1 byte that is not gzip' in said
