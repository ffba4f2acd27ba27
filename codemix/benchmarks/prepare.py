"""How fast text is prepared, beside the tokenizer alone on the same text.

The text is the source code of Python's standard library, which every machine has.
"""

from __future__ import annotations

import json
import os
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from codemix.benchmarks.figure import Figure
from codemix.benchmarks.measuring import in_fresh_process, seconds

FILES = 8  # of raw text, for two processes to share
VOCAB_SIZE = 8192
SAMPLE_BYTES = 2_000_000
THREADS = 'RAYON_NUM_THREADS'  # sets the threads of the tokenizer's library


def measure(folder: Path, text_bytes: int, repeats: int) -> Iterator[Figure]:
  """Yields the speed of `prepare`, and ratios of the best of `repeats` runs, which take turns.

  Args:
    folder: an empty one.
    text_bytes: approximate bytes of text.
  """
  written = _write_corpus(folder, text_bytes)
  runs = [
    {name: _run(folder, workers) for name, workers in (('alone', 0), ('one', 1), ('two', 2))} for _ in range(repeats)
  ]
  best = {name: min(run[name] for run in runs) for name in runs[0]}
  yield Figure('prepare, one process with one thread', written / best['one'] / 1e6, 'MB/s')
  yield Figure('prepare to the tokenizer alone', best['alone'] / best['one'], 'x', goal=0.7)
  yield Figure(f'prepare, two processes to one ({os.cpu_count()} cores)', best['one'] / best['two'], 'x')


def _write_corpus(folder: Path, text_bytes: int) -> int:
  """Writes raw files, and a tokenizer trained on their first texts; returns the bytes of text."""
  from codemix.data.tokenization.tokenizer import train_bpe

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


def _run(folder: Path, workers: int) -> float:
  """Seconds of `prepare` (0 workers: of the tokenizer) in a fresh process, with one tokenizer thread a process."""
  before = os.environ.get(THREADS)
  os.environ[THREADS] = '1'
  try:
    return in_fresh_process(_prepare if workers else _tokenize, folder, workers)
  finally:
    os.environ.pop(THREADS) if before is None else os.environ.update({THREADS: before})


def _tokenize(folder: Path, _: int) -> float:
  from codemix.data.tokenization.tokenizer import load_tokenizer

  tokenizer = load_tokenizer(folder / 'tokenizer.json')
  texts = [json.loads(line)['text'] for path in (folder / 'raw').iterdir() for line in path.open()]
  return seconds(lambda: tokenizer.encode_batch(texts))


def _prepare(folder: Path, workers: int) -> float:
  from codemix.data.corpus.corpus import Corpus
  from codemix.data.prepare.source import prepare
  from codemix.data.settings import Data

  corpus = Corpus(files={'train': '*.jsonl'}, root=str(folder / 'raw'))
  with tempfile.TemporaryDirectory(dir=folder) as directory:
    data = Data(directory=directory, tokenizer=str(folder / 'tokenizer.json'), sources={'library': corpus}, workers=workers)
    tokenizer = data.load_tokenizer()
    return seconds(lambda: prepare('library', 'train', data, tokenizer, lambda line: None))
