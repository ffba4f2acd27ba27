"""How far `prepare` is: shards done, documents, bytes a second, and the time that is left."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from codemix.data.store.shard_writer import shard_file
from codemix.files import read_json

Say = Callable[[str], None]

LINE_EVERY_S = 15.0
BAR_EVERY_S = 0.5


def progress_file(folder: Path, name: str) -> Path:
  """Where a shard in work says how far it is: 'documents bytes pieces'."""
  return folder / f'.progress-{name}'


class Watch:
  """Adds up what finished shards and those in work have left on the disk, whoever writes them.

  Attributes:
    total: size of all pieces, in the unit of `tokenize_shard.Shard.size`.
  """

  def __init__(self, folder: Path, sizes: dict[str, int]):
    """`sizes`: of each shard by name; `folder`: where the shards appear."""
    self.total = sum(sizes.values())
    self.shards = len(sizes)
    self._folder, self._sizes = folder, sizes
    self._finished: dict[str, tuple[int, int]] = {}
    self._began = time.monotonic()
    self.done_before = self.read()

  def read(self) -> tuple[int, int, int, int]:
    """(shards done, documents, bytes of text, size of pieces) read so far."""
    for name in self._sizes.keys() - self._finished.keys():
      if (path := shard_file(self._folder, name)).exists():
        self._finished[name] = _seen(read_json(path).get('accounts'))
    documents, size = (sum(part) for part in zip((0, 0), *self._finished.values(), strict=True))
    pieces = sum(self._sizes[name] for name in self._finished)
    for name in self._sizes.keys() - self._finished.keys():
      for found in _in_work(self._folder, name):
        documents, size, pieces = documents + found[0], size + found[1], pieces + found[2]
    return len(self._finished), documents, size, pieces

  def line(self) -> str:
    shards, documents, size, pieces = self.read()
    seconds = max(time.monotonic() - self._began, 1e-9)
    speed = (size - self.done_before[2]) / seconds
    new = pieces - self.done_before[3]
    left = f', ETA {seconds / new * (self.total - pieces):,.0f} s' if new and pieces < self.total else ''
    return f'{shards} of {self.shards} shards, {documents:,} documents, {size / 1e6:,.1f} MB, {speed / 1e6:,.1f} MB/s{left}'


def _seen(accounts: dict | None) -> tuple[int, int]:
  """(documents, bytes) that were tokenized, dropped ones included."""
  if not accounts:
    return 0, 0
  amount = accounts['filters'][0]['before'] if accounts['filters'] else accounts['kept']
  return amount['documents'], amount['bytes']


def _in_work(folder: Path, name: str) -> Iterator[tuple[int, ...]]:
  # It may vanish, or be half written, at any moment.
  with contextlib.suppress(OSError, ValueError):
    documents, size, pieces = map(int, progress_file(folder, name).read_text().split())
    yield documents, size, pieces


@contextlib.contextmanager
def watching(name: str, folder: Path, sizes: dict[str, int], progress: Say) -> Iterator[None]:
  """Shows how far `name` is while the block runs: a bar on a terminal, else a line now and then."""
  watch = Watch(folder, sizes)
  if sys.stderr.isatty():
    with _bar(name, watch) as show, _repeating(show, BAR_EVERY_S):
      yield
  else:
    with _repeating(lambda: progress(f'  {name}: {watch.line()}'), LINE_EVERY_S):
      yield


@contextlib.contextmanager
def _repeating(show: Callable[[], None], every_s: float) -> Iterator[None]:
  ended = threading.Event()

  def repeat() -> None:
    while not ended.wait(every_s):
      show()

  thread = threading.Thread(target=repeat, daemon=True)
  thread.start()
  try:
    yield
  finally:
    ended.set()
    thread.join()


@contextlib.contextmanager
def _bar(name: str, watch: Watch) -> Iterator[Callable[[], None]]:
  from rich.console import Console
  from rich.progress import BarColumn, Progress, TextColumn

  columns = (TextColumn('  {task.description}'), BarColumn(bar_width=20), TextColumn('{task.fields[line]}'))
  with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
    task = bar.add_task(name, total=watch.total or 1, line=watch.line())

    def show() -> None:
      bar.update(task, completed=watch.read()[3], line=watch.line())

    yield show
