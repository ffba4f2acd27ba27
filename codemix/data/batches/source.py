"""What every source of a run is, whether its tokens were prepared or are streamed."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from typing import ClassVar

import numpy as np

from codemix.errors import UserError

DRAWS_TOGETHER = 2**16


@dataclasses.dataclass(frozen=True)
class Cursor:
  """How far a run has read a source.

  Attributes:
    cursor: rows read since the source's first row, or since the last rewind to it.
    drawn: rows read in all; a rewind does not reset it.
    furthest: the largest value that `cursor` had.
  """

  cursor: int = 0
  drawn: int = 0
  furthest: int = 0

  def after(self, rows: int) -> Cursor:
    return Cursor(self.cursor + rows, self.drawn + rows, max(self.furthest, self.cursor + rows))

  def rewound(self) -> Cursor:
    return dataclasses.replace(self, cursor=0)


class Source(abc.ABC):
  """A leaf of a mixture, read in rows of one length.

  Attributes:
    name: of the corpus in `Data.sources`, or of the SeqIO task.
    length: tokens of a row.
    bos_id: the id that stands before each document's first token.
    streamed: whether rows are read in order only, and the source's size is not
      known before its end.
    identity: what the tokens are made from, as plain data.
    fingerprint: digest of what the tokens are, wherever they lie; part of a stage's identity.
    tokens, documents: of the whole source; None where unknown.
    epoch_rows: rows of one epoch; None where unknown.
    has_prompts: whether some of its tokens do not count in the loss.
  """

  name: str
  length: int
  bos_id: int
  streamed: ClassVar[bool]
  identity: dict
  fingerprint: str
  tokens: int | None
  documents: int | None
  epoch_rows: int | None
  has_prompts: bool = False

  @abc.abstractmethod
  def documents_drawn(self, start: int, stop: int, seed: int) -> int | None:
    """Documents that begin in the rows of draws [start, stop); None where it is streamed.

    It may read the whole table of documents, so that on several hosts only one calls it (`plan_uses`).
    """

  def loss_of_draws(self, start: int, stop: int, seed: int) -> Iterator[np.ndarray]:
    """Yields the loss tokens in the row of each of draws [start, stop), int64, some draws at a time, in order.

    Of a source with prompts it may read the whole store, so that on several hosts only one calls it.
    """
    for begin in range(start, stop, DRAWS_TOGETHER):
      yield np.full(min(stop - begin, DRAWS_TOGETHER), self.length, np.int64)

  @property
  def tokens_per_document(self) -> Fraction | None:
    """The mean over the source; None where that is not known."""
    return Fraction(self.tokens, self.documents) if self.documents else None

  @property
  def loss_tokens_per_document(self) -> Fraction | None:
    """The same of the tokens that count in the loss."""
    return self.tokens_per_document

  @abc.abstractmethod
  def counts(self, before: Cursor, after: Cursor, seed: int) -> dict[str, int | float]:
    """The other fields of a `SourceUse` that depend on the whole source; {} where it is streamed.

    Args:
      before, after: how far the source is read before and after the use.
      seed: of the run; keys the permutation of each epoch.
    """

  def require_row(self, where: str = '') -> None:
    """Raises UserError where the source is known to fill no row."""
    if self.epoch_rows == 0:
      size = '' if self.tokens is None else f' (it has {self.tokens:,})'
      raise UserError(
        f"{where}{': ' * bool(where)}'{self.name}' fills no row of {self.length:,} tokens{size}. "
        'Give it more data or shorten Recipe.length.'
      )
