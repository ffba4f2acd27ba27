"""How fast rows are loaded, the order of a stage is computed, and text is prepared.

In a folder of a bucket only rows are loaded: with an empty cache, then with all of them in it. The data is random and
written to a temporary folder. TensorFlow is not imported.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import time
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np

from codemix.benchmarks import prepare
from codemix.benchmarks.figure import Figure, Sizes
from codemix.benchmarks.measuring import in_fresh_process, peak_growth, status_bytes
from codemix.benchmarks.random_store import write_random
from codemix.data.batches import loader
from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.batches.source_use import plan_uses
from codemix.data.batches.stage_rows import StageRows
from codemix.data.languages import CODE_DOCUMENTS, MARKUP_DOCUMENTS
from codemix.data.order.row_order import row_order
from codemix.data.order.row_schedule import RowSchedule, constant_shares
from codemix.errors import UserError
from codemix.storage import is_remote
from codemix.storage.ranges import CACHE

LENGTH = 8192  # tokens of a row, as in the paper
LEAST_TOKENS = 1_000_000  # of all sources, so that the one with the longest documents has some rows
DOCUMENT_TOKENS = {'text': 700, 'code': 2500, 'markup': 20_000}  # mean length of the random documents
SHARES = {'text': Fraction(1, 2), 'code': Fraction(2, 5), 'markup': Fraction(1, 10)}


@dataclasses.dataclass(frozen=True)
class Size(Sizes):
  """How much is measured.

  Attributes:
    tokens: of all sources; reading from a cold cache needs more than the disk's own cache holds.
    batch: rows of a batch.
    batches: read one after the other while the growth of memory is measured.
    text_bytes: of text that is prepared, and tokenized alone.
    repeats: of that, of which the best counts, and of reading rows again, of which the median counts.
    stage_rows: whose order is laid out; by default those of 200B tokens.
  """

  tokens: int = 400_000_000
  batch: int = 8
  batches: int = 10_000
  text_bytes: int = 16_000_000
  repeats: int = 3
  stage_rows: int = 24_414_063

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.tokens < LEAST_TOKENS:
      raise UserError(f'--size=tokens={self.tokens}: write {LEAST_TOKENS:_} or more, so that every source has rows.')


def measure(folder: Path, size: Size) -> Iterator[Figure]:
  """Yields each figure as soon as it is measured.

  Args:
    folder: an empty one, with room for 2 bytes a token; it may be in a bucket.
  """
  sources = write_sources(folder, size.tokens)
  rows = _stage_rows(sources, size)
  if is_remote(folder):
    yield from _empty_cache(rows, size)
  else:
    yield _cold(rows, folder, size)
  yield _warm(rows, size)
  yield _on_device(rows, size)
  yield from _memory(rows, size)
  if is_remote(folder):
    return
  yield from _schedule(folder / 'orders', size.stage_rows)
  (folder / 'prepare').mkdir()
  yield from prepare.measure(folder / 'prepare', size.text_bytes, size.repeats)


def write_sources(folder: Path, tokens: int) -> dict[str, PreparedSource]:
  """Writes a store for each source of `SHARES`, of random documents."""
  sources = {}
  for name, share in SHARES.items():
    identity = {'task': name, 'split': 'train'}
    store = write_random(folder / name, identity, int(tokens * share), 2**16, DOCUMENT_TOKENS[name])
    sources[name] = PreparedSource(name, store, LENGTH, bos_id=1)
  return sources


def _stage_rows(sources: dict[str, PreparedSource], size: Size) -> StageRows:
  segments = constant_shares(SHARES, size.batch * size.batches)
  draws = plan_uses(sources, SHARES, segments, {}, seed=0)
  return StageRows(sources, draws, segments, seed=0)


def _read(rows: StageRows, size: Size, steps: range) -> float:
  """Tokens a second of these steps' batches."""
  began = time.perf_counter()
  for step in steps:
    rows.read(np.arange(step * size.batch, (step + 1) * size.batch))
  return len(steps) * size.batch * LENGTH / (time.perf_counter() - began)


def _cold(rows: StageRows, folder: Path, size: Size) -> Figure:
  """Rows in the order of a stage, from files that are not in the page cache."""
  rows.locate(0, 1)
  for path in folder.glob('*/tokens-*'):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
  speed = _read(rows, size, _half(rows, size))
  return Figure('rows from a cold cache', speed / 1e6, 'M tokens/s', goal=5)


def _empty_cache(rows: StageRows, size: Size) -> Iterator[Figure]:
  """Half of the rows in the order of a stage from a bucket, of which nothing is on the disk yet."""
  fetched, requests = CACHE.fetched, CACHE.requests
  steps = _half(rows, size)
  speed = _read(rows, size, steps)
  read = len(steps) * size.batch * LENGTH * 2
  yield Figure('rows from a bucket, with an empty cache', speed / 1e6, 'M tokens/s', goal=5)
  yield Figure('bytes fetched for that, to those of its tokens', (CACHE.fetched - fetched) / read, 'x')
  yield Figure('requests for that, a row', (CACHE.requests - requests) / (len(steps) * size.batch), '')


def _half(rows: StageRows, size: Size) -> range:
  """The steps that read half of all rows of an epoch."""
  whole = sum(len(source) for source in rows.sources)
  return range(min(max(whole // size.batch // 2, 1), size.batches))


def _warm(rows: StageRows, size: Size) -> Figure:
  steps = range(min(500, size.batches))
  _read(rows, size, steps)
  # In a bucket's cache, what was just written to the disk still occupies it in the first of these.
  speeds = [_read(rows, size, steps) for _ in range(size.repeats)]
  return Figure('rows, one process', statistics.median(speeds) / 1e6, 'M tokens/s', goal=20)


def _on_device(rows: StageRows, size: Size) -> Figure:
  """Rows by the loader's threads onto the first device, as in the training loop."""
  import jax
  from jax.sharding import Mesh, NamedSharding, PartitionSpec

  sharding = NamedSharding(Mesh(np.asarray(jax.devices()[:1]), ('data',)), PartitionSpec('data'))
  steps = range(min(500, size.batches))
  jax.block_until_ready(list(loader.batches(rows, size.batch, steps[:1], sharding, prefetch=4)))
  began = time.perf_counter()  # the loader starts at the first batch
  for batch in loader.batches(rows, size.batch, steps, sharding, prefetch=4):
    jax.block_until_ready(batch)
  speed = len(steps) * size.batch * LENGTH / (time.perf_counter() - began)
  return Figure(f'rows on the device ({jax.devices()[0].platform})', speed / 1e6, 'M tokens/s', goal=20)


def _memory(rows: StageRows, size: Size) -> Iterator[Figure]:
  """Growth of the resident memory from a tenth of the batches to the last."""
  _read(rows, size, range(size.batches // 10))
  before = status_bytes('VmRSS')
  _read(rows, size, range(size.batches // 10, size.batches))
  grown = status_bytes('VmRSS') - before
  yield Figure(f'memory grown by over {size.batches:,} batches', grown / 2**20, 'MiB', goal=16, more_is_better=False)


def _schedule(folder: Path, rows: int) -> Iterator[Figure]:
  """The order of a long stage of the paper's 36 sources, in a process of its own."""
  built, read, grown, found = in_fresh_process(_build_schedule, folder, rows)
  yield Figure(f'order of {rows:,} rows of {len(_study_shares())} sources', built, 's', goal=60, more_is_better=False)
  yield Figure('that order from its file', read, 's', goal=2, more_is_better=False)
  yield Figure('memory of that', grown / 2**20, 'MiB', goal=300, more_is_better=False)
  yield Figure('position of a step', 1e3 * found, 'ms', goal=1, more_is_better=False)


def _build_schedule(folder: Path, rows: int) -> tuple[float, float, int, float]:
  """Seconds to compute the order, and to read it again; bytes by which the process grows at most; seconds to find a step."""
  segments = constant_shares(_study_shares(), rows)
  schedules: list[RowSchedule] = []
  began = time.perf_counter()
  grown = peak_growth(lambda: schedules.append(RowSchedule(segments, folder)))
  built = time.perf_counter() - began
  row_order.cache_clear()
  began = time.perf_counter()
  RowSchedule(segments, folder)
  read = time.perf_counter() - began
  starts = np.random.default_rng(0).integers(0, max(rows - 512, 1), 1000).tolist()
  began = time.perf_counter()
  for start in starts:
    schedules[0].draws(start, start + 512)
  return built, read, grown, (time.perf_counter() - began) / len(starts)


def _study_shares() -> dict[str, Fraction]:
  """Half text and half code, a fifth of the code markup, with the shares of the paper's tables."""
  code, markup = _fractions(CODE_DOCUMENTS), _fractions(MARKUP_DOCUMENTS)
  return {
    'text': Fraction(1, 2),
    **{name: Fraction(2, 5) * share for name, share in code.items()},
    **{name: Fraction(1, 10) * share for name, share in markup.items()},
  }


def _fractions(table: Mapping[str, str]) -> dict[str, Fraction]:
  total = sum(map(Fraction, table.values()))
  return {name: Fraction(share) / total for name, share in table.items()}
