"""Rows and positions as one axis of tokens, without communication between devices.

Blocks and the loss take tokens, not rows. Where the mesh splits rows and positions, a device's tokens
are not adjacent in [B, L] read row by row, so tokens are ordered shard by shard.
"""

from __future__ import annotations

import jax
from jax.sharding import Mesh

from codemix.errors import UserError
from codemix.parallel.sharding import BATCH_AXES, batch_shards, sequence_shards


def tokens_from_rows(a_BxL: jax.Array, mesh: Mesh | None) -> jax.Array:
  """[B, L, ...] to [N, ...], N = B * L tokens; B and L divide over the mesh (`check_rows`)."""
  B, L, *rest = a_BxL.shape
  if (parts := sequence_shards(mesh)) > 1:
    rows = batch_shards(mesh)
    a_BxL = a_BxL.reshape(rows, B // rows, parts, L // parts, *rest).swapaxes(1, 2)
  return a_BxL.reshape(B * L, *rest)


def rows_from_tokens(a_N: jax.Array, rows: int, mesh: Mesh | None) -> jax.Array:
  """The inverse of `tokens_from_rows` for that many rows."""
  N, *rest = a_N.shape
  L = N // rows
  if (parts := sequence_shards(mesh)) > 1:
    a_N = a_N.reshape(-1, parts, rows // batch_shards(mesh), L // parts, *rest).swapaxes(1, 2)
  return a_N.reshape(rows, L, *rest)


def check_rows(rows: int, length: int, mesh: Mesh | None) -> None:
  """Raises UserError where a batch [rows, length] does not divide over the mesh."""
  if rows % (shards := batch_shards(mesh)):
    raise UserError(
      f'a batch of {rows} rows cannot be split over the {shards} devices of the mesh axes '
      f'{" x ".join(BATCH_AXES)}: make it a multiple of {shards}.'
    )
  if length % (parts := sequence_shards(mesh)):
    raise UserError(
      f'rows of {length} tokens cannot be split over the {parts} devices of the mesh axis '
      f'sequence: make MeshConfig.sequence a divisor of {length}.'
    )
