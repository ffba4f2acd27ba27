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


def measure(folder: Path, text_bytes: int, repeats: int) -> Iterator[Figure]:
  """Yields the speed of `prepare`, and ratios of the best of `repeats` runs, which take turns.

  Args:
    folder: an empty one.
    text_bytes: approximate bytes of text.
  """
  written = _write_corpus(folder, text_bytes)
  runs = [
    {name: in_fresh_process(_seconds, folder, workers) for name, workers in (('alone', 0), ('one', 1), ('two', 2))}
    for _ in range(repeats)
  ]
  best = {name: min(run[name] for run in runs) for name in runs[0]}
  yield Figure('prepare, one process with one thread', written / best['one'] / 1e6, 'MB/s')
  yield Figure('prepare to the tokenizer alone', best['alone'] / best['one'], 'x', goal=0.7)
  yield Figure(f'prepare, two processes to one ({os.cpu_count()} cores)', best['one'] / best['two'], 'x')


def _write_corpus(folder: Path, text_bytes: int) -> int:
  """Writes raw files, and a tokenizer trained on their first texts; returns the bytes of text."""
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


def _seconds(folder: Path, workers: int) -> float:
  """Seconds of `prepare` with so many workers (0: of the tokenizer alone), each with one tokenizer thread."""
  from codemix.data.corpus.corpus import Corpus
  from codemix.data.prepare.source import prepare
  from codemix.data.settings import Data

  os.environ['RAYON_NUM_THREADS'] = '1'  # of the tokenizer's library, in this process and its workers
  corpus = Corpus(files={'train': '*.jsonl'}, root=str(folder / 'raw'))
  with tempfile.TemporaryDirectory(dir=folder) as directory:
    data = Data(directory=directory, tokenizer=str(folder / 'tokenizer.json'), sources={'library': corpus}, workers=workers or 1)
    tokenizer = data.load_tokenizer()
    if workers:
      return seconds(lambda: prepare('library', 'train', data, tokenizer, lambda line: None))
    texts = [json.loads(line)['text'] for path in (folder / 'raw').iterdir() for line in path.open()]
    return seconds(lambda: len(tokenizer.encode_batch(texts)))
