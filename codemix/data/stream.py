"""Rows straight from documents that are tokenized as they are read, with nothing prepared.

The order of the sources is that of a prepared run: the same schedule and the
same shares. What is given up is random access. A source is read in its own
order, the same in each epoch, from its first document to the row that is
wanted: a resume reads everything before it again, and every process reads all
sources whole. How large a source is, nobody knows before its end; the ledger
plans its rows and tokens, and leaves documents, unique tokens and epochs open.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np

from codemix.data.ledger import Draw, Reading
from codemix.data.row_schedule import RowSchedule, rows_of_each
from codemix.data.row_targets import Segment
from codemix.data.rows import Batch, pack_row, stack_rows
from codemix.errors import UserError
from codemix.identity import digest


@dataclasses.dataclass(frozen=True)
class StreamedSource:
  """Documents of one task, read from the beginning.

  Attributes:
    name: the SeqIO task's name.
    documents: gives one epoch: int ids of each document, with EOS.
    identity: what the documents are made of, as plain data.
    length: tokens of a row.
    bos_id: the id that stands before each document's first token.
    max_epochs: how often it may be read.
  """

  name: str
  documents: Callable[[], Iterator[np.ndarray]]
  identity: dict
  length: int
  bos_id: int
  max_epochs: float

  @property
  def digest(self) -> str:
    """What the documents are made of."""
    return digest(self.identity)

  def rows(self, start: int) -> Iterator[Batch]:
    """Row `start` of the stream and all after it, epoch after epoch.

    Yields:
      as `pack_row`.

    Raises:
      UserError: an epoch holds no row, or a row would be read oftener than `max_epochs`.
    """
    drawn = 0
    size = None  # rows of an epoch, once one has been read
    for epoch in itertools.count():
      for row in self._epoch(skip=start - drawn):
        if size is not None and drawn >= self.max_epochs * size:
          raise UserError(
            f"'{self.name}' has {size:,} rows and would be read more than {self.max_epochs:g} times (Recipe.max_epochs). "
            'Lower its share or the tokens, add data, or raise Recipe.max_epochs; the last checkpoint stands.'
          )
        if row is not None:
          yield row
        drawn += 1
      if not epoch:
        size = drawn
        if not size:
          raise UserError(
            f"'{self.name}' fills no row of {self.length:,} tokens. Give it more data or shorten Recipe.length."
          )

  def _epoch(self, skip: int) -> Iterator[Batch | None]:
    """The whole rows of one epoch; None in place of each of the first `skip`, which nobody wants."""
    ids, ends, previous, row = np.zeros(0, np.int32), [], None, 0
    for document in self.documents():
      ids = np.concatenate([ids, document])
      ends.append(len(ids))
      while len(ids) >= self.length:
        yield pack_row(ids[: self.length], self._inside(ends), previous, self.bos_id) if row >= skip else None
        continues = self.length not in ends
        previous = ids[self.length - 1 : self.length] if continues else None
        ids, ends, row = ids[self.length :], [e - self.length for e in ends if e > self.length], row + 1

  def _inside(self, ends: list[int]) -> np.ndarray:
    return np.asarray([end for end in ends if end < self.length], np.int64)


def plan_draws(
  sources: Mapping[str, StreamedSource],
  shares: Mapping[str, Fraction],
  segments: Sequence[Segment],
  readings: Mapping[str, Reading],
) -> list[Draw]:
  """What each source gives to a stage, as far as it is known before it is read; as `ledger.plan_draws`."""
  draws = []
  for (name, share), rows in zip(shares.items(), rows_of_each(segments), strict=True):
    before = readings.get(name, Reading())
    draws.append(
      Draw(
        source=name,
        share=float(share),
        rows=rows,
        loss_tokens=rows * sources[name].length,
        rows_cumulative=before.after(rows).drawn,
        cursor=before.cursor,
        padded_tokens=0,
      )
    )
  return draws


class StreamedRows:
  """The rows of one stage, to be read in order."""

  def __init__(
    self, sources: Mapping[str, StreamedSource], draws: Sequence[Draw], segments: Sequence[Segment]
  ):
    self.names = [draw.source for draw in draws]
    self._sources = [sources[name] for name in self.names]
    self._cursors = [draw.cursor for draw in draws]
    self._schedule = RowSchedule(segments)

  def __len__(self) -> int:
    return len(self._schedule)

  def batches(self, batch: int, steps: range, positions: np.ndarray) -> Iterator[Batch]:
    """Rows `positions` (ascending, int64) of each step's batch, as `loader.read_rows` gives them."""
    before = self._schedule.drawn_before(steps.start * batch)
    streams = [
      source.rows(cursor + int(drawn))
      for source, cursor, drawn in zip(self._sources, self._cursors, before, strict=True)
    ]
    for step in steps:
      which, _ = self._schedule.draws(step * batch, (step + 1) * batch)
      rows = [next(streams[s]) for s in which]  # also those of other processes, to come past them
      yield {**stack_rows([rows[p] for p in positions]), 'source': which[positions].astype(np.int32)}
