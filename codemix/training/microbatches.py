"""Splits a batch into microbatches; each device keeps its own rows."""

from __future__ import annotations

import jax
from jax.sharding import Mesh

from codemix.parallel.sharding import batch_shards, constrain

Batch = dict[str, jax.Array]


def split_rows(batch: Batch, microbatches: int, mesh: Mesh) -> Batch:
  """Arrays [B, ...] to [M, B / M, ...]; each has equally many rows of every device, in order.

  No row moves to another device. B is a multiple of M x the mesh's batch shards.
  """
  shards = batch_shards(mesh)

  def split(a_B: jax.Array) -> jax.Array:
    B, *rest = a_B.shape
    a_MxSxB = a_B.reshape(shards, microbatches, -1, *rest).swapaxes(0, 1)
    a_MxB = a_MxSxB.reshape(microbatches, B // microbatches, *rest)
    return constrain(a_MxB, mesh, None, 'batch', *[None] * len(rest))

  return jax.tree.map(split, batch)


def join_rows(a_MxB: jax.Array, mesh: Mesh) -> jax.Array:
  """The inverse of `split_rows`, for one array: [M, B / M] to [B]."""
  shards = batch_shards(mesh)
  return a_MxB.reshape(len(a_MxB), shards, -1).swapaxes(0, 1).reshape(-1)
