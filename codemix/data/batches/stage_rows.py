"""The rows of one stage. Position is arithmetic: which source, epoch and row stands at each row of the stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from codemix.data.batches.rows import Batch, stack_rows
from codemix.data.batches.source import Source
from codemix.data.batches.source_use import SourceUse
from codemix.data.order.permutation import permute, round_keys, unpermute
from codemix.data.order.row_schedule import RowSchedule
from codemix.data.order.targets import Segment


class StageRows:
  """The rows of a stage: by position where its sources are prepared, in order where they are streamed.

  Attributes:
    names: of the sources, in the mixture's order.
    sources: the open sources, in the same order.
    streamed: whether one of them is streamed; then only `in_order` may be called.
  """

  def __init__(
    self,
    sources: Mapping[str, Source],
    uses: Sequence[SourceUse],
    segments: Sequence[Segment],
    seed: int,
    orders: Path | None = None,
  ):
    """Arguments are as of `plan_uses`, and what it returned."""
    self.names = [use.source for use in uses]
    self.sources = [sources[name] for name in self.names]
    self.streamed = any(source.streamed for source in self.sources)
    self._uses = list(uses)
    self._cursors = np.asarray([use.cursor for use in uses], np.int64)
    self._schedule = RowSchedule(segments, orders)
    self._seed = seed

  def __len__(self) -> int:
    return len(self._schedule)

  @property
  def shares(self) -> list[float]:
    """Of the stage's rows, by source."""
    return (self._schedule.counts / max(len(self), 1)).tolist()

  def locate(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows [start, stop) of the stage.

    Returns:
      (source index, epoch, row within the source), int64 [stop - start] each.
    """
    which, ordinals = self._schedule.draws(start, stop)
    draws = self._cursors[which] + ordinals
    sizes = np.asarray([len(source) for source in self.sources], np.int64)[which]
    epochs = draws // sizes
    rows = np.empty_like(draws)
    for s, epoch in set(zip(which.tolist(), epochs.tolist(), strict=True)):
      here = (which == s) & (epochs == epoch)
      keys = round_keys(self._seed, self.names[s], epoch)
      rows[here] = permute(draws[here] % sizes[here], len(self.sources[s]), keys)
    return which, epochs, rows

  def read(self, positions: np.ndarray) -> Batch:
    """Rows of the stage by position (int64 [B], ascending).

    Returns:
      arrays [B, L] as of `rows.pack_row`, and `source`: int32 [B], the index
      of each row's source in `names`.
    """
    first = int(positions[0])
    which, _, row = (located[positions - first] for located in self.locate(first, int(positions[-1]) + 1))
    for s, source in enumerate(self.sources):
      source.will_read(row[which == s].tolist())
    read = [self.sources[s].row(r) for s, r in zip(which.tolist(), row.tolist(), strict=True)]
    return {**stack_rows(read), 'source': which.astype(np.int32)}

  def rows_that_read(self, source: int, row: int) -> list[tuple[int, int]]:
    """Where a row of a source's epoch stands in the stage: (epoch, row of the stage), in order."""
    size, cursor = len(self.sources[source]), int(self._cursors[source])
    end = cursor + int(self._schedule.counts[source])
    found = []
    for epoch in range(cursor // size, -(-end // size)):
      keys = round_keys(self._seed, self.names[source], epoch)
      draw = epoch * size + int(unpermute(np.asarray([row]), size, keys)[0])
      if cursor <= draw < end:
        found.append((epoch, self._schedule.row_of(source, draw - cursor)))
    return found

  def in_order(self, batch: int, steps: range, positions: np.ndarray) -> Iterator[Batch]:
    """Rows `positions` (ascending, int64) of each step's batch as of `read`, from streamed sources."""
    before = self._schedule.drawn_before(steps.start * batch)
    streams = [
      source.rows(use.cursor + int(drawn), earlier=use.rows_cumulative - use.rows - use.cursor)
      for source, use, drawn in zip(self.sources, self._uses, before, strict=True)
    ]
    for step in steps:
      which, _ = self._schedule.draws(step * batch, (step + 1) * batch)
      rows = [next(streams[s]) for s in which]  # those of other processes too, to get past them
      yield {**stack_rows([rows[p] for p in positions]), 'source': which[positions].astype(np.int32)}
