"""Writes one shard of a token store document by document, in constant memory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from codemix.storage import as_path, is_remote, make_folder, sync, write_json, writing
from codemix.storage.whole import put

COPY_BYTES = 2**22
DRAFTS = 'drafts'  # folder of shards that still hold duplicates


class NewFile:
  """A file that is written piece by piece, and is whole or absent; `size` bytes are written.

  Until it is finished, a file of a bucket is on the local disk.
  """

  def __init__(self, path: Path):
    self.path = as_path(path)
    self.size = 0
    self._hash = hashlib.sha256()
    make_folder(self.path.parent)
    with writing(self.path):
      if is_remote(self.path):
        self._file = tempfile.NamedTemporaryFile(prefix='codemix-', buffering=2**20, delete=False)  # noqa: SIM115 (closed by finish or discard)
      else:
        part = self.path.with_name(f'.{self.path.name}.{os.getpid()}.part')
        self._file = open(part, 'wb', buffering=2**20)  # noqa: SIM115 (closed by finish or discard)

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
      if is_remote(self.path):
        put(Path(self._file.name), self.path)
        os.unlink(self._file.name)
      else:
        os.replace(self._file.name, self.path)
    return self._hash.hexdigest()

  def discard(self) -> None:
    """Deletes what was written; does nothing after `finish`."""
    with contextlib.suppress(OSError):  # a full disk, which the write before has reported
      self._file.close()
    Path(self._file.name).unlink(missing_ok=True)


def parts_in(folder: Path) -> list[Path]:
  """Files that are being written, or that a killed process left."""
  return list(folder.glob('.*.part'))


class ShardWriter:
  """One shard: a file of tokens, a table of documents, and, written last, the record that marks both complete.

  Attributes:
    tokens, documents, bytes: written so far.
    loss_tokens: of these tokens, those that count in the loss; only with `with_loss`.
  """

  def __init__(self, folder: Path, name: str, dtype: np.dtype, columns: int = 2, with_loss: bool = False):
    """Begins a shard.

    Args:
      columns: int64 values of a document in the table: its end, its bytes, the caller's own.
      with_loss: whether the shard has a file that says which tokens count in the loss; `add_loss` writes it.
    """
    self.tokens = self.documents = self.bytes = self.loss_tokens = 0
    self._folder, self._name, self._columns, self._dtype = as_path(folder), name, columns, dtype
    self._stream = NewFile(self._folder / tokens_file(name))
    self._loss = NewFile(self._folder / loss_file(name)) if with_loss else None
    # The header of a .npy file holds the number of rows, so they go to a file of their own first.
    self._rows = NewFile(self._folder / f'{documents_file(name)}-rows')

  def add(self, streams: Sequence[np.ndarray], columns: np.ndarray) -> None:
    """Writes documents: ids with EOS, and columns but the end, int64 [documents, columns - 1]."""
    if len(streams):
      self.add_stream(np.concatenate(streams).astype(self._dtype, copy=False))
      self.add_rows(np.array([len(ids) for ids in streams], np.int64), columns)

  def add_stream(self, tokens: np.ndarray) -> None:
    """Writes tokens; `add_rows` writes the table of their documents."""
    self._stream.write(np.ascontiguousarray(tokens).data)

  def add_loss(self, counts: np.ndarray) -> None:
    """Writes whether each of some tokens counts in the loss, bool [n], in the order of `add_stream`."""
    self._loss.write(np.ascontiguousarray(counts, np.uint8).data)
    self.loss_tokens += int(counts.sum())

  def add_rows(self, lengths: np.ndarray, columns: np.ndarray) -> None:
    """Writes rows of the table: lengths in tokens, int64 [n], and the other columns, int64 [n, columns - 1]."""
    ends = self.tokens + np.cumsum(lengths)
    rows = np.column_stack([ends, columns]).astype('<i8')
    if rows.shape[1] != self._columns:
      raise ValueError(f'{rows.shape[1]} columns for a table of {self._columns}')
    self._rows.write(np.ascontiguousarray(rows).data)
    self.tokens += int(lengths.sum())
    self.documents += len(lengths)
    self.bytes += int(rows[:, 1].sum())

  def finish(self, **about: object) -> dict:
    """Completes the shard; returns its record, which has `about` too."""
    table = NewFile(self._folder / documents_file(self._name))
    try:
      shape = self.documents, self._columns
      header = {'descr': '<i8', 'fortran_order': False, 'shape': shape}
      np.lib.format.write_array_header_1_0(table, header)
      for block in self._rows.read_back():
        table.write(block)
      sha256 = {self._stream.path.name: self._stream.finish(), table.path.name: table.finish()}
    finally:
      table.discard()
    counts = {'tokens': self.tokens, 'documents': self.documents, 'bytes': self.bytes}
    if self._loss:
      if self._loss.size != self.tokens:
        raise ValueError(f'{self._loss.size} tokens with a loss or without one, of {self.tokens}')
      counts['loss_tokens'] = self.loss_tokens
      sha256[self._loss.path.name] = self._loss.finish()
    record = {'name': self._name, **counts, 'sha256': sha256, **about}
    write_json(shard_file(self._folder, self._name), record)
    return record

  def discard(self) -> None:
    """Deletes a shard that was not finished."""
    self._stream.discard()
    self._rows.discard()
    if self._loss:
      self._loss.discard()


@contextlib.contextmanager
def writing_shard(folder: Path, name: str, dtype: np.dtype, columns: int = 2, with_loss: bool = False) -> Iterator[ShardWriter]:
  """A writer that deletes the shard where it is not finished; arguments as of `ShardWriter`."""
  writer = ShardWriter(folder, name, dtype, columns, with_loss)
  try:
    yield writer
  finally:
    writer.discard()


def tokens_file(name: str) -> str:
  return f'tokens-{name}.bin'


def loss_file(name: str) -> str:
  return f'loss-{name}.bin'


def documents_file(name: str) -> str:
  return f'documents-{name}.npy'


def shard_file(folder: Path, name: str) -> Path:
  return folder / f'shard-{name}.json'
