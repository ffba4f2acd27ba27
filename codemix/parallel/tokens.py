"""Rows and positions as one axis of tokens, each device's tokens together.

Blocks and the loss work on tokens without regard to rows. Where positions are split over the mesh
axis 'sequence' as rows are over others, the tokens of a device are not neighbours in [B, L] read
row by row; so tokens are listed shard by shard, and no device has to send any to list them.
"""

from __future__ import annotations

import jax
from jax.sharding import Mesh

from codemix.errors import UserError
from codemix.parallel.sharding import BATCH_AXES, batch_shards, sequence_shards


def shards_from_rows(a_BxL: jax.Array, mesh: Mesh | None) -> jax.Array:
  """[B, L, ...] to [S, b, l, ...]: the b rows and l positions of each of the mesh's S token shards.

  Raises:
    UserError: B or L is not a multiple of the devices that it is split over.
  """
  B, L, *rest = a_BxL.shape
  rows, parts = batch_shards(mesh), sequence_shards(mesh)
  check_rows(B, L, mesh)
  split = a_BxL.reshape(rows, B // rows, parts, L // parts, *rest).swapaxes(1, 2)
  return split.reshape(rows * parts, B // rows, L // parts, *rest)


def rows_from_shards(a_SxBxL: jax.Array, mesh: Mesh | None) -> jax.Array:
  """The inverse of `shards_from_rows`."""
  parts = sequence_shards(mesh)
  S, b, l, *rest = a_SxBxL.shape  # noqa: E741
  joined = a_SxBxL.reshape(S // parts, parts, b, l, *rest).swapaxes(1, 2)
  return joined.reshape(S // parts * b, parts * l, *rest)


def tokens_from_rows(a_BxL: jax.Array, mesh: Mesh | None) -> jax.Array:
  """[B, L, ...] to [N, ...], N = B * L tokens."""
  B, L, *rest = a_BxL.shape
  if sequence_shards(mesh) == 1:
    return a_BxL.reshape(B * L, *rest)
  return shards_from_rows(a_BxL, mesh).reshape(B * L, *rest)


def rows_from_tokens(a_N: jax.Array, rows: int, mesh: Mesh | None) -> jax.Array:
  """The inverse of `tokens_from_rows` for that many rows."""
  N, *rest = a_N.shape
  parts = sequence_shards(mesh)
  if parts == 1:
    return a_N.reshape(rows, N // rows, *rest)
  b, l = rows // batch_shards(mesh), N // rows // parts  # noqa: E741
  return rows_from_shards(a_N.reshape(-1, b, l, *rest), mesh)


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
