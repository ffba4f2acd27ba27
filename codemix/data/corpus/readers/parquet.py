"""Parquet files, by row groups: The Stack, StarCoderData, and much of the Hugging Face hub."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, ClassVar

from codemix.checked import From, Name, checked
from codemix.data.raw.damage import EMPTY, foreign
from codemix.data.raw.protocols import PartialRow, Piece, Reader
from codemix.data.raw.record import DAMAGED, BadRecord
from codemix.data.raw.storage import open_seekable
from codemix.errors import UserError, nearest

_BATCH_ROWS = 64  # rows as Python objects at a time; a document may have megabytes


@dataclasses.dataclass(frozen=True)
@checked
class Parquet(Reader):
  """Rows of parquet files.

  Attributes:
    columns: those that are read, such as ('content', 'max_stars_repo_name'); () for all. Of them only
      those are read that the row parser needs, where it names them (`RowParser.needed_fields`).
    piece_bytes: row groups are taken together to about this size (as they are in memory).
  """

  stable_name, version = 'parquet', 1

  columns: tuple[Name, ...] = ()
  piece_bytes: Annotated[int, From(1), 'bytes'] = 256 * 2**20
  # The fields that a layout reads, which `only` sets: no parameter, since a corpus has its layout beside it.
  _needed: ClassVar[Sequence[str] | None] = None

  def pieces(self, urls: Sequence[str]) -> list[Piece]:
    return [piece for url in urls for piece in self._pieces(url)]

  def _pieces(self, url: str) -> list[Piece]:
    with open_seekable(url) as file:
      try:
        metadata = _open(file).metadata
      except _damage():
        return [Piece(url)]  # reading it gives the BadRecord
    pieces, start, waiting = [], 0, 0
    for group in range(metadata.num_row_groups):
      waiting += metadata.row_group(group).total_byte_size
      if waiting >= self.piece_bytes:
        pieces.append(Piece(url, start, group + 1))
        start, waiting = group + 1, 0
    if start < metadata.num_row_groups or not pieces:
      pieces.append(Piece(url, start, metadata.num_row_groups))
    return pieces

  def only(self, fields: Sequence[str]) -> Parquet:
    """This reader for a row parser that reads only these fields; a row may lack some of them."""
    narrowed = copy.copy(self)
    object.__setattr__(narrowed, '_needed', tuple(fields))
    return narrowed

  def rows(self, piece: Piece) -> Iterator[tuple[str, Mapping] | BadRecord]:
    """Raises UserError where a column of `columns` is in no file of this form."""
    with open_seekable(piece.url) as stored:
      try:
        file = _open(stored)
        names = file.schema_arrow.names
      except _damage() as error:
        yield _without_footer(piece.url, str(error))
        return
      self._require_columns(piece.url, names)
      if not file.metadata.num_rows:
        yield BadRecord(piece.url, EMPTY, 'it has no rows', expected=True)
      groups = range(file.metadata.num_row_groups)
      number = 1 + sum(file.metadata.row_group(group).num_rows for group in groups[: piece.start])
      for group in groups[piece.start : piece.stop]:
        yield from self._group(file, piece.url, group, number)
        number += file.metadata.row_group(group).num_rows

  def _group(self, file, url: str, group: int, number: int) -> Iterator[tuple[str, Mapping] | BadRecord]:
    """The rows of a row group, of which the first has this number in the file, from 1."""
    end = number + file.metadata.row_group(group).num_rows
    columns = self._wanted(file.schema_arrow)
    unread = [path for path in _leaves(file.schema_arrow) if path not in columns and not self.columns]
    try:
      for batch in _batches(file, group, columns):
        for index, row in enumerate(_python_rows(batch)):
          place = f'{url}:row {number + index}'
          if isinstance(row, BadRecord):
            yield dataclasses.replace(row, place=place)
          else:
            yield place, PartialRow(row, unread)
        number += batch.num_rows
    except _damage() as error:
      detail = f'row group {group}, from row {number:,} to {end - 1:,}: {str(error)[:200]}'
      yield BadRecord(url, DAMAGED, detail, lost=max(end - number, 1), after=number - 1)

  def _wanted(self, schema) -> list[str]:
    """The columns to read, or the fields of such columns."""
    columns = list(self.columns or schema.names)
    if self._needed is None:
      return columns
    wanted = tuple(f'{column}.' for column in columns)
    return [path for path in _paths(schema) if path in self._needed and f'{path}.'.startswith(wanted)]

  def _require_columns(self, url: str, names: Sequence[str]) -> None:
    for column in self.columns:
      if column not in names and column.split('.')[0] not in names:
        raise UserError(
          f"Parquet.columns names '{column}', but {url} has {', '.join(names)}.{nearest(column, names)}"
        )


def _paths(fields: Iterable, above: str = '') -> Iterator[str]:
  """The columns of a schema, and below dots the fields of those that are structs."""
  for field in fields:
    yield above + field.name
    yield from _paths(_inner(field), f'{above}{field.name}.')


def _leaves(fields: Iterable) -> list[str]:
  """The columns of a schema, and in place of a struct its fields."""
  return [path for field in fields for path in ([f'{field.name}.{inner.name}' for inner in _inner(field)] or [field.name])]


def _inner(field) -> list:
  import pyarrow

  return list(field.type) if pyarrow.types.is_struct(field.type) else []


def _batches(file, group: int, columns: list[str]):
  """The rows of a group in batches; also where none of its columns is wanted."""
  # Then the first column counts the rows: their number in the footer may be any.
  for batch in file.iter_batches(_BATCH_ROWS, [group], columns or _leaves(file.schema_arrow)[:1]):
    yield batch if columns else batch.select([])


def _python_rows(batch) -> list[Mapping | BadRecord]:
  """The rows of a batch; what Python cannot hold, or is not UTF-8 (parquet does not check it), costs its row."""
  if not batch.num_columns:
    return [{}] * batch.num_rows
  try:
    return batch.to_pylist()
  except Exception as error:  # each type of column has errors of its own
    if isinstance(error, MemoryError):
      raise
    return [_python_row(batch.slice(index, 1)) for index in range(batch.num_rows)]


def _python_row(batch) -> Mapping | BadRecord:
  row = {}
  for name, column in zip(batch.schema.names, batch.columns, strict=True):
    try:
      row[name] = column[0].as_py()
    except UnicodeDecodeError as error:
      return BadRecord('', 'not UTF-8', f"the column '{name}': {error.reason}")
    except Exception as error:
      if isinstance(error, MemoryError):
        raise
      return BadRecord('', 'no value of Python', f"the column '{name}' ({column.type}): {str(error)[:200]}")
  return row


def _without_footer(url: str, error: str) -> BadRecord:
  """The BadRecord of a file whose footer is missing or broken: the number of its rows is unknown."""
  other = foreign(url, compressed=False)
  if other and other.reason != 'parquet file':
    return other
  return BadRecord(url, DAMAGED, f'its footer cannot be read, and no row without it: {error[:200]}', lost=None)


def _open(file):
  import pyarrow.parquet  # takes 0.3 s, which other readers need not wait for

  return pyarrow.parquet.ParquetFile(file, buffer_size=2**20, pre_buffer=False)


def _damage() -> tuple[type[Exception], ...]:
  import pyarrow

  # Damaged pages end as OSError too, and names that are not UTF-8 as Python's error: pyarrow has none of its own for them.
  return (pyarrow.ArrowException, OSError, UnicodeDecodeError)
