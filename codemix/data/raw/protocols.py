"""How files become rows (readers) and rows become records (layouts): what each must offer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from codemix.data.raw.record import BadRecord, Record
from codemix.data.raw.storage import digest_of, expand_files


@dataclasses.dataclass(frozen=True)
class Piece:
  """What is read by itself: a file, or a part of one.

  Attributes:
    url: the file.
    start: where it begins, in bytes of plain lines, row groups of parquet, ...
    stop: where it ends; None for the end of the file.
    line: number of the first line, from 1, where it consists of lines.
  """

  url: str
  start: int = 0
  stop: int | None = None
  line: int = 1


class PartialRow(dict):
  """A row without the fields that the row parser does not need, which were not read.

  Attributes:
    unread: their names, for messages.
  """

  __slots__ = ('unread',)

  def __init__(self, row: Mapping, unread: Sequence[str]):
    super().__init__(row)
    self.unread = unread


@runtime_checkable
class Reader(Protocol):
  """Files -> rows. Readers are frozen dataclasses: their fields are part of a store's identity.

  A class may declare `version`, a number that is raised whenever it gives something else, and
  `stable_name`; see `codemix.data.corpus.identity`. A reader of files with columns may have a method
  `only(fields)`, which returns a reader of these columns alone. A reader that asks a library for its
  files may have `lists_files = False`: opening a store then does not list them again to find added ones.

  The methods defined here suit a reader of separate files, and are inherited.
  """

  def find(self, patterns: str | Sequence[str], root: str, split: str) -> list[str]:
    """The files of a split, sorted.

    Raises UserError: there are none.
    """
    return expand_files(patterns, root)

  def digest(self, url: str) -> str:
    """Changes whenever what is read from `url` does."""
    return digest_of(url)

  def pieces(self, urls: Sequence[str]) -> list[Piece]:
    """All of the files in their order, in pieces that depend on nothing but the files."""
    return [Piece(url) for url in urls]

  def rows(self, piece: Piece) -> Iterator[tuple[str, Mapping] | BadRecord]:
    """(place, row) in the order of the file, in bounded memory; broken data gives a BadRecord and raises nothing."""
    ...

  def sample(self, pieces: Sequence[Piece]) -> Iterator[tuple[str, Mapping] | BadRecord]:
    """The first rows, from which `Corpus.check` sees whether the row parser suits them."""
    return (row for piece in pieces for row in self.rows(piece))


@runtime_checkable
class RowParser(Protocol):
  """A row -> a document. Row parsers are frozen dataclasses, as readers are, and declare the same.

  One may have a method `needed_fields()`: the fields of a row that it reads, by dotted path, or None
  for all. Other columns of parquet files are then not decoded. One whose records have `answers` says
  so with `marks_answers = True` in its class.
  """

  def record(self, place: str, row: Mapping) -> Record | BadRecord | list[Record] | None:
    """The document, or several; a BadRecord where the row is broken or has nothing to train on; None to leave it out."""
    ...
