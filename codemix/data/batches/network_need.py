"""What a step of a run needs from the network, if its token stores are in a bucket: by arithmetic, before anything is read."""

from __future__ import annotations

import dataclasses

from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.batches.stage_rows import StageRows
from codemix.storage import is_remote
from codemix.storage.ranges import BLOCK_BYTES


@dataclasses.dataclass(frozen=True)
class Need:
  """Bytes and range requests, on average."""

  bytes: float
  requests: float


def network_need(rows: StageRows, count: int) -> Need | None:
  """What `count` rows of a stage need from a bucket if nothing of them is in the cache yet; None: no source is in one.

  Blocks are shared by rows, and are fetched once by each process: with a warm cache a step needs less.
  """
  found = [(share, _of_row(source)) for source, share in zip(rows.sources, rows.shares, strict=True) if _in_bucket(source)]
  if not found:
    return None
  return Need(count * sum(share * need.bytes for share, need in found), count * sum(share * need.requests for share, need in found))


def _in_bucket(source) -> bool:
  return isinstance(source, PreparedSource) and is_remote(source.store.folder)


def _of_row(source: PreparedSource) -> Need:
  """A row with the token before it, and the block of its shard's table in which it begins."""
  store = source.store
  size = (source.length + 1) * store.token_bytes
  kept = store.kept_tokens / max(store.tokens, 1)
  blocks = _blocks(size, store.token_bytes * store.tokens)
  table = _blocks(BLOCK_BYTES, 16 * store.documents)
  return Need(
    kept * blocks * BLOCK_BYTES + (1 - kept) * size + table * BLOCK_BYTES,
    kept * blocks + (1 - kept) + table,
  )


def _blocks(size: int, whole: int) -> float:
  """Blocks that `size` bytes at any place of a file of `whole` bytes touch, on average."""
  return min(1 + (size - 1) / BLOCK_BYTES, max(whole / BLOCK_BYTES, 1))
