"""What is shown of `prepare` while it works comes from what the workers leave on the disk."""

from __future__ import annotations

import time

from codemix.data.prepare import progress, tokenize_shard
from codemix.data.prepare.progress import PrepareProgress, progress_file
from codemix.data.store.record_counts import RecordCounts, amount
from codemix.data.store.shard_writer import shard_file
from codemix.storage import write_json
from tests.data.raw_corpora import corpus, data, texts, write_lines


def finished(folder, name: str, documents: int) -> None:
  counted = RecordCounts(('short', 'long'))
  counted.keep('en', '', amount(documents - 1, 10 * documents - 10, 3))
  counted.drop(1, 'too long', amount(1, 10, 3))
  write_json(shard_file(folder, name), {'accounts': counted.summary()})


def test_finished_shards_and_those_in_work_are_added_up(tmp_path):
  shown = PrepareProgress(tmp_path, {'a': 100, 'b': 100, 'c': 200})
  assert shown.read() == (0, 0, 0, 0)
  finished(tmp_path, 'a', documents=5)
  progress_file(tmp_path, 'c').write_text('7 70 50')
  assert shown.read() == (1, 12, 120, 150)
  progress_file(tmp_path, 'b').write_text('')  # about to be written
  progress_file(tmp_path, 'c').unlink()
  finished(tmp_path, 'c', documents=20)
  assert shown.read() == (2, 25, 250, 300)


def test_the_time_left_is_that_of_what_is_left(tmp_path, monkeypatch):
  now = [1000.0]
  monkeypatch.setattr(time, 'monotonic', lambda: now[0])
  finished(tmp_path, 'a', documents=5)
  shown = PrepareProgress(tmp_path, {'a': 100, 'b': 100, 'c': 200})  # continues after an interruption
  now[0] += 10
  assert 'ETA' not in shown.line()
  finished(tmp_path, 'b', documents=100_000)
  assert shown.line() == '2 of 3 shards, 100,005 documents, 1.0 MB, 0.1 MB/s, ETA 20 s'


def test_lines_are_written_while_a_corpus_is_prepared(tmp_path, monkeypatch):
  from codemix.data.prepare.source import prepare

  monkeypatch.setattr(progress, 'LINE_EVERY_S', 0.001)
  monkeypatch.setattr(progress, 'REPORT_EVERY_S', 0.0)
  monkeypatch.setattr(tokenize_shard, 'BATCH_CHARACTERS', 100)
  write_lines(tmp_path / 'raw', [texts(400), texts(400)])
  settings = data(tmp_path, corpus(tmp_path / 'raw'))
  said: list[str] = []
  prepare('lines', 'train', settings, settings.load_tokenizer(), said.append)
  assert said[0].startswith('prepare: lines train, ') and said[0].endswith(' MB of raw files')
  assert any('of 2 shards' in line and 'documents' in line for line in said[1:])
  assert not list(tmp_path.glob('stores/*/.progress-*'))
