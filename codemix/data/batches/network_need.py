"""What a step of a run needs from the network, if its token stores are in a bucket: by arithmetic, before anything is read."""

from __future__ import annotations

import dataclasses

from codemix.data.batches.prepared_source import PreparedSource
from codemix.data.batches.stage_rows import StageRows
from codemix.data.store.document_table import ROW
from codemix.storage import is_remote
from codemix.storage.ranges import BLOCK_BYTES


@dataclasses.dataclass(frozen=True)
class Need:
  """Bytes and range requests, on average."""

  bytes: float
  requests: float


def network_need(rows: StageRows, count: int, steps: int = 1) -> Need | None:
  """What a step of `count` rows needs from a bucket, averaged over the first `steps` steps; None: no source is in one.

  Rows of a step lie anywhere in their source. Of files that fit into the cache blocks are fetched, each once by a process, and rows share
  them: with a warm cache a step needs less. Of other files exactly the rows are fetched. A row also needs the table of
  documents around its beginning.
  """
  found = [
    _of_rows(source, share * count * steps)
    for source, share in zip(rows.sources, rows.shares, strict=True)
    if isinstance(source, PreparedSource) and is_remote(source.store.folder)
  ]
  if not found:
    return None
  return Need(sum(need.bytes for need in found) / steps, sum(need.requests for need in found) / steps)


def _of_rows(source: PreparedSource, count: float) -> Need:
  """What so many rows of a source need, from an empty cache."""
  store = source.store
  size = (source.length + 1) * store.token_bytes  # of a row with the token before it
  kept = store.kept_tokens / max(store.tokens, 1)
  blocks = _distinct(kept * count, size, kept * store.tokens * store.token_bytes)
  blocks += _distinct(count, BLOCK_BYTES, store.documents * ROW.itemsize)
  exact = (1 - kept) * count
  if store.has_prompts:  # a byte a token beside it
    blocks += _distinct(kept * count, source.length, kept * store.tokens)
    size += source.length
  return Need(blocks * BLOCK_BYTES + exact * size, blocks + exact * (1 + store.has_prompts))


def _distinct(count: float, size: int, whole: float) -> float:
  """The blocks, on average, that `count` pieces of `size` bytes at random places of a file of `whole` bytes touch, each counted once."""
  blocks = max(whole / BLOCK_BYTES, 1)
  each = min(1 + (size - 1) / BLOCK_BYTES, blocks)
  return blocks * (1 - (1 - each / blocks) ** count)
