"""Negative log-likelihood of documents under a model.

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
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codemix.data.batches.rows import Batch, pack_row, stack_rows
from codemix.models import decoder
from codemix.models.config import ModelConfig
from codemix.parallel.sharding import RULES, ShardingRules, batch_sharding

TOGETHER = 2**14  # documents whose windows are laid into rows at a time

Document = tuple[np.ndarray, np.ndarray]  # token ids, int [n], without BOS; mask, bool [n]: the tokens whose loss counts
Window = tuple[int, int, int]  # number of a document, its first token in the window, tokens


def score_documents(
  model: ModelConfig,
  params: decoder.Params,
  documents: Sequence[Document],
  *,
  length: int,
  batch: int,
  bos_id: int,
  mesh: Mesh,
  rules: ShardingRules = RULES,
  show: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
  """Sums the negative log-likelihood of each document over the tokens of its mask.

  Args:
    model: the decoder's configuration.
    params: its parameters, on the mesh.
    documents: (ids, mask) of each. They are read one at a time, and more than once.
    length: tokens of a row, and the longest context.
    batch: rows scored at a time; a whole number of the mesh's batch shards.
    bos_id: the input before each document.
    mesh: the devices.
    rules: how the parameters lie on them.
    show: called with the number of documents scored so far.

  Returns:
    Nats, float64 [documents].
  """
  sizes = np.fromiter((len(ids) for ids, _ in documents), np.int64, len(documents))
  nats = np.zeros(len(sizes))
  left = sizes.copy()  # tokens of each document that are still to be scored
  evaluate = make_evaluate(model, mesh, rules)

  def take(nll_BxL: jax.Array, owners_BxL: np.ndarray, inside_BxL: np.ndarray) -> None:
    np.add.at(nats, owners_BxL, np.asarray(nll_BxL).astype(np.float64))
    np.subtract.at(left, owners_BxL[inside_BxL], 1)
    show(int((left == 0).sum()))

  waiting: tuple | None = None  # a batch that the devices compute while the next one is put together
  for rows, owners_BxL, inside_BxL in _batches(documents, lay_out(sizes, length), length, batch, bos_id):
    scored = evaluate(params, _on_devices(rows, mesh)), owners_BxL, inside_BxL
    if waiting:
      take(*waiting)
    waiting = scored
  if waiting:
    take(*waiting)
  return nats


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
  documents: Sequence[Document], rows: Iterator[list[Window]], length: int, batch: int, bos_id: int
) -> Iterator[tuple[Batch, np.ndarray, np.ndarray]]:
  """Yields (rows, owners, inside): int64 [B, L] the document of each token, 0 in padding; bool [B, L] what is no padding."""
  # The last batch has the shape of the others, so that nothing is compiled again.
  while pending := list(itertools.islice(rows, batch)):
    packed = [_row(documents, windows, length, bos_id) for windows in pending + [[]] * (batch - len(pending))]
    batches, owners, inside = zip(*packed, strict=True)
    yield stack_rows(batches), np.stack(owners), np.stack(inside)


def lay_out(sizes: np.ndarray, length: int) -> Iterator[list[Window]]:
  """Yields the windows of each row; those of `TOGETHER` documents are laid out at a time.

  Args:
    sizes: tokens of each document, int64 [documents].
    length: tokens of a row.
  """
  for first in range(0, len(sizes), TOGETHER):
    windows = [
      (document, begin, min(length, size - begin))
      for document, size in enumerate(sizes[first : first + TOGETHER].tolist(), first)
      for begin in range(0, size, length)
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


def _row(
  documents: Sequence[Document], windows: list[Window], length: int, bos_id: int
) -> tuple[Batch, np.ndarray, np.ndarray]:
  """One row of `_batches`."""
  targets, owners = np.zeros(length, np.int32), np.zeros(length, np.int64)
  weights = np.zeros(length, np.float32)
  bounds, end = [], 0
  for number, first, size in windows:
    ids, mask = documents[number]
    inside = slice(end, end + size)
    targets[inside], weights[inside] = ids[first : first + size], mask[first : first + size]
    owners[inside] = number
    end += size
    bounds.append(end)
  packed = pack_row(targets, np.asarray([b for b in bounds if b < length]), None, bos_id)
  inside = np.arange(length) < end
  packed['segment_ids'] = np.where(inside, packed['segment_ids'], 0)
  packed['weights'] = weights
  return packed, owners, inside
