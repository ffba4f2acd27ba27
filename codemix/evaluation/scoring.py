"""Negative log-likelihood of documents under a model.

Each document starts with its own BOS, is cut into windows of the row length
if it is longer, and is packed into rows with others; no window is divided
to fill a row. So its score depends on the model and the document only: not on
the batch, nor on the other documents in its row.

Best-fit packing needs up to a quarter fewer rows than packing in the order of
the documents, where these are about as long as a row.
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
from codemix.evaluation.model import Model
from codemix.models import decoder
from codemix.models.config import ModelConfig
from codemix.numerics import pinned
from codemix.parallel.sharding import RULES, ShardingRules, batch_sharding

TOGETHER = 2**14  # documents packed at a time

Document = tuple[np.ndarray, np.ndarray]  # token ids, int [n], without BOS; mask, bool [n]: the tokens whose loss counts
Window = tuple[int, int, int]  # number of a document, its first token in the window, tokens


@pinned()
def score_documents(
  model: Model, documents: Sequence[Document], show: Callable[[int], None] = lambda done: None
) -> np.ndarray:
  """Sums the negative log-likelihood of each document over the tokens of its mask.

  Args:
    model: the model; its length is the longest context.
    documents: (ids, mask) of each. They are read one at a time, and more than once.
    show: called with the number of documents scored so far.

  Returns:
    Nats, float64 [documents].
  """
  sizes = np.fromiter((len(ids) for ids, _ in documents), np.int64, len(documents))
  nats = np.zeros(len(sizes))
  left = sizes.copy()  # tokens of each document that are still to be scored
  done = int((sizes == 0).sum())
  evaluate = make_evaluate(model.config, model.mesh, model.rules)

  def take(nll_BxL: jax.Array, owners_BxL: np.ndarray, inside_BxL: np.ndarray) -> None:
    nonlocal done
    np.add.at(nats, owners_BxL, np.asarray(nll_BxL).astype(np.float64))
    np.subtract.at(left, owners_BxL[inside_BxL], 1)
    done += int((left[np.unique(owners_BxL[inside_BxL])] == 0).sum())
    show(done)

  waiting: tuple | None = None  # a batch that the devices compute while the next one is put together
  for rows, owners_BxL, inside_BxL in _batches(model, documents, pack(sizes, model.length)):
    scored = evaluate(model.params, on_devices(rows, model.mesh)), owners_BxL, inside_BxL
    if waiting:
      take(*waiting)
    waiting = scored
  if waiting:
    take(*waiting)
  return nats


@functools.cache
def make_evaluate(model: ModelConfig, mesh: Mesh, rules: ShardingRules = RULES):
  """Jitted (params, batch) -> nats of each position, float32 [B, L], 0 at positions of weight 0."""

  def nll(params: decoder.Params, batch: dict[str, jax.Array]) -> jax.Array:
    _, nll_BxL = decoder.token_losses(model, params, batch, mesh=mesh, rules=rules)
    return nll_BxL * batch['weights']

  return jax.jit(nll, out_shardings=NamedSharding(mesh, PartitionSpec()))


def on_devices(rows: Batch, mesh: Mesh) -> dict[str, jax.Array]:
  """The rows, which every process has, split over the mesh."""
  sharding = batch_sharding(mesh)
  return {
    key: jax.make_array_from_callback(value.shape, sharding, lambda index, value=value: value[index])
    for key, value in rows.items()
  }


def _batches(
  model: Model, documents: Sequence[Document], rows: Iterator[list[Window]]
) -> Iterator[tuple[Batch, np.ndarray, np.ndarray]]:
  """Yields (rows, owners, inside).

  owners: int64 [B, L], the document of each token, 0 in padding. inside: bool [B, L], False in
  padding.
  """
  # The last batch is padded to the shape of the others, so that nothing is compiled again.
  while pending := list(itertools.islice(rows, model.batch)):
    pending += [[]] * (model.batch - len(pending))
    packed = [_row(documents, windows, model.length, model.tokenizer.bos_id) for windows in pending]
    batches, owners, inside = zip(*packed, strict=True)
    yield stack_rows(batches), np.stack(owners), np.stack(inside)


def pack(sizes: np.ndarray, length: int) -> Iterator[list[Window]]:
  """Packs documents: yields the windows of each row, for `TOGETHER` documents at a time.

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
    # Sorted by their first document, so that documents are finished about in their order.
    yield from sorted(map(sorted, best_fit(windows, lambda size: length)))


def best_fit(windows: list[Window], length: Callable[[int], int]) -> list[list[Window]]:
  """Puts each window, longest first, into the fullest row that holds it (best-fit decreasing).

  Args:
    length: tokens of a new row, by the tokens of its first window.
  """
  rows: list[list[Window]] = []
  rooms: list[int] = []  # tokens of room that some row has, ascending, each once
  with_room: dict[int, list[list[Window]]] = collections.defaultdict(list)
  for window in sorted(windows, key=lambda window: -window[2]):
    size = window[2]
    at = bisect.bisect_left(rooms, size)
    if at == len(rooms):
      row, room = [], length(size)
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
