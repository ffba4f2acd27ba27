"""Writes one shard of a token store as its documents come, in memory that does not grow with it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from codemix.files import make_folder, sync, write_json, writing

COPY_BYTES = 2**22
DRAFTS = 'drafts'  # folder of shards from which duplicates are not yet dropped


class NewFile:
  """A file that is written piece by piece, and is there whole or not at all.

  Attributes:
    size: bytes written.
  """

  def __init__(self, path: Path):
    self.path = Path(path)
    self.size = 0
    self._hash = hashlib.sha256()
    make_folder(self.path.parent)
    with writing(self.path):
      self._file = open(part_of(self.path), 'wb', buffering=2**20)  # noqa: SIM115 (closed by finish or discard)

  def write(self, data) -> None:
    with writing(self.path):
      self._file.write(data)
    self._hash.update(data)
    self.size += memoryview(data).nbytes

  def read_back(self) -> Iterator[bytes]:
    """What was written, in blocks."""
    with writing(self.path):
      self._file.flush()
    with open(self._file.name, 'rb') as file:
      while block := file.read(COPY_BYTES):
        yield block

  def finish(self) -> str:
    """Puts the file in its place; returns its sha256."""
    with writing(self.path):
      sync(self._file)
      self._file.close()
      os.replace(self._file.name, self.path)
    return self._hash.hexdigest()

  def discard(self) -> None:
    """Ends without a file; after `finish` it does nothing."""
    with contextlib.suppress(OSError):  # a full disk, which the write before has told of
      self._file.close()
    Path(self._file.name).unlink(missing_ok=True)


def part_of(path: Path) -> Path:
  """The neighbour in which `path` is written by this process."""
  return path.with_name(f'.{path.name}.{os.getpid()}.part')


def parts_in(folder: Path) -> list[Path]:
  """Neighbours that are being written, or that a killed process left."""
  return list(folder.glob('.*.part'))


class ShardWriter:
  """One shard: a file of tokens, a table of documents, and last the record that says that both are whole.

  Attributes:
    tokens, documents, bytes: written so far.
  """

  def __init__(self, folder: Path, name: str, dtype: np.dtype, columns: int = 2):
    """Starts a shard.

    Args:
      folder: the store's.
      name: of the shard.
      dtype: of the tokens.
      columns: int64 a document in its table: where it ends, its bytes, and what
        the caller wants to keep.
    """
    self.tokens = self.documents = self.bytes = 0
    self._folder, self._name, self._columns, self._dtype = Path(folder), name, columns, dtype
    self._stream = NewFile(self._folder / tokens_file(name))
    # The header of a .npy file holds the number of rows, so they go to a file of their own first.
    self._rows = NewFile(self._folder / f'{documents_file(name)}-rows')

  def add(self, streams: Sequence[np.ndarray], columns: np.ndarray) -> None:
    """Writes documents.

    Args:
      streams: each one's ids, EOS last.
      columns: int64 [documents, columns - 1]: its bytes, and the caller's own.
    """
    if len(streams):
      self.add_stream(np.concatenate(streams).astype(self._dtype, copy=False))
      self.add_rows(np.array([len(ids) for ids in streams], np.int64), columns)

  def add_stream(self, tokens: np.ndarray) -> None:
    """Writes tokens, of which `add_rows` tells the documents."""
    self._stream.write(np.ascontiguousarray(tokens).data)

  def add_rows(self, lengths: np.ndarray, columns: np.ndarray) -> None:
    """Writes rows of the table: each document's tokens, int64 [n], and the columns behind."""
    ends = self.tokens + np.cumsum(lengths)
    rows = np.column_stack([ends, columns]).astype('<i8')
    if rows.shape[1] != self._columns:
      raise ValueError(f'{rows.shape[1]} columns for a table of {self._columns}')
    self._rows.write(np.ascontiguousarray(rows).data)
    self.tokens += int(lengths.sum())
    self.documents += len(lengths)
    self.bytes += int(rows[:, 1].sum())

  def finish(self, **about: object) -> dict:
    """Completes the shard; returns its record.

    Args:
      about: what else the record says.
    """
    table = NewFile(self._folder / documents_file(self._name))
    try:
      table.write(_npy_header((self.documents, self._columns)))
      for block in self._rows.read_back():
        table.write(block)
      sha256 = {self._stream.path.name: self._stream.finish(), table.path.name: table.finish()}
    finally:
      table.discard()
    record = {
      'name': self._name,
      'tokens': self.tokens,
      'documents': self.documents,
      'bytes': self.bytes,
      'sha256': sha256,
      **about,
    }
    write_json(shard_file(self._folder, self._name), record)
    return record

  def discard(self) -> None:
    """Leaves nothing of a shard that was not finished."""
    self._stream.discard()
    self._rows.discard()


@contextlib.contextmanager
def writing_shard(folder: Path, name: str, dtype: np.dtype, columns: int = 2) -> Iterator[ShardWriter]:
  """A writer that leaves nothing behind where it is not finished."""
  writer = ShardWriter(folder, name, dtype, columns)
  try:
    yield writer
  finally:
    writer.discard()


def _npy_header(shape: tuple[int, ...]) -> bytes:
  header = io.BytesIO()
  np.lib.format.write_array_header_1_0(header, {'descr': '<i8', 'fortran_order': False, 'shape': shape})
  return header.getvalue()


def tokens_file(name: str) -> str:
  return f'tokens-{name}.bin'


def documents_file(name: str) -> str:
  return f'documents-{name}.npy'


def shard_file(folder: Path, name: str) -> Path:
  return folder / f'shard-{name}.json'
