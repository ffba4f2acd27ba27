"""Parquet files, by row groups: The Stack, StarCoderData, and much of the Hugging Face hub."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from codemix.checked import From, Name, checked
from codemix.data.sources.reading import Piece, Reader
from codemix.data.sources.record import BadRecord
from codemix.data.sources.storage import open_seekable
from codemix.errors import UserError, nearest

_BATCH_ROWS = 64  # rows as Python objects at a time; a document may have megabytes


@dataclasses.dataclass(frozen=True)
@checked
class Parquet(Reader):
  """Rows of parquet files.

  Attributes:
    columns: those that are read, such as ('content', 'max_stars_repo_name'); () for all. Columns
      that are not named cost no reading.
    piece_bytes: row groups are taken together to about this size (as they are in memory).
  """

  columns: tuple[Name, ...] = ()
  piece_bytes: Annotated[int, From(1), 'bytes'] = 256 * 2**20

  def pieces(self, urls: Sequence[str]) -> list[Piece]:
    return [piece for url in urls for piece in self._pieces(url)]

  def _pieces(self, url: str) -> list[Piece]:
    with open_seekable(url) as file:
      try:
        metadata = _open(file).metadata
      except _damage():
        return [Piece(url)]  # reading it tells what is wrong
    pieces, start, waiting = [], 0, 0
    for group in range(metadata.num_row_groups):
      waiting += metadata.row_group(group).total_byte_size
      if waiting >= self.piece_bytes:
        pieces.append(Piece(url, start, group + 1))
        start, waiting = group + 1, 0
    if start < metadata.num_row_groups or not pieces:
      pieces.append(Piece(url, start, metadata.num_row_groups))
    return pieces

  def rows(self, piece: Piece) -> Iterator[tuple[str, Mapping] | BadRecord]:
    """Raises UserError where a column of `columns` is in no file of this form."""
    with open_seekable(piece.url) as stored:
      try:
        file = _open(stored)
      except _damage() as error:
        yield BadRecord(piece.url, 'damaged file', str(error)[:200])
        return
      self._require_columns(piece.url, file.schema_arrow.names)
      groups = range(file.metadata.num_row_groups)
      number = 1 + sum(file.metadata.row_group(group).num_rows for group in groups[: piece.start])
      for group in groups[piece.start : piece.stop]:
        yield from self._group(file, piece.url, group, number)
        number += file.metadata.row_group(group).num_rows

  def _group(self, file, url: str, group: int, number: int) -> Iterator[tuple[str, Mapping] | BadRecord]:
    """The rows of a row group, of which the first has this number in the file, from 1."""
    try:
      batches = file.iter_batches(_BATCH_ROWS, [group], list(self.columns) or None)
      for batch in batches:
        for index, row in enumerate(_python_rows(batch)):
          place = f'{url}:row {number + index}'
          if isinstance(row, UnicodeDecodeError):
            yield BadRecord(place, 'not UTF-8', row.reason)
          else:
            yield place, row
        number += batch.num_rows
    except _damage() as error:
      yield BadRecord(url, 'damaged file', f'row group {group}, from row {number}: {str(error)[:200]}')

  def _require_columns(self, url: str, names: Sequence[str]) -> None:
    for column in self.columns:
      if column.split('.')[0] not in names:
        raise UserError(
          f"Parquet.columns names '{column}', but {url} has {', '.join(names)}.{nearest(column, names)}"
        )


def _python_rows(batch) -> list[Mapping | UnicodeDecodeError]:
  """The rows of a batch; parquet does not check that its strings are UTF-8."""
  try:
    return batch.to_pylist()
  except UnicodeDecodeError:
    return [_python_row(batch.slice(index, 1)) for index in range(batch.num_rows)]


def _python_row(batch) -> Mapping | UnicodeDecodeError:
  try:
    return batch.to_pylist()[0]
  except UnicodeDecodeError as error:
    return error


def _open(file):
  import pyarrow.parquet  # takes 0.3 s, which others need not wait for

  return pyarrow.parquet.ParquetFile(file, buffer_size=2**20, pre_buffer=False)


def _damage() -> tuple[type[Exception], ...]:
  import pyarrow

  # Damaged pages end as OSError too: pyarrow has no error of its own for them.
  return (pyarrow.ArrowException, OSError)
