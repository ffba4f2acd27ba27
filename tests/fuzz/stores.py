"""Seeds of data: a prepared token store, corpora, an evaluation set, tokenizers."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.readers.parquet import Parquet
from codemix.data.evaluation_sets.records import records_of
from codemix.data.raw import storage
from codemix.data.settings import Data
from codemix.data.store import raw_files
from codemix.data.store.describe import describe
from codemix.data.store.digests import seal, stream_digest
from codemix.data.store.token_store import open_store, read_shard
from codemix.data.store.verify import verify_whole
from codemix.data.tokenization.bpe import train_bpe
from codemix.data.tokenization.tokenizer import load_tokenizer
from codemix.evaluation.tasks.completions_file import read_completions
from codemix.identity import file_digest
from tests import instructions
from tests.data.raw_corpora import corpus, data, prepared, texts, write_lines
from tests.fuzz.harness import Input
from tests.huggingface.stages import train_sentencepiece


def inputs(root: Path) -> list[Input]:
  return [*_store(root / 'store'), *_store_with_prompts(root / 'prompts'), *_corpora(root / 'corpora'), *_tokenizers(root / 'tokenizers')]


def _store(root: Path) -> list[Input]:
  broken = b'{"text": "cut off'
  write_lines(root / 'raw', [texts(12, seed=1), [*texts(12, seed=2), broken]])
  described = data(root, corpus(root / 'raw', max_bad_share=0.5), shards=2)
  folder = prepared(described).folder
  tokenizer = load_tokenizer('bytes')

  def read() -> object:
    store = open_store(folder, tokenizer=tokenizer)
    verify_whole(store)
    raw_files.check(folder, 'lines')
    return store.manifest, store.read(0, store.tokens), store.document_ends, store.document_bytes

  def read_all() -> object:
    store = open_store(folder, tokenizer=tokenizer)
    describe(store)
    return read()

  manifest = folder / 'manifest.json'
  [first, _] = sorted(folder.glob('shard-*.json'))
  files = {'tokens': '*.bin', 'table': '*.npy', 'set aside': 'bad-*.jsonl'}
  sealed = [Input(f'store {name}', sorted(folder.glob(pattern))[-1], 'bytes', read, sealed=True) for name, pattern in files.items()]
  hostile = [
    Input(f'hostile store {name}', sorted(folder.glob(pattern))[-1], 'bytes', read_all, reseal=lambda: reseal_store(folder), also=[manifest])
    for name, pattern in files.items()
  ]
  return [
    Input('store manifest', manifest, 'json', read, sealed=True),
    Input('hostile store manifest', manifest, 'json', read_all, reseal=lambda: reseal_store(folder, files=False)),
    *sealed,
    *hostile,
    Input('shard record', first, 'json', lambda: read_shard(folder, first.stem.removeprefix('shard-'))),
    Input('store sources', folder / 'sources.json', 'json', lambda: (raw_files.check(folder, 'lines'), raw_files.verify(folder, 'lines', storage.digest_of))),
  ]


def _store_with_prompts(root: Path) -> list[Input]:
  made = instructions.corpus(root / 'raw', {'train': instructions.pairs(12)})
  described = instructions.add(Data(directory=str(root / 'data'), tokenizer='bytes', shards=2), 'asked', made)
  folder = described.open_store('asked', 'train', load_tokenizer('bytes')).folder

  def read() -> object:
    store = open_store(folder)
    verify_whole(store)
    describe(store)
    return store.manifest, store.read(0, store.tokens), store.counts_in_loss(0, store.tokens)

  return [
    Input('store loss', sorted(folder.glob('loss-*'))[-1], 'bytes', read, sealed=True),
    Input('hostile store loss', sorted(folder.glob('loss-*'))[-1], 'bytes', read, reseal=lambda: reseal_store(folder), also=[folder / 'manifest.json']),
    Input('hostile prompts manifest', folder / 'manifest.json', 'json', read, reseal=lambda: reseal_store(folder, files=False)),
  ]


def reseal_store(folder: Path, files: bool = True) -> None:
  """Writes the digests that fit the files of a store, and the seal that fits its manifest."""
  path = folder / 'manifest.json'
  manifest = json.loads(path.read_text())
  if files:
    for shard in manifest['shards']:
      shard['sha256'] = {name: file_digest(folder / name) for name in shard['sha256']}
      if 'quarantine' in shard:
        shard['quarantine']['sha256'] = file_digest(folder / shard['quarantine']['file'])
    with contextlib.suppress(Exception):  # its table is not a table: the digest stays
      names = [shard['name'] for shard in manifest['shards']]
      manifest['digest'] = stream_digest(folder, names, np.dtype(manifest['dtype']), 'loss_tokens' in manifest)
  seal_manifest(manifest)
  path.write_text(json.dumps(manifest))


def seal_manifest(manifest: dict) -> None:
  with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):  # what cannot be digested stays as it is
    manifest['seal'] = seal(manifest)


def _corpora(root: Path) -> list[Input]:
  write_lines(root, [texts(20, seed=3)])
  rows = texts(200, seed=4)
  table = pa.table({'text': rows, 'size': [len(row) for row in rows], 'meta': [{'stars': n, 'name': str(n)} for n in range(len(rows))]})
  pq.write_table(table, root / 'rows.parquet', row_group_size=80)
  lines = Corpus(files={'train': 'part-0.jsonl'}, root=str(root), max_bad_share=1.0)
  parquet = Corpus(files={'train': 'rows.parquet'}, root=str(root), reader=Parquet(), max_bad_share=1.0)
  narrow = Parquet().only(())
  questions = [{'question': text, 'answer': text[:5]} for text in texts(10, seed=5)]
  (root / 'questions.json').write_text(json.dumps(questions))
  (root / 'questions.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in questions))
  (root / 'questions.csv').write_text('question,answer\n' + ''.join(f'"{row["question"]}",x\n' for row in questions))

  ids = [str(number) for number in range(6)]
  made = root / 'completions.jsonl'
  made.write_text(''.join(json.dumps({'task': 'mbpp', 'id': id, 'completion': f'return {id}'}) + '\n' for id in ids))

  def read(given: Corpus) -> object:
    return [outcome for piece in given.reader.pieces(given.urls('train')) for outcome in given.outcomes('train', piece)]

  def rows_of(url: str) -> object:
    return [row for piece in narrow.pieces([url]) for row in narrow.rows(piece)]

  path = root / 'rows.parquet'
  sets = [(root / f'questions.{end}', form) for end, form in (('json', 'json'), ('jsonl', 'lines'), ('csv', 'bytes'))]
  return [
    Input('corpus lines', root / 'part-0.jsonl', 'lines', lambda: read(lines)),
    Input('corpus parquet', path, 'parquet', lambda: read(parquet)),
    Input('corpus parquet, no column', path, 'parquet', lambda: rows_of(str(path))),
    *(Input(f'evaluation set {path.suffix}', path, form, lambda path=path: list(records_of(str(path), True))) for path, form in sets),
    Input('completions', made, 'lines', lambda: read_completions(str(made), 'mbpp', ids, ids)),
    Input('evaluation set .parquet', path, 'parquet', lambda: list(records_of(str(path), True))),
  ]


def _tokenizers(root: Path) -> list[Input]:
  root.mkdir(parents=True)
  train_bpe(texts(60), 290, root / 'tokenizer.json')
  train_sentencepiece(root / 'tokenizer.model')

  def read(path: Path) -> object:
    tokenizer = load_tokenizer(path, lossy=True)
    ids = tokenizer.encode('def f(x):\n  return x\u00e9')
    return tokenizer.vocab_size, ids, tokenizer.decode(ids), tokenizer.decode(list(range(300)))

  bpe, model = root / 'tokenizer.json', root / 'tokenizer.model'
  return [
    Input('tokenizer.json', bpe, 'json', lambda: read(bpe)),
    Input('tokenizer.model', model, 'bytes', lambda: read(model)),
  ]


