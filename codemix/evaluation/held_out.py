"""Loss and bits per byte on held-out documents, exact over the whole split.

Each document is scored from its own BOS, cut into windows of the row length
where it is longer, and laid into rows beside others, none divided to fill a
row. So its score depends on the model and the document alone: not on the
batch, nor on what else is in its row.

Windows are laid into about as few rows as hold them: up to a quarter fewer than
in the order of the documents, where these are about as long as a row.
"""

from __future__ import annotations

import bisect
import collections
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codemix.data.batches.rows import Batch, pack_row, stack_rows
from codemix.data.store.token_store import TokenStore
from codemix.models import decoder
from codemix.models.config import ModelConfig
from codemix.parallel.sharding import RULES, ShardingRules, batch_sharding

TOGETHER = 2**14  # documents whose windows are laid into rows at a time


@dataclasses.dataclass(frozen=True)
class DocumentScores:
  """Documents of one split, in the store's order.

  Attributes:
    nats: float64 [n], summed negative log-likelihood of each document, EOS included.
    tokens: int64 [n].
    bytes: int64 [n], length before tokenization.
  """

  nats: np.ndarray
  tokens: np.ndarray
  bytes: np.ndarray

  def summary(self) -> dict:
    """Sums over the split; loss in nats/token, bits per byte as nats / (ln 2 * bytes)."""
    nats = math.fsum(self.nats)
    return {
      'documents': len(self.nats),
      'tokens': int(self.tokens.sum()),
      'bytes': int(self.bytes.sum()),
      'nats': nats,
      'loss': nats / int(self.tokens.sum()),
      'bits_per_byte': nats / (math.log(2) * int(self.bytes.sum())),
    }


def score_documents(
  model: ModelConfig,
  params: decoder.Params,
  store: TokenStore,
  *,
  length: int,
  batch: int,
  bos_id: int,
  mesh: Mesh,
  rules: ShardingRules = RULES,
  documents: np.ndarray | None = None,
  show: Callable[[int], None] = lambda done: None,
) -> DocumentScores:
  """Scores documents of a store.

  Args:
    model: the decoder's form.
    params: its parameters, on the mesh.
    store: the split.
    length: tokens of a row, and the longest context.
    batch: rows scored at a time; a whole number of the mesh's batch shards.
    bos_id: the input before each document.
    mesh: the devices.
    rules: how the parameters lie on them.
    documents: numbers of those to score, ascending; None for all.
    show: called with how many of them are scored.

  Returns:
    The scores of `documents`, in that order.
  """
  ends = store.document_ends
  starts = np.append(0, ends[:-1])
  if documents is not None:
    starts, ends = starts[documents], ends[documents]
  nats = np.zeros(len(ends))
  left = ends - starts  # tokens of each document that are still to be scored
  evaluate = make_evaluate(model, mesh, rules)

  def take(nll_BxL: jax.Array, owners: np.ndarray, inside: np.ndarray) -> None:
    np.add.at(nats, owners, np.asarray(nll_BxL).astype(np.float64))
    np.subtract.at(left, owners[inside], 1)
    show(int((left == 0).sum()))

  waiting: tuple | None = None  # a batch that the devices are at while the next one is put together
  for rows, owners in _batches(store, starts, ends, length, batch, bos_id):
    scored = evaluate(params, _on_devices(rows, mesh)), owners, rows['weights'] > 0
    if waiting:
      take(*waiting)
    waiting = scored
  if waiting:
    take(*waiting)
  sizes = store.document_bytes
  return DocumentScores(nats, ends - starts, sizes if documents is None else sizes[documents])


@functools.cache
def make_evaluate(model: ModelConfig, mesh: Mesh, rules: ShardingRules = RULES):
  """The jitted scoring of a batch: (params, batch) -> nats of each position, float32 [B, L], 0 where it has no weight."""

  def nll(params: decoder.Params, batch: dict[str, jax.Array]) -> jax.Array:
    _, nll_BxL = decoder.token_losses(model, params, batch, mesh=mesh, rules=rules)
    return nll_BxL * batch['weights']

  return jax.jit(nll, out_shardings=NamedSharding(mesh, PartitionSpec()))


def _on_devices(rows: Batch, mesh: Mesh) -> dict[str, jax.Array]:
  sharding = batch_sharding(mesh)
  return {
    key: jax.make_array_from_callback(value.shape, sharding, lambda index, value=value: value[index])
    for key, value in rows.items()
  }


def _batches(
  store: TokenStore, starts: np.ndarray, ends: np.ndarray, length: int, batch: int, bos_id: int
) -> Iterator[tuple[Batch, np.ndarray]]:
  """Yields (rows, owners): owners [batch, L] names the document of each token, 0 in padding."""
  rows = _rows(starts, ends, length)
  while pending := [_row(store, windows, length, bos_id) for windows in itertools.islice(rows, batch)]:
    # The last batch has the shape of the others, so that nothing is compiled again.
    empty = {key: np.zeros_like(value) for key, value in pending[0][0].items()}, np.zeros(length, np.int64)
    pending += [empty] * (batch - len(pending))
    yield stack_rows([row for row, _ in pending]), np.stack([owner for _, owner in pending])


Window = tuple[int, int, int]  # document, first token in the store, tokens


def _rows(starts: np.ndarray, ends: np.ndarray, length: int) -> Iterator[list[Window]]:
  """Yields the windows of each row; those of `TOGETHER` documents are laid out at a time."""
  for first in range(0, len(ends), TOGETHER):
    bounds = zip(starts[first : first + TOGETHER].tolist(), ends[first : first + TOGETHER].tolist(), strict=True)
    windows = [
      (document, begin, min(length, end - begin))
      for document, (start, end) in enumerate(bounds, first)
      for begin in range(start, end, length)
    ]
    # By the first document of a row, so that documents are done about in their order.
    yield from sorted(map(sorted, _best_fit(windows, length)))


def _best_fit(windows: list[Window], length: int) -> list[list[Window]]:
  """Puts each window, the longest first, into the row with the least room that holds it (best-fit decreasing)."""
  rows: list[list[Window]] = []
  rooms: list[int] = []  # tokens of room that some row has, ascending, each once
  with_room: dict[int, list[list[Window]]] = collections.defaultdict(list)
  for window in sorted(windows, key=lambda window: -window[2]):
    size = window[2]
    at = bisect.bisect_left(rooms, size)
    if at == len(rooms):
      row, room = [], length
      rows.append(row)
    else:
      room = rooms[at]
      row = with_room[room].pop()
      if not with_room[room]:
        del rooms[at]
    row.append(window)
    left = room - size
    if left and not with_room[left]:
      bisect.insort(rooms, left)
    if left:
      with_room[left].append(row)
  return rows


def _row(store: TokenStore, windows: list[Window], length: int, bos_id: int):
  targets = np.zeros(length, np.int32)
  owners = np.zeros(length, np.int64)
  bounds, end = [], 0
  for document, first, size in windows:
    targets[end : end + size] = store.read(first, first + size)
    owners[end : end + size] = document
    end += size
    bounds.append(end)
  packed = pack_row(targets, np.asarray([b for b in bounds if b < length]), None, bos_id)
  inside = np.arange(length) < end
  packed['segment_ids'] = np.where(inside, packed['segment_ids'], 0)
  packed['weights'] = inside.astype(np.float32)
  return packed, owners
