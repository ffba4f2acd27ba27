"""Rows straight from documents that are tokenized as they are read, with nothing prepared.

The order of the sources is that of a prepared run: the same schedule and the
same shares. What is given up is random access. A source is read in its own
order, the same in each epoch, from its first document to the row that is
wanted: a resume reads everything before it again, and every process reads all
sources whole. How large a source is, nobody knows before its end; the ledger
plans its rows and tokens, and leaves documents, unique tokens and epochs open.

`Recipe.max_epochs` is the same rule as for prepared sources: rows drawn over the
whole run, those before a rewind included, over the rows of an epoch. Whoever comes
to the end of an epoch leaves its size in the data folder. From then on a plan that
breaks the rule is refused before it begins; before, the run ends at the first row
that breaks it, and a run that never comes to the end of a source cannot know.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from codemix.data.batches.ledger import Cursor, SourceUse, require_epochs
from codemix.data.batches.rows import Batch, pack_row, stack_rows
from codemix.data.order.row_schedule import RowSchedule, rows_of_each
from codemix.data.order.targets import Segment
from codemix.errors import UserError
from codemix.files import read_json, write_json
from codemix.identity import digest


class EpochSize:
  """How many rows an epoch of a source has, once somebody has read one to its end."""

  def __init__(self, path: Path | None = None):
    """`path` is the file in which it is kept for other processes and later runs; None for none."""
    self._path = path
    self._rows: int | None = None

  @property
  def rows(self) -> int | None:
    if self._rows is None and self._path and self._path.exists():
      self._rows = read_json(self._path, {'rows': int}, 'Delete it.')['rows']
    return self._rows

  def found(self, rows: int) -> None:
    if self.rows == rows:
      return
    self._rows = rows
    if self._path:
      with contextlib.suppress(UserError, OSError):  # a folder that may only be read
        write_json(self._path, {'rows': rows})


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
    size: of an epoch, as far as it is known.
  """

  name: str
  documents: Callable[[], Iterator[np.ndarray]]
  identity: dict
  length: int
  bos_id: int
  max_epochs: float
  size: EpochSize = dataclasses.field(default_factory=EpochSize, compare=False)

  @property
  def digest(self) -> str:
    """What the documents are made of."""
    return digest(self.identity)

  def rows(self, start: int, earlier: int = 0) -> Iterator[Batch]:
    """Row `start` of the stream and all after it, epoch after epoch.

    Args:
      start: the first row that is wanted.
      earlier: rows that the run drew of it before it was last rewound to its first row.

    Yields:
      as `pack_row`.

    Raises:
      UserError: an epoch holds no row, or a row would be read oftener than `max_epochs`.
    """
    drawn = 0
    for epoch in itertools.count():
      for row in self._epoch(skip=start - drawn):
        size = self.size.rows
        if row is not None and size is not None and earlier + drawn >= self.max_epochs * size:
          raise UserError(
            f"'{self.name}' has {size:,} rows and would be read more than {self.max_epochs:g} times (Recipe.max_epochs)"
            f'{f", with {earlier:,} rows drawn before it was rewound" if earlier else ""}. '
            'Lower its share or the tokens, add data, or raise Recipe.max_epochs; the last checkpoint stands.'
          )
        if row is not None:
          yield row
        drawn += 1
      if not epoch:
        self.size.found(drawn)
        if not drawn:
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
  cursors: Mapping[str, Cursor],
  where: str,
) -> list[SourceUse]:
  """What each source gives to a stage, as far as it is known before it is read; as `ledger.plan_draws`.

  Raises:
    UserError: a source whose size is known would be read oftener than it may be.
  """
  draws = []
  for (name, share), rows in zip(shares.items(), rows_of_each(segments), strict=True):
    before = cursors.get(name, Cursor())
    if size := sources[name].size.rows:
      require_epochs(name, rows, before.after(rows).drawn, size, sources[name].max_epochs, where)
    draws.append(
      SourceUse(
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
    self, sources: Mapping[str, StreamedSource], draws: Sequence[SourceUse], segments: Sequence[Segment]
  ):
    self.names = [draw.source for draw in draws]
    self._sources = [sources[name] for name in self.names]
    self._cursors = [draw.cursor for draw in draws]
    self._earlier = [draw.rows_cumulative - draw.rows - draw.cursor for draw in draws]
    self._schedule = RowSchedule(segments)

  def __len__(self) -> int:
    return len(self._schedule)

  def batches(self, batch: int, steps: range, positions: np.ndarray) -> Iterator[Batch]:
    """Rows `positions` (ascending, int64) of each step's batch, as `loader.read_rows` gives them."""
    before = self._schedule.drawn_before(steps.start * batch)
    streams = [
      source.rows(cursor + int(drawn), earlier)
      for source, cursor, earlier, drawn in zip(self._sources, self._cursors, self._earlier, before, strict=True)
    ]
    for step in steps:
      which, _ = self._schedule.draws(step * batch, (step + 1) * batch)
      rows = [next(streams[s]) for s in which]  # also those of other processes, to come past them
      yield {**stack_rows([rows[p] for p in positions]), 'source': which[positions].astype(np.int32)}
