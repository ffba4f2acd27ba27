"""How fast text is prepared, beside what the tokenizer alone does on the same text.

The text is the source code of Python's standard library, which lies on every machine.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sysconfig
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from codemix.benchmarks.figure import Figure

FILES = 8  # of raw text, so that two processes have something to share
VOCAB_SIZE = 8192
SAMPLE_BYTES = 2_000_000
THREADS = 'RAYON_NUM_THREADS'  # of the tokenizer's library


def measure(folder: Path, text_bytes: int, repeats: int) -> Iterator[Figure]:
  """Yields the speed of `prepare` and its ratios; a ratio is of the best of `repeats` runs taken in turn.

  Args:
    folder: an empty one.
    text_bytes: about how much text.
  """
  written = _write_corpus(folder, text_bytes)
  runs = [
    {name: _apart(folder, workers) for name, workers in (('alone', 0), ('one', 1), ('two', 2))} for _ in range(repeats)
  ]
  best = {name: min(run[name] for run in runs) for name in runs[0]}
  yield Figure('prepare, one process with one thread', written / best['one'] / 1e6, 'MB/s')
  yield Figure('prepare to the tokenizer alone', best['alone'] / best['one'], 'x', goal=0.7)
  yield Figure(f'prepare, two processes to one ({os.cpu_count()} cores)', best['one'] / best['two'], 'x')


def _write_corpus(folder: Path, text_bytes: int) -> int:
  """Writes the raw files and a tokenizer trained on their beginning; returns the bytes of text."""
  from codemix.data.tokenization.bpe import train_bpe

  library = sorted(Path(sysconfig.get_path('stdlib')).glob('**/*.py'))
  texts, size = [], 0
  for path in library:
    if 'site-packages' not in path.parts and size < text_bytes:
      texts.append(path.read_text(errors='replace'))
      size += len(texts[-1].encode())
  (folder / 'raw').mkdir()
  for number in range(FILES):
    lines = (json.dumps({'text': text}) + '\n' for text in texts[number::FILES])
    (folder / 'raw' / f'{number}.jsonl').write_text(''.join(lines))
  train_bpe(_first(texts, SAMPLE_BYTES), VOCAB_SIZE, folder / 'tokenizer.json')
  return size


def _first(texts: list[str], size: int) -> Iterator[str]:
  for text in texts:
    if size > 0:
      yield text
    size -= len(text)


def _apart(folder: Path, workers: int) -> float:
  """Seconds of a run in a process of its own, with one thread for the tokenizer in it and in its workers."""
  before = os.environ.get(THREADS)
  os.environ[THREADS] = '1'
  try:
    spawned = multiprocessing.get_context('spawn')  # a process of multiprocessing.Pool may have no workers of its own
    with ProcessPoolExecutor(1, mp_context=spawned) as apart:
      return apart.submit(_prepare if workers else _tokenize, folder, workers).result()
  finally:
    os.environ.pop(THREADS) if before is None else os.environ.update({THREADS: before})


def _timed(work: Callable[[], object]) -> float:
  began = time.perf_counter()
  work()
  return time.perf_counter() - began


def _tokenize(folder: Path, _: int) -> float:
  from codemix.data.tokenization.tokenizer import load_tokenizer

  tokenizer = load_tokenizer(folder / 'tokenizer.json')
  texts = [json.loads(line)['text'] for path in (folder / 'raw').iterdir() for line in path.open()]
  return _timed(lambda: tokenizer.encode_batch(texts))


def _prepare(folder: Path, workers: int) -> float:
  import tempfile

  from codemix.data.corpus.corpus import Corpus
  from codemix.data.prepare.source import prepare
  from codemix.data.settings import Data

  corpus = Corpus(files={'train': '*.jsonl'}, root=str(folder / 'raw'))
  with tempfile.TemporaryDirectory(dir=folder) as directory:
    data = Data(directory=directory, tokenizer=str(folder / 'tokenizer.json'), sources={'library': corpus}, workers=workers)
    tokenizer = data.load_tokenizer()
    return _timed(lambda: prepare('library', 'train', data, tokenizer, lambda line: None))
