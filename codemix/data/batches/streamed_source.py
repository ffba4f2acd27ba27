"""A source that is tokenized while it is read, with nothing prepared.

The order of the sources is that of a prepared run: the same schedule, the same shares. What is
given up is random access. A source is read in its own order, the same in each epoch, from its first
document to the row that is wanted: a resume reads everything before it again, and every process
reads all sources whole. The size of a source is unknown before its end; the ledger plans its rows
and tokens, and leaves documents, unique tokens and epochs open.

`Recipe.max_epochs` is the same rule as for prepared sources: rows drawn over the whole run, those
before a rewind included, over the rows of an epoch. A run that reaches the end of an epoch writes
its size to the data folder. From then on a plan that breaks the rule is refused before it begins;
until then, the run ends at the first row that breaks it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from codemix.data.batches.rows import Batch, pack_row
from codemix.data.batches.source import Cursor, Source
from codemix.errors import UserError
from codemix.identity import digest
from codemix.storage import read_json, write_json


class EpochSize:
  """The rows of an epoch of a streamed source, known once a run has read one to its end."""

  def __init__(self, path: Path | None = None):
    """`path` is the file that shares it with other processes and later runs."""
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
      with contextlib.suppress(UserError, OSError):  # the data folder may be read-only
        write_json(self._path, {'rows': rows})


@dataclasses.dataclass(frozen=True)
class StreamedSource(Source):
  """Documents of one source, read from the beginning; attributes as of `Source`, and these.

  Attributes:
    read: gives one epoch: int32 ids of each document, with EOS.
    size: of an epoch, as far as it is known.
  """

  name: str
  read: Callable[[], Iterator[np.ndarray]]
  identity: dict
  length: int
  bos_id: int
  max_epochs: float
  size: EpochSize = dataclasses.field(default_factory=EpochSize, compare=False)
  streamed: ClassVar[bool] = True
  tokens: ClassVar[None] = None
  documents: ClassVar[None] = None
  epoch_rows = property(lambda self: self.size.rows)

  @property
  def fingerprint(self) -> str:
    """Digest of what the documents are made from."""
    return digest(self.identity)

  def counts(self, before: Cursor, after: Cursor, seed: int) -> dict[str, int | float]:
    return {}

  def documents_drawn(self, start: int, stop: int, seed: int) -> None:
    return None

  def rows(self, start: int, earlier: int = 0) -> Iterator[Batch]:
    """Row `start` of the stream and all after it, epoch after epoch.

    Args:
      start: the first row that is wanted.
      earlier: rows that the run drew of it before it was last rewound to its first row.

    Yields:
      as `pack_row`.

    Raises UserError: an epoch holds no row, or a row would be read more often than `max_epochs`.
    """
    drawn = 0
    for epoch in itertools.count():
      for row in self._epoch(skip=start - drawn):
        if row is not None:
          self._require_allowed(drawn, earlier)
          yield row
        drawn += 1
      if not epoch:
        self.size.found(drawn)
        self.require_row()

  def _require_allowed(self, drawn: int, earlier: int) -> None:
    size = self.size.rows
    if size is not None and earlier + drawn >= self.max_epochs * size:
      rewound = f', with {earlier:,} rows drawn before it was rewound' if earlier else ''
      raise UserError(
        f"'{self.name}' has {size:,} rows and would be read more than {self.max_epochs:g} times (Recipe.max_epochs){rewound}. "
        'Lower its share or the tokens, add data, or raise Recipe.max_epochs; the last checkpoint stands.'
      )

  def _epoch(self, skip: int) -> Iterator[Batch | None]:
    """The whole rows of one epoch; None in place of each of the first `skip`, which are not wanted."""
    ids, ends, previous, row = np.zeros(0, np.int32), [], None, 0
    for document in self.read():
      ids = np.concatenate([ids, document])
      ends.append(len(ids))
      while len(ids) >= self.length:
        inside = np.asarray([end for end in ends if end < self.length], np.int64)
        yield pack_row(ids[: self.length], inside, previous, self.bos_id) if row >= skip else None
        continues = self.length not in ends
        previous = ids[self.length - 1 : self.length] if continues else None
        ids, ends, row = ids[self.length :], [e - self.length for e in ends if e > self.length], row + 1
