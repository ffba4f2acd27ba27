"""The token store: one source's tokens as one stream, read at any position.

A store is a folder:

    manifest.json                    its identity, a digest of each file, and the accounts
    tokens-00000-of-00008.bin        tokens, little-endian uint16 or uint32, documents end to end
    documents-00000-of-00008.npy     int64 [documents, 2]: end of each document in the shard
                                     (tokens), and its length before tokenization (bytes)
    loss-00000-of-00008.bin          only of a source with prompts: a byte a token, 1 if it counts in the loss, else 0
    shard-00000-of-00008.json        written last of its shard: the shard is complete
    bad-00000-of-00008.jsonl         records of the shard's raw files that were set aside, if any
    sources.json                     the raw files as they were when it was prepared

Every document ends with EOS. A shard is whole or absent, so an interrupted `prepare` goes on with
those that are missing. A row costs one read of the file cache and a binary search in the mapped
table of its shard, and resident memory does not grow with the source. In a bucket, a row costs range requests, or reads of
the local cache (`codemix.storage.ranges`).
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
import resource
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from codemix.data.store import record_counts, verify
from codemix.data.store.damage import anew, damaged
from codemix.data.store.digests import seal, stream_digest
from codemix.data.store.document_table import DocumentTable
from codemix.data.store.shard_writer import (
  documents_file,
  loss_file,
  shard_file,
  tokens_file,
  writing_shard,
)
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError
from codemix.identity import as_read, differences
from codemix.storage import (
  FileName,
  as_path,
  read_json,
  remove,
  require_form,
  write_json,
)
from codemix.storage.locks import LOCK_FILES
from codemix.storage.ranges import Ranges, open_ranges

FORMAT = 2
GOLDEN_SHARDS = 8  # their first documents are compared at open
GOLDEN_TOKENS = 32  # of each
GOLDEN_CHARACTERS = 200  # of each that are encoded again at open
CACHE_BYTES = 16 * 2**30  # of the local disk, for what is read of stores in a bucket
WRITE_DOCUMENTS = 1024  # handed to a shard's writer at a time


@dataclasses.dataclass(frozen=True)
class TokenStore:
  """An open store: its folder and its parsed manifest; `cache_bytes`: of the cache of this process, for stores in a bucket."""

  folder: Path
  manifest: dict
  cache_bytes: int = CACHE_BYTES

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
    """Digest of the tokens and documents, whatever their folder and number of shards (`stream_digest`)."""
    return self.manifest['digest']

  @property
  def has_prompts(self) -> bool:
    """Whether it says for each token if that counts in the loss; without it, all do."""
    return verify.LOSS_TOKENS in self.manifest

  @property
  def loss_tokens(self) -> int:
    """Tokens that count in the loss."""
    return self.manifest.get(verify.LOSS_TOKENS, self.tokens)

  @property
  def token_bytes(self) -> int:
    """Bytes of a token."""
    return np.dtype(self.manifest['dtype']).itemsize

  @property
  def kept_tokens(self) -> int:
    """Tokens of the shards that stay on this machine once they are read (`storage.ranges`)."""
    return sum(shard['tokens'] for shard, file in zip(self.manifest['shards'], self._files, strict=True) if file.kept)

  @property
  def document_ends(self) -> np.ndarray:
    """int64 [documents]: where each document ends in the stream (tokens); 8 bytes a document in memory."""
    return np.concatenate([np.zeros(0, np.int64), *self.document_ends_by_shard()])

  def document_ends_by_shard(self) -> Iterator[np.ndarray]:
    """Yields `document_ends` a shard at a time, for stores of any size."""
    for table, offset in zip(self._tables, self.shard_starts, strict=False):
      yield table.rows()[:, 0] + offset

  @property
  def document_bytes(self) -> np.ndarray:
    """int64 [documents]: each document's length before tokenization (bytes)."""
    return np.concatenate([np.zeros(0, np.int64), *(table.rows()[:, 1] for table in self._tables)])

  def ends_within(self, start: int, stop: int) -> np.ndarray:
    """int64, ascending: the document ends e with start <= e < stop."""
    found = [np.zeros(0, np.int64)]
    shard = max(bisect.bisect_left(self.shard_starts, start) - 1, 0)
    while shard < len(self._tables) and (offset := self.shard_starts[shard]) < stop:
      table = self._tables[shard]
      found.append(table.rows(table.search(start - offset), table.search(stop - offset))[:, 0] + offset)
      shard += 1
    return np.concatenate(found)

  def document_at(self, token: int) -> int:
    """The number of the document that holds a token of the stream."""
    shard = bisect.bisect_right(self.shard_starts, token) - 1
    before = sum(s['documents'] for s in self.manifest['shards'][:shard])
    return before + self._tables[shard].search(token - self.shard_starts[shard], 'right')

  def read(self, start: int, stop: int) -> np.ndarray:
    """Tokens [start, stop) of the stream, int32 [stop - start]."""
    parts = [np.zeros(0, np.int32), *(self._read_shard(*piece) for piece in self._pieces(start, stop))]
    return np.concatenate(parts, dtype=np.int32, casting='unsafe')

  def counts_in_loss(self, start: int, stop: int) -> np.ndarray:
    """Whether each of the tokens [start, stop) counts in the loss, bool [stop - start]."""
    if not self.has_prompts:
      return np.ones(stop - start, bool)
    pieces = ((self._loss_files[shard], begin, end - begin) for shard, begin, end in self._pieces(start, stop))
    parts = [np.zeros(0, np.uint8), *(np.frombuffer(_read(*piece), np.uint8) for piece in pieces)]
    return np.concatenate(parts) != 0

  def will_read(self, start: int, stop: int) -> None:
    """Starts to fetch what `read` and `ends_within` of these tokens need, of a store in a bucket."""
    for shard, begin, end in self._pieces(start, stop):
      self._files[shard].will_read(*self._bytes(begin, end))
      if self.has_prompts:
        self._loss_files[shard].will_read(begin, end - begin)
      self._tables[shard].will_search(begin)

  def _pieces(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """(shard, first token in it, end) of each shard that holds some of the tokens [start, stop)."""
    shard = bisect.bisect_right(self.shard_starts, start) - 1
    while start < stop:
      begin, end = self.shard_starts[shard : shard + 2]
      yield shard, start - begin, min(stop, end) - begin
      start, shard = min(stop, end), shard + 1

  def _bytes(self, start: int, stop: int) -> tuple[int, int]:
    """Offset and size in a shard's file of tokens."""
    width = self.token_bytes
    return start * width, (stop - start) * width

  def _read_shard(self, shard: int, start: int, stop: int) -> np.ndarray:
    return np.frombuffer(_read(self._files[shard], *self._bytes(start, stop)), self.manifest['dtype'])

  @functools.cached_property
  def shard_starts(self) -> list[int]:
    """The first token of each shard in the stream, and at the end the number of tokens."""
    return list(itertools.accumulate((shard['tokens'] for shard in self.manifest['shards']), initial=0))

  @functools.cached_property
  def _files(self) -> list[Ranges]:
    """The file of tokens of each shard; closed with the store."""
    _allow_open_files()
    # The tables first: a bucket's must be in the cache.
    _ = [table.rows(0, 1) for table in self._tables]
    size = lambda shard: self._bytes(0, shard['tokens'])[1]
    return [open_ranges(self.folder / tokens_file(shard['name']), size(shard), self.cache_bytes) for shard in self.manifest['shards']]

  @functools.cached_property
  def _loss_files(self) -> list[Ranges]:
    """The file of each shard that says which tokens count in the loss, of a store that has them."""
    _allow_open_files()
    return [open_ranges(self.folder / loss_file(shard['name']), shard['tokens'], self.cache_bytes) for shard in self.manifest['shards']]

  @functools.cached_property
  def _tables(self) -> list[DocumentTable]:
    _allow_open_files()
    of = lambda shard: (self.folder / documents_file(shard['name']), shard['documents'], shard['tokens'], self.cache_bytes)
    return [DocumentTable(*of(shard)) for shard in self.manifest['shards']]


def _read(file: Ranges, offset: int, size: int) -> bytes:
  if len(read := file.read(offset, size)) < size:
    raise damaged(file.path, 'it has become shorter')
  return read


def _allow_open_files() -> None:
  """Raises this process's limit of open files: a study's sources have more shards than the usual 1024."""
  soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  if soft != hard:
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def token_dtype(vocab_size: int) -> np.dtype:
  """The narrowest little-endian type that holds every id."""
  return np.dtype('<u2' if vocab_size <= 2**16 else '<u4')


def shard_name(index: int, shards: int) -> str:
  return f'{index:05d}-of-{shards:05d}'


def shard_is_complete(folder: Path, name: str) -> bool:
  """Whether the shard's record exists, which is written after its other files."""
  return shard_file(folder, name).exists()


def read_shard(folder: Path, name: str) -> dict:
  """The record of a shard that is complete."""
  path = shard_file(folder, name)
  return read_json(path, _SHARD, f'Delete {path} and run `codemix prepare` again.')


def write_shard(
  folder: Path, name: str, documents: Iterable[tuple[np.ndarray, int]], dtype: np.dtype
) -> None:
  """Writes a shard whole; `documents`: ids with EOS, and length before tokenization (bytes)."""
  first: dict | None = None
  documents = iter(documents)
  with writing_shard(folder, name, dtype) as shard:
    while block := list(itertools.islice(documents, WRITE_DOCUMENTS)):
      streams, lengths = zip(*block, strict=True)
      first = first or golden(streams[0])
      shard.add([np.asarray(ids) for ids in streams], np.array(lengths, np.int64)[:, None])
    shard.finish(golden=first)


def golden(ids: Sequence[int], text: str | None = None, encoded: Sequence[int] | None = None) -> dict:
  """Fingerprint of a shard's first document, checked again at open.

  `text` are its first GOLDEN_CHARACTERS characters, if known, and `encoded` the ids of these alone.
  """
  about = {'tokens': np.asarray(ids)[:GOLDEN_TOKENS].tolist()}
  return about if text is None else {**about, 'text': text, 'ids': list(map(int, encoded))}


def write_manifest(
  folder: Path, identity: dict, names: Sequence[str], dtype: np.dtype, tokenizer: Tokenizer | None = None
) -> TokenStore:
  """Completes a store whose shards are all there."""
  shards = [read_shard(folder, name) for name in names]
  begun = [index for index, shard in enumerate(shards) if shard['documents']]
  every = -(-len(begun) // GOLDEN_SHARDS) or 1
  content = stream_digest(folder, names, dtype, with_loss=any(verify.LOSS_TOKENS in shard for shard in shards))
  manifest = {
    'format': FORMAT,
    'identity': identity,
    'dtype': dtype.str,
    **verify.sums(shards),
    'digest': content,
    'golden': [{'shard': n, **shards[n]['golden']} for n in begun[::every]],
    'accounts': record_counts.total(shard.get('accounts', {}) for shard in shards),
    'shards': [{key: shard[key] for key in _IN_MANIFEST if key in shard} for shard in shards],
  }
  write_json(folder / 'manifest.json', {**manifest, 'seal': seal(as_read(manifest))})
  return open_store(folder, tokenizer=tokenizer)


def clear(folder: Path) -> None:
  """Deletes what a store holds, the manifest first, so that it never looks complete; its lock stays."""
  remove(folder / 'manifest.json')
  for path in list(folder.iterdir()):
    if path.name not in LOCK_FILES:
      remove(path)


_SHARD = {'name': FileName, **dict.fromkeys(verify.COUNTS, int), 'sha256': {...: str}}
_MANIFEST = {
  'identity': dict,
  'dtype': str,
  **dict.fromkeys(verify.COUNTS, int),
  'digest': str,
  'golden': [{'shard': int, 'tokens': list}],
  'accounts': dict,
  'shards': [_SHARD],
}
_IN_MANIFEST = ('name', *verify.COUNTS, verify.LOSS_TOKENS, 'sha256', 'quarantine')


def open_store(
  folder: Path, expected: dict | None = None, tokenizer: Tokenizer | None = None, cache_bytes: int = CACHE_BYTES
) -> TokenStore:
  """Opens a store and checks it before anything is trained from it.

  Sizes and the first tokens of some shards are always compared; a store of up
  to 1 GiB on a disk is re-read whole and compared with its digests.

  Args:
    expected: parts of the identity that it must have, such as the tokenizer's.
    tokenizer: encodes the beginnings of the first documents again, since the
      library behind it may have changed while its file did not.
    cache_bytes: of the local disk, for what is read of all stores in buckets.

  Raises UserError: the store is incomplete, damaged, or was prepared from other inputs.
  """
  folder = as_path(folder)
  manifest = read_json(folder / 'manifest.json', fix=anew(folder))
  if manifest.get('format') != FORMAT:
    raise UserError(
      f'{folder} has token store format {manifest.get("format")}, and this codemix reads {FORMAT}; prepare it again.'
    )
  require_form(manifest, _MANIFEST, folder / 'manifest.json', anew(folder))
  found = {key: manifest['identity'].get(key) for key in expected or {}}
  if different := list(differences(expected or {}, found)):
    raise UserError(f'{folder} was prepared from other inputs: {"; ".join(different)}. Prepare it again.')
  store = TokenStore(folder, manifest, cache_bytes)
  verify.check_opened(store, tokenizer)
  return store
