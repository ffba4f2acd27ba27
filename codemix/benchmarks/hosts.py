"""What one host of many does for a batch of fixed size: at its start, and in each step.

For 1, 2, 4, ... simulated hosts the first and the last are run, each in a fresh process on its own: it opens the stores, plans the stage, and reads
its part of each batch. What depends on other hosts (rendezvous, barriers, collectives) is not in it. The data are random; in a
folder of a bucket they are read by range requests. TensorFlow is not imported.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from codemix.benchmarks.data import LEAST_TOKENS, SHARES, write_sources
from codemix.benchmarks.figure import Figure, Sizes
from codemix.benchmarks.measuring import in_fresh_process
from codemix.data.batches.network_need import Need, network_need
from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.batches.source_use import plan_uses
from codemix.data.batches.stage_rows import StageRows
from codemix.data.order.row_schedule import constant_shares
from codemix.data.store.token_store import open_store
from codemix.errors import UserError
from codemix.storage import is_remote
from codemix.storage.ranges import CACHE

# To the only host. Starts of equal work take different times, and the counters in /proc count their own reading.
GOALS = {('start', 'seconds'): 1.5, ('start', 'bytes'): 1.01, ('start', 'requests'): 1.01}


@dataclasses.dataclass(frozen=True)
class Size(Sizes):
  """How much is measured.

  Attributes:
    hosts: the most that are simulated; it divides `batch`.
    batch: rows of a global batch.
    length: tokens of a row.
    steps: that each host reads.
    tokens: of all sources.
  """

  hosts: int = 64
  batch: int = 512
  length: int = 8192
  steps: int = 4
  tokens: int = 40_000_000

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.hosts & (self.hosts - 1) or self.batch % self.hosts:
      raise UserError(f'--size=hosts={self.hosts}: write a power of 2 that divides batch = {self.batch}.')
    if self.tokens < LEAST_TOKENS:
      raise UserError(f'--size=tokens={self.tokens}: write {LEAST_TOKENS:_} or more, so that every source has rows.')


@dataclasses.dataclass(frozen=True)
class Cost:
  """What a host took for something: seconds, bytes that it read of stores, and requests (of a disk: calls of `read`)."""

  seconds: float
  bytes: float
  requests: float


@dataclasses.dataclass(frozen=True)
class Host:
  """What a host did.

  Attributes:
    start: opening the stores, and planning.
    step: a step, on average.
    locate: seconds to locate the rows of the whole batch.
    needed: what a step needs of the network by arithmetic (`network_need`); None on a disk.
    documents: the counts that process 0 sends to the others.
  """

  start: Cost
  step: Cost
  locate: float
  needed: Need | None
  documents: Mapping[str, int]


def measure(folder: Path, size: Size) -> Iterator[Figure]:
  """Yields the figures of the first and the last host of 1, 2, 4, ... hosts, then how they grow."""
  write_sources(folder, size.tokens)
  count, ran = 1, {}
  while count <= size.hosts:
    documents = None
    for index in dict.fromkeys((0, count - 1)):
      host = ran[count, index] = in_fresh_process(simulate, folder, size, count, index, documents)
      documents = host.documents
      yield from _figures(f'{count} hosts, host {index}', host)
    count *= 2
  yield from _growth(ran)


def simulate(folder: Path, size: Size, count: int, index: int, documents: Mapping[str, int] | None) -> Host:
  """What host `index` of `count` does; `documents` is what process 0 has sent, None in process 0."""
  before = _now(folder)
  sources = {}
  for name in SHARES:
    source = PreparedSource(name, open_store(folder / name), size.length, bos_id=1)
    sources[name] = source if documents is None else Following(**vars(source), sent=documents[name])
  segments = constant_shares(SHARES, size.batch * size.steps)
  uses = plan_uses(sources, SHARES, segments, {}, seed=0)
  rows = StageRows(sources, uses, segments, seed=0)
  start = _since(before, folder)
  # As `loader.local_positions` gives them if a host's devices are neighbours in the mesh.
  mine = np.arange(index * size.batch // count, (index + 1) * size.batch // count)
  before = _now(folder)
  for step in range(size.steps):
    rows.read(step * size.batch + mine)
  read = _since(before, folder, size.steps)
  before = _now(folder)
  for step in range(size.steps):
    rows.locate(step * size.batch, (step + 1) * size.batch)
  located = _since(before, folder, size.steps).seconds
  needed = network_need(rows, len(mine), size.steps)
  return Host(start, read, located, needed, {use.source: use.documents for use in uses})


@dataclasses.dataclass(frozen=True)
class Following(PreparedSource):
  """A source in a process that is not the first: the number of documents was sent to it."""

  sent: int = 0

  def documents_drawn(self, start: int, stop: int, seed: int) -> int:
    return self.sent


def _now(folder: Path) -> Cost:
  if is_remote(folder):
    return Cost(time.perf_counter(), CACHE.fetched, CACHE.requests)
  counted = dict(line.split(': ') for line in Path('/proc/self/io').read_text().splitlines())  # proc(5)
  return Cost(time.perf_counter(), int(counted['rchar']), int(counted['syscr']))


def _since(before: Cost, folder: Path, steps: int = 1) -> Cost:
  """What was taken since, a step."""
  pairs = zip(dataclasses.astuple(_now(folder)), dataclasses.astuple(before), strict=True)
  return Cost(*((now - then) / steps for now, then in pairs))


def _figures(name: str, host: Host) -> Iterator[Figure]:
  yield Figure(f'{name}: start', host.start.seconds, 's')
  yield Figure(f'{name}: start', host.start.bytes / 2**20, 'MiB')
  yield Figure(f'{name}: start', host.start.requests, 'requests')
  yield Figure(f'{name}: a step', 1e3 * host.step.seconds, 'ms')
  yield Figure(f'{name}: a step', host.step.bytes / 2**20, 'MiB')
  yield Figure(f'{name}: a step', host.step.requests, 'requests')
  yield Figure(f'{name}: rows of the whole batch located', 1e3 * host.locate, 'ms')
  if host.needed:
    yield Figure(f'{name}: a step by arithmetic', host.needed.bytes / 2**20, 'MiB')
    yield Figure(f'{name}: a step by arithmetic', host.needed.requests, 'requests')


def _growth(ran: Mapping[tuple[int, int], Host]) -> Iterator[Figure]:
  """The most that a host of several took, to what the only host takes."""
  alone = ran.pop((1, 0))
  for part in ('start', 'step') if ran else ():
    for field in ('seconds', 'bytes', 'requests'):
      of = lambda host, part=part, field=field: getattr(getattr(host, part), field)
      most = max(map(of, ran.values()))
      goal = GOALS.get((part, field), 1)
      yield Figure(f'{field} of a {part}, the most of several hosts to one host', most / max(of(alone), 1e-9), 'x', goal, more_is_better=False)
