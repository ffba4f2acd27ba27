"""Checks of a token store: quick ones when it is opened, and of every byte when that is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codemix.data.store.damage import anew, damaged
from codemix.data.store.digests import READ_BYTES, earlier_seal, files_digest, seal, stream_digest
from codemix.data.store.document_table import table_blocks
from codemix.data.store.shard_writer import documents_file, loss_file, tokens_file
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError
from codemix.identity import differences, digest, file_digest
from codemix.storage import FileName, is_remote, require_form
from codemix.storage.checksums import sizes

if TYPE_CHECKING:
  from codemix.data.store.token_store import TokenStore

DTYPES = ('<u2', '<u4')  # of tokens
_NONE_ASIDE = {'file': 'none', 'sha256': ''}  # of a shard without records set aside
COUNTS = ('tokens', 'documents', 'bytes')
LOSS_TOKENS = 'loss_tokens'  # of a store with prompts, and of each of its shards
FULL_CHECK_BYTES = 2**30  # a store up to this size is re-read whole at open: about a second


def check_opened(store: TokenStore, tokenizer: Tokenizer | None = None) -> None:
  """What is checked whenever a store is opened; arguments and errors as of `open_store`."""
  shards = store.manifest['shards']
  _require_readable(store)
  expected: dict[str, object] = {}
  if not has_seal(store):
    expected['digest'] = files_digest(shards)
  elif store.manifest['seal'] not in (fitting := (seal(store.manifest), earlier_seal(store.manifest))):
    expected['seal'] = fitting[0]
  found = lambda values: {key: store.manifest[key] for key in values}
  counts = sums(shards)  # named first: they say what was changed
  if different := [*differences(counts, found(counts)), *differences(expected, found(expected))]:
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
  for shard in manifest['shards']:
    path = store.folder / documents_file(shard['name'])
    if not _adds_up(path, shard):
      raise damaged(path, 'its documents do not add up to its tokens')
    if store.has_prompts and not _loss_adds_up(path := store.folder / loss_file(shard['name']), shard):
      raise damaged(path, 'the tokens that count in the loss are not as many as the manifest says')
  if has_seal(store) and stream_digest(store.folder, names, np.dtype(manifest['dtype']), store.has_prompts) != store.digest:
    raise damaged(store.folder / 'manifest.json', 'its digest is not that of its tokens')
  return sum(read)


def _require_readable(store: TokenStore) -> None:
  """Checks what the manifest is read by: it may be damaged, or its author may wish to harm."""
  manifest, path = store.manifest, store.folder / 'manifest.json'
  if manifest['dtype'] not in DTYPES:
    raise damaged(path, f'its dtype is {manifest["dtype"]!r}, not {" or ".join(DTYPES)}')
  if store.has_prompts:
    require_form(manifest, {LOSS_TOKENS: int}, path, anew(path.parent))
  for number, shard in enumerate(manifest['shards']):
    if (LOSS_TOKENS in shard) != store.has_prompts:
      raise damaged(path, f'shards[{number}] and the store do not agree on whether they have {LOSS_TOKENS}')
    if store.has_prompts:
      require_form(shard, {LOSS_TOKENS: int}, path, anew(path.parent))
    if negative := [count for count in (*COUNTS, LOSS_TOKENS) if shard.get(count, 0) < 0]:
      raise damaged(path, f'shards[{number}].{negative[0]} is negative')
    files = [tokens_file(shard['name']), documents_file(shard['name']), *([loss_file(shard['name'])] if store.has_prompts else [])]
    if shard['sha256'].keys() != set(files):
      raise damaged(path, f'shards[{number}].sha256 does not have the digests of {", ".join(files[:-1])} and {files[-1]}')
    require_form(shard.get('quarantine') or _NONE_ASIDE, {'file': FileName, 'sha256': str}, path, anew(path.parent))
  for number, first in enumerate(manifest['golden']):
    if not 0 <= first['shard'] < len(manifest['shards']):
      raise damaged(path, f'golden[{number}].shard is not the number of a shard')
    require_form(first, {'text': str, 'ids': list} if 'text' in first else {}, path, anew(path.parent))


def has_seal(store: TokenStore) -> bool:
  """Whether its digest is one of the stream; stores of older versions have one of their files."""
  return 'seal' in store.manifest


def sums(shards: Sequence[dict]) -> dict[str, int]:
  """COUNTS over all shards, and LOSS_TOKENS if they have it."""
  counts = (*COUNTS, *([LOSS_TOKENS] if shards and all(LOSS_TOKENS in shard for shard in shards) else []))
  return {count: sum(shard[count] for shard in shards) for count in counts}


def _file_sizes(store: TokenStore) -> dict[str, int]:
  width, shards = np.dtype(store.manifest['dtype']).itemsize, store.manifest['shards']
  tokens = {tokens_file(shard['name']): shard['tokens'] * width for shard in shards}
  if store.has_prompts:
    tokens |= {loss_file(shard['name']): shard['tokens'] for shard in shards}
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


def _loss_adds_up(path: Path, shard: dict) -> bool:
  """Whether a file says of each token whether it counts, and of as many as the shard has that they do."""
  counted = 0
  with path.open('rb') as file:
    while block := file.read(READ_BYTES):
      values = np.frombuffer(block, np.uint8)
      if (values > 1).any():
        return False
      counted += int(values.sum())
  return counted == shard[LOSS_TOKENS]


def _adds_up(path: Path, shard: dict) -> bool:
  """Whether a table has the shard's documents, one behind the other up to its last token."""
  end = documents = 0
  for rows in table_blocks(path):
    if (np.diff(rows[:, 0], prepend=end) < 1).any():
      return False
    end, documents = int(rows[-1, 0]), documents + len(rows)
  return (documents, end) == (shard['documents'], shard['tokens'])
