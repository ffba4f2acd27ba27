"""Checks of a token store: quick ones when it is opened, and of every byte when that is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codemix.data.store.digests import files_digest, seal, stream_digest
from codemix.data.store.document_table import table_blocks
from codemix.data.store.shard_writer import documents_file, tokens_file
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError
from codemix.identity import differences, digest, file_digest
from codemix.storage import is_remote
from codemix.storage.checksums import sizes

if TYPE_CHECKING:
  from codemix.data.store.token_store import TokenStore

COUNTS = ('tokens', 'documents', 'bytes')
FULL_CHECK_BYTES = 2**30  # a store up to this size is re-read whole at open: about a second


def check_opened(store: TokenStore, tokenizer: Tokenizer | None = None) -> None:
  """What is checked whenever a store is opened; arguments and errors as of `open_store`."""
  shards = store.manifest['shards']
  sealed = has_seal(store)
  expected = {'seal': seal(store.digest, shards)} if sealed else {'digest': files_digest(shards)}
  expected |= sums(shards)
  if different := list(differences(expected, {key: store.manifest[key] for key in expected})):
    why = f'it does not agree with itself: {"; ".join(different)}'
    raise damaged(store.folder / 'manifest.json', why)
  expected_sizes = _file_sizes(store)
  found = sizes(store.folder, expected_sizes)
  for name, size in expected_sizes.items():
    path = store.folder / name
    if name not in found:
      raise damaged(path, 'it is missing')
    if name.endswith('.bin') and found[name] != size:
      raise damaged(path, f'it has {found[name]} bytes, and the manifest says {size}')
  # Every process of a pod opens the store: together they would read it from a bucket many times.
  if sum(expected_sizes.values()) <= FULL_CHECK_BYTES and not is_remote(store.folder):
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
  read: list[int] = []
  verify_store(store, read.append)
  names = [shard['name'] for shard in manifest['shards']]
  if has_seal(store) and stream_digest(store.folder, names, np.dtype(manifest['dtype'])) != store.digest:
    raise damaged(store.folder / 'manifest.json', 'its digest is not that of its tokens')
  for shard in manifest['shards']:
    path = store.folder / documents_file(shard['name'])
    if not _adds_up(path, shard):
      raise damaged(path, 'its documents do not add up to its tokens')
  return sum(read)


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


def _adds_up(path: Path, shard: dict) -> bool:
  """Whether a table has the shard's documents, one behind the other up to its last token."""
  end = documents = 0
  for rows in table_blocks(path):
    if (np.diff(rows[:, 0], prepend=end) < 1).any():
      return False
    end, documents = int(rows[-1, 0]), documents + len(rows)
  return (documents, end) == (shard['documents'], shard['tokens'])
