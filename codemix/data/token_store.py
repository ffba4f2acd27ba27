"""The token store: one source's tokens as one stream, read at any row without a search.

A store is a folder:

    manifest.json                    what it was made from, and a digest of each file
    tokens-00000-of-00008.bin        tokens, little-endian uint16 or uint32, documents end to end
    documents-00000-of-00008.npy     int64 [documents, 2]: end of each document in the shard
                                     (tokens), and its length before tokenization (bytes)
    shard-00000-of-00008.json        written last of its shard: the shard is complete

Every document ends with EOS. Shards are written whole, one after another, so
an interrupted `prepare` goes on at the first shard that is not there. The
files are plain so that they can be mapped: a row is a page or two of the file
cache, and resident memory stays flat however large the source.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from codemix.errors import UserError
from codemix.files import read_json, write_bytes, write_json
from codemix.identity import differences, digest, file_digest

FORMAT = 1
GOLDEN_TOKENS = 32  # of the first document, kept in the manifest and compared at open
FULL_CHECK_BYTES = 2**30  # a store up to this size is re-read whole at open: about a second


@dataclasses.dataclass(frozen=True)
class TokenStore:
  """An open store.

  Attributes:
    folder: where it lies.
    manifest: the parsed manifest.
  """

  folder: Path
  manifest: dict

  @property
  def tokens(self) -> int:
    """Tokens in all documents, EOS included."""
    return self.manifest['tokens']

  @property
  def documents(self) -> int:
    return self.manifest['documents']

  @property
  def bytes(self) -> int:
    """Bytes of all documents before tokenization (UTF-8)."""
    return self.manifest['bytes']

  @property
  def digest(self) -> str:
    """sha256 over the token and document files: what the tokens are, wherever they lie."""
    return self.manifest['digest']

  @functools.cached_property
  def document_ends(self) -> np.ndarray:
    """int64 [documents]: where each document ends in the stream (tokens)."""
    offsets = self._shard_starts[:-1]
    tables = [table[:, 0] + offset for table, offset in zip(self._tables, offsets, strict=True)]
    return np.concatenate(tables)

  @functools.cached_property
  def document_bytes(self) -> np.ndarray:
    """int64 [documents]: each document's length before tokenization (bytes)."""
    return np.concatenate([table[:, 1] for table in self._tables])

  def read(self, start: int, stop: int) -> np.ndarray:
    """Tokens [start, stop) of the stream, int32 [stop - start]."""
    first = int(np.searchsorted(self._shard_starts, start, side='right')) - 1
    parts = []
    while start < stop:
      begin, end = self._shard_starts[first], self._shard_starts[first + 1]
      parts.append(self._shards[first][start - begin : min(stop, end) - begin])
      start, first = min(stop, int(end)), first + 1
    return np.concatenate(parts).astype(np.int32) if parts else np.zeros(0, np.int32)

  @functools.cached_property
  def _shard_starts(self) -> np.ndarray:
    return np.cumsum([0] + [shard['tokens'] for shard in self.manifest['shards']])

  @functools.cached_property
  def _tables(self) -> list[np.ndarray]:
    return [np.load(self.folder / _documents_file(shard['name'])) for shard in self.manifest['shards']]

  @functools.cached_property
  def _shards(self) -> list[np.ndarray]:
    dtype = np.dtype(self.manifest['dtype'])
    # An empty file cannot be mapped, and a shard of an empty split has no tokens.
    return [
      np.memmap(self.folder / _tokens_file(shard['name']), dtype, 'r')
      if shard['tokens']
      else np.zeros(0, dtype)
      for shard in self.manifest['shards']
    ]


def token_dtype(vocab_size: int) -> np.dtype:
  """The narrowest little-endian type that holds every id."""
  return np.dtype('<u2' if vocab_size <= 2**16 else '<u4')


def shard_name(index: int, shards: int) -> str:
  return f'{index:05d}-of-{shards:05d}'


def shard_is_complete(folder: Path, name: str) -> bool:
  """Whether the shard's last file is there; it is written after the others."""
  return _shard_file(folder, name).exists()


def write_shard(
  folder: Path, name: str, documents: Iterable[tuple[np.ndarray, int]], dtype: np.dtype
) -> None:
  """Writes one shard whole.

  Args:
    folder: the store's folder.
    name: from `shard_name`.
    documents: (token ids with EOS, length before tokenization in bytes) each.
    dtype: from `token_dtype`.
  """
  streams, table, end = [], [], 0
  for ids, length in documents:
    streams.append(np.asarray(ids).astype(dtype))
    end += len(ids)
    table.append((end, length))
  stream = np.concatenate(streams) if streams else np.zeros(0, dtype)
  ends = np.asarray(table, np.int64).reshape(-1, 2)
  tokens_path, documents_path = folder / _tokens_file(name), folder / _documents_file(name)
  write_bytes(tokens_path, stream.tobytes())
  write_bytes(documents_path, _npy_bytes(ends))
  write_json(
    _shard_file(folder, name),
    {
      'name': name,
      'tokens': int(end),
      'documents': len(ends),
      'bytes': int(ends[:, 1].sum()),
      'sha256': {path.name: file_digest(path) for path in (tokens_path, documents_path)},
    },
  )


def write_manifest(folder: Path, identity: dict, names: list[str], dtype: np.dtype) -> TokenStore:
  """Completes a store whose shards are all there."""
  shards = [read_json(_shard_file(folder, name)) for name in names]
  manifest = {
    'format': FORMAT,
    'identity': identity,
    'dtype': dtype.str,
    'tokens': sum(shard['tokens'] for shard in shards),
    'documents': sum(shard['documents'] for shard in shards),
    'bytes': sum(shard['bytes'] for shard in shards),
    'digest': digest([shard['sha256'] for shard in shards]),
    'shards': shards,
  }
  manifest['golden'] = TokenStore(folder, manifest).read(0, min(GOLDEN_TOKENS, manifest['tokens'])).tolist()
  write_json(folder / 'manifest.json', manifest)
  return open_store(folder)


def open_store(folder: Path, expected: dict | None = None) -> TokenStore:
  """Opens a store and checks it before anything is trained from it.

  Sizes and the first document's tokens are always compared; a store of up to
  1 GiB is re-read whole against its digests.

  Args:
    folder: the store's folder.
    expected: parts of the identity that must be met, such as the tokenizer's.

  Raises:
    UserError: the store is incomplete, damaged, or was made from something else.
  """
  folder = Path(folder)
  manifest = read_json(folder / 'manifest.json')
  if manifest.get('format') != FORMAT:
    raise UserError(
      f'{folder} has token store format {manifest.get("format")}, and this codemix reads {FORMAT}; prepare it again.'
    )
  found = {key: manifest['identity'].get(key) for key in expected or {}}
  if different := list(differences(expected or {}, found)):
    raise UserError(f'{folder} was prepared from something else: {"; ".join(different)}. Prepare it again.')
  store = TokenStore(folder, manifest)
  _check_sizes(store)
  if sum(_file_sizes(store).values()) <= FULL_CHECK_BYTES:
    verify_store(store)
  if store.read(0, len(manifest['golden'])).tolist() != manifest['golden']:
    raise _damaged(folder / _tokens_file(manifest['shards'][0]['name']), 'its first tokens have changed')
  return store


def verify_store(store: TokenStore) -> None:
  """Re-reads every file against its digest.

  Raises:
    UserError: naming the first file that differs.
  """
  for shard in store.manifest['shards']:
    for name, sha256 in shard['sha256'].items():
      if file_digest(store.folder / name) != sha256:
        raise _damaged(store.folder / name, 'its bytes do not have the digest of its manifest')


def _check_sizes(store: TokenStore) -> None:
  for name, size in _file_sizes(store).items():
    path = store.folder / name
    if not path.exists():
      raise _damaged(path, 'it is missing')
    if name.endswith('.bin') and path.stat().st_size != size:
      raise _damaged(path, f'it has {path.stat().st_size} bytes, and the manifest says {size}')


def _file_sizes(store: TokenStore) -> dict[str, int]:
  width = np.dtype(store.manifest['dtype']).itemsize
  sizes = {}
  for shard in store.manifest['shards']:
    sizes[_tokens_file(shard['name'])] = shard['tokens'] * width
    sizes[_documents_file(shard['name'])] = shard['documents'] * 16
  return sizes


def _damaged(path: Path, why: str) -> UserError:
  return UserError(f'the token store is damaged at {path}: {why}. Delete the folder {path.parent} and prepare it again.')


def _npy_bytes(array: np.ndarray) -> bytes:
  import io

  buffer = io.BytesIO()
  np.save(buffer, array)
  return buffer.getvalue()


def _tokens_file(name: str) -> str:
  return f'tokens-{name}.bin'


def _documents_file(name: str) -> str:
  return f'documents-{name}.npy'


def _shard_file(folder: Path, name: str) -> Path:
  return folder / f'shard-{name}.json'
