"""How far `prepare` is: shards done, documents, bytes a second, and the time that is left."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from codemix.data.store.shard_writer import shard_file
from codemix.repeating import repeating
from codemix.storage import is_remote, read_json, remove, write_text, writing

Say = Callable[[str], None]

REPORT_EVERY_S = 1.0
LINE_EVERY_S = 15.0
BAR_EVERY_S = 0.5


def progress_file(folder: Path, name: str) -> Path:
  """Holds the progress of a shard in work: 'documents bytes pieces', bytes of text and of pieces."""
  return folder / f'.progress-{name}'


class ShardReporter:
  """Writes a shard's progress to its `progress_file`; `pieces`: the size of those that are read."""

  def __init__(self, folder: Path, name: str):
    self.pieces = 0
    self._path = progress_file(folder, name)
    self._last = time.monotonic()

  def update(self, documents: int, bytes: int) -> None:
    if time.monotonic() - self._last >= REPORT_EVERY_S:
      self._last = time.monotonic()
      line = f'{documents} {bytes} {self.pieces}'
      with writing(self._path):  # on a disk a reader may see half of it, which is read again
        write_text(self._path, line) if is_remote(self._path) else self._path.write_text(line)

  def close(self) -> None:
    remove(self._path)


class PrepareProgress:
  """Adds up the progress of all shards, of `total` size, from the files that workers write."""

  def __init__(self, folder: Path, sizes: dict[str, int]):
    """`sizes`: of each shard by name; `folder`: where the shards are written."""
    self.total = sum(sizes.values())
    self._folder, self._sizes = folder, sizes
    self._finished: dict[str, tuple[int, int, int]] = {}
    self._began = time.monotonic()
    self._at_begin = self.read()

  def read(self) -> tuple[int, int, int, int]:
    """(shards done, documents, bytes of text, size of pieces) read so far."""
    in_work = []
    for name in self._sizes.keys() - self._finished.keys():
      if (path := shard_file(self._folder, name)).exists():
        # What it tokenized, dropped documents included.
        counts = read_json(path).get('accounts') or {'filters': [], 'kept': {}}
        amount = counts['filters'][0]['before'] if counts['filters'] else counts['kept']
        tokenized = amount.get('documents', 0), amount.get('bytes', 0)
        self._finished[name] = (*tokenized, self._sizes[name])
      else:
        # The file may vanish, or be half written, at any moment.
        with contextlib.suppress(OSError, ValueError):
          documents, size, pieces = map(int, progress_file(self._folder, name).read_text().split())
          in_work.append((documents, size, pieces))
    return len(self._finished), *map(sum, zip((0, 0, 0), *self._finished.values(), *in_work, strict=True))

  def line(self) -> str:
    shards, documents, size, pieces = self.read()
    seconds = max(time.monotonic() - self._began, 1e-9)
    speed = (size - self._at_begin[2]) / seconds
    new = pieces - self._at_begin[3]
    left = f', ETA {seconds / new * (self.total - pieces):,.0f} s' if new and pieces < self.total else ''
    return f'{shards} of {len(self._sizes)} shards, {documents:,} documents, {size / 1e6:,.1f} MB, {speed / 1e6:,.1f} MB/s{left}'


@contextlib.contextmanager
def showing_progress(name: str, folder: Path, sizes: dict[str, int], progress: Say) -> Iterator[None]:
  """Shows the progress of `name` while the block runs: a bar on a terminal, else a line now and then."""
  shards = PrepareProgress(folder, sizes)
  if sys.stderr.isatty():
    with _bar(name, shards) as show, repeating(show, BAR_EVERY_S):
      yield
  else:
    with repeating(lambda: progress(f'  {name}: {shards.line()}'), LINE_EVERY_S):
      yield


@contextlib.contextmanager
def _bar(name: str, shards: PrepareProgress) -> Iterator[Callable[[], None]]:
  from rich.console import Console
  from rich.progress import BarColumn, Progress, TextColumn

  columns = (TextColumn('  {task.description}'), BarColumn(bar_width=20), TextColumn('{task.fields[line]}'))
  with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
    task = bar.add_task(name, total=shards.total or 1, line=shards.line())
    yield lambda: bar.update(task, completed=shards.read()[3], line=shards.line())
