"""Loss and bits per byte on held-out documents, exact over the whole split.

Each document is scored from its own BOS, cut into windows of the row length
where it is longer, and laid into rows beside others, none divided to fill a
row. So its score depends on the model and the document alone: not on the
batch, nor on what else is in its row.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codemix.data.rows import Batch, pack_row, stack_rows
from codemix.data.token_store import TokenStore
from codemix.models import decoder
from codemix.models.config import ModelConfig
from codemix.parallel.sharding import RULES, ShardingRules, batch_sharding


@dataclasses.dataclass(frozen=True)
class DocumentScores:
  """One split's documents, in the store's order.

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
) -> DocumentScores:
  """Scores every document of a store.

  Args:
    model: the decoder's form.
    params: its parameters, on the mesh.
    store: the split.
    length: tokens of a row, and the longest context.
    batch: rows scored at a time; a whole number of the mesh's batch shards.
    bos_id: the input before each document.
    mesh: the devices.
    rules: how the parameters lie on them.
  """
  ends = store.document_ends
  nats = np.zeros(len(ends))
  evaluate = make_evaluate(model, mesh, rules)
  for rows, owners in _batches(store, ends, length, batch, bos_id):
    nll_BxL = np.asarray(evaluate(params, _on_devices(rows, mesh)))
    np.add.at(nats, owners, nll_BxL.astype(np.float64))
  return DocumentScores(nats, np.diff(ends, prepend=0), store.document_bytes)


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
  store: TokenStore, ends: np.ndarray, length: int, batch: int, bos_id: int
) -> Iterator[tuple[Batch, np.ndarray]]:
  """Yields (rows, owners): owners [batch, L] names the document of each token, 0 in padding."""
  pending: list[tuple[Batch, np.ndarray]] = []
  for windows in _fill_rows(ends, length):
    pending.append(_row(store, windows, length, bos_id))
    if len(pending) == batch:
      yield stack_rows([row for row, _ in pending]), np.stack([owner for _, owner in pending])
      pending = []
  if pending:
    # The last batch has the shape of the others, so that nothing is compiled again.
    empty = {key: np.zeros_like(value) for key, value in pending[0][0].items()}, np.zeros(length, np.int64)
    pending += [empty] * (batch - len(pending))
    yield stack_rows([row for row, _ in pending]), np.stack([owner for _, owner in pending])


def _fill_rows(ends: np.ndarray, length: int) -> Iterator[list[tuple[int, int, int]]]:
  """Yields, for each row, its windows (document, first token, tokens); next-fit, in order."""
  row: list[tuple[int, int, int]] = []
  room = length
  for document, (start, end) in enumerate(zip(np.append(0, ends[:-1]).tolist(), ends.tolist(), strict=True)):
    for first in range(start, end, length):
      size = min(length, end - first)
      if size > room:
        yield row
        row, room = [], length
      row.append((document, first, size))
      room -= size
  if row:
    yield row


def _row(store: TokenStore, windows: list[tuple[int, int, int]], length: int, bos_id: int):
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
