"""The digests of a token store: of its tokens as one stream, and of its files."""

from __future__ import annotations

import hashlib
import tokenize
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from codemix.data.store.shard_writer import documents_file, tokens_file
from codemix.identity import digest

READ_BYTES, READ_ROWS = 2**22, 2**20  # at a time


def stream_digest(folder: Path, names: Sequence[str], dtype: np.dtype) -> str:
  """One hash of the tokens as one stream and of each document's tokens and bytes; reads all shards.

  It does not depend on the number of shards.
  """
  tokens, documents = hashlib.sha256(), hashlib.sha256()
  for name in names:
    with open(folder / tokens_file(name), 'rb') as file:
      while block := file.read(READ_BYTES):
        tokens.update(block)
    table = open_table(folder / documents_file(name))
    for begin in range(0, len(table), READ_ROWS):
      rows = table[max(begin - 1, 0) : begin + READ_ROWS]
      lengths = np.diff(rows[:, 0], prepend=0)[bool(begin) :]
      documents.update(np.column_stack([lengths, rows[bool(begin) :, 1]]).astype('<i8').tobytes())
  return digest({'dtype': dtype.str, 'tokens': tokens.hexdigest(), 'documents': documents.hexdigest()})


def open_table(path: Path) -> np.ndarray:
  """The table of a shard's documents, int64 [documents, 2], mapped; its header is compared with the file's size first.

  Raises ValueError: it is not such a table.
  """
  with open(path, 'rb') as file:
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
      raise ValueError(f'it is a .npy file of version {version}, not (1, 0)')
    try:
      shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    except (tokenize.TokenError, SyntaxError, TypeError) as error:  # numpy takes it for a header of Python 2, and lets these through
      raise ValueError(f'its header cannot be read ({error})') from None
    begin, size = file.tell(), path.stat().st_size
  if len(shape) != 2 or shape[1] != 2 or by_columns or dtype != np.dtype('<i8'):
    raise ValueError(f'it has {dtype} {list(shape)}, not int64 [documents, 2]')
  if begin + shape[0] * shape[1] * dtype.itemsize != size:
    raise ValueError(f'it has {size} bytes, and its header says {shape[0]} documents')
  # An empty array cannot be mapped.
  return np.memmap(path, dtype, 'r', begin, shape) if shape[0] else np.zeros(shape, dtype)


def seal(manifest: Mapping) -> str:
  """Hash of all of a manifest but this hash, so that `open_store` need only compare the digests of the files."""
  return digest({key: value for key, value in manifest.items() if key != 'seal'})


def earlier_seal(manifest: Mapping) -> str:
  """The seal of an older codemix, which covered the digests only."""
  return digest([manifest['digest'], files_digest(manifest['shards'])])


def files_digest(shards: Sequence[dict]) -> str:
  """One hash of the files of all shards: the digest of a store without a seal. It depends on the number of shards."""
  return digest([shard['sha256'] for shard in shards])
