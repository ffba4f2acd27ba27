"""Checks of a token store: quick ones when it is opened, and of every byte when that is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codemix.data.store.digests import files_digest, seal, stream_digest
from codemix.data.store.shard_writer import documents_file, tokens_file
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError
from codemix.identity import differences, digest, file_digest

if TYPE_CHECKING:
  from codemix.data.store.token_store import TokenStore

COUNTS = ('tokens', 'documents', 'bytes')
FULL_CHECK_BYTES = 2**30  # a store up to this size is re-read whole at open: about a second
ROWS = 2**20  # of a table of documents, checked together


def check_opened(store: TokenStore, tokenizer: Tokenizer | None = None) -> None:
  """What is checked whenever a store is opened; arguments and errors as of `open_store`."""
  shards = store.manifest['shards']
  sealed = has_seal(store)
  expected = {'seal': seal(store.digest, shards)} if sealed else {'digest': files_digest(shards)}
  expected |= sums(shards)
  if different := list(differences(expected, {key: store.manifest[key] for key in expected})):
    why = f'it does not agree with itself: {"; ".join(different)}'
    raise damaged(store.folder / 'manifest.json', why)
  sizes = _file_sizes(store)
  for name, size in sizes.items():
    path = store.folder / name
    if not path.exists():
      raise damaged(path, 'it is missing')
    if name.endswith('.bin') and path.stat().st_size != size:
      raise damaged(path, f'it has {path.stat().st_size} bytes, and the manifest says {size}')
  if sum(sizes.values()) <= FULL_CHECK_BYTES:
    verify_store(store)
  _check_golden(store, tokenizer)


def verify_store(store: TokenStore, progress: Callable[[int], None] = lambda size: None) -> None:
  """Re-reads every file against its digest.

  Args:
    progress: called with the size of each file that is as it was (bytes).

  Raises UserError naming the first file that differs.
  """
  for shard in store.manifest['shards']:
    kept_aside = shard.get('quarantine')
    digests = {**shard['sha256'], **({kept_aside['file']: kept_aside['sha256']} if kept_aside else {})}
    for name, sha256 in digests.items():
      path = store.folder / name
      if not path.exists():
        raise damaged(path, 'it is missing')
      if file_digest(path) != sha256:
        raise damaged(path, 'its bytes do not have the digest of its manifest')
      progress(path.stat().st_size)


def verify_whole(store: TokenStore) -> int:
  """Re-reads all of an open store, whatever its size; returns the bytes read.

  Raises UserError as `verify_store`; also where its identity is not the one that its folder is
  named by, or its tables do not agree with its tokens.
  """
  manifest = store.manifest
  named = re.search('-([0-9a-f]{12})$', store.folder.resolve().name)
  if named and digest(manifest['identity'])[:12] != named[1]:
    raise damaged(store.folder / 'manifest.json', 'its identity is not the one that the folder is named by')
  sizes: list[int] = []
  verify_store(store, sizes.append)
  names = [shard['name'] for shard in manifest['shards']]
  if has_seal(store) and stream_digest(store.folder, names, np.dtype(manifest['dtype'])) != store.digest:
    raise damaged(store.folder / 'manifest.json', 'its digest is not that of its tokens')
  for shard in manifest['shards']:
    path = store.folder / documents_file(shard['name'])
    if not _adds_up(np.load(path, mmap_mode='r'), shard):
      raise damaged(path, 'its documents do not add up to its tokens')
  return sum(sizes)


def has_seal(store: TokenStore) -> bool:
  """Whether its digest is one of the stream; stores of older versions have one of their files."""
  return 'seal' in store.manifest


def sums(shards: Sequence[dict]) -> dict[str, int]:
  """COUNTS over all shards."""
  return {count: sum(shard[count] for shard in shards) for count in COUNTS}


def damaged(path: Path, why: str) -> UserError:
  return UserError(f'the token store is damaged at {path}: {why}. {anew(path.parent)}')


def anew(folder: Path) -> str:
  return f'Delete the folder {folder} and prepare it again.'


def _file_sizes(store: TokenStore) -> dict[str, int]:
  width, shards = np.dtype(store.manifest['dtype']).itemsize, store.manifest['shards']
  tokens = {tokens_file(shard['name']): shard['tokens'] * width for shard in shards}
  return tokens | {documents_file(shard['name']): shard['documents'] * 16 for shard in shards}


def _check_golden(store: TokenStore, tokenizer: Tokenizer | None) -> None:
  for first in store.manifest['golden']:
    begin = store.shard_starts[first['shard']]
    if store.read(begin, begin + len(first['tokens'])).tolist() != first['tokens']:
      name = store.manifest['shards'][first['shard']]['name']
      raise damaged(store.folder / tokens_file(name), 'its first tokens have changed')
    if tokenizer and 'text' in first and (now := tokenizer.encode(first['text'])) != first['ids']:
      at = next(i for i in range(len(now) + 1) if now[i : i + 1] != first['ids'][i : i + 1])
      raise UserError(
        f'the tokenizer does not encode as it did when {store.folder} was prepared, although it is the same file: '
        f'a text that gave {first["ids"][at:at + 4]} at its token {at} gives {now[at:at + 4]}. '
        'Install the version of its library with which the store was prepared, or delete the folder and prepare it again.'
      )


def _adds_up(table: np.ndarray, shard: dict) -> bool:
  """Whether a table has the shard's documents, one behind the other up to its last token."""
  end = 0
  for begin in range(0, len(table), ROWS):
    ends = table[begin : begin + ROWS, 0]
    if (np.diff(ends, prepend=end) < 1).any():
      return False
    end = int(ends[-1])
  return (len(table), end) == (shard['documents'], shard['tokens'])
