"""The embedding lookup, with table and tokens sharded over a mesh."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from codemix.parallel.sharding import BATCH_AXES, RULES, TOKEN_AXES, ShardingRules


def lookup(
  table_VxD: jax.Array,
  ids_BxL: jax.Array,
  *,
  dtype: str | jnp.dtype,
  mesh: Mesh | None = None,
  rules: ShardingRules = RULES,
) -> jax.Array:
  """[B, L, D] in `dtype`, rows and positions split over the mesh; the gradient is float32.

  Each device looks up the tokens of all devices that share a copy of the table in its part of it. Then
  they exchange tokens for columns, which sends far less than the table.

  This is a `shard_map`, since XLA's partitioner (jaxlib 0.10.2) exchanged the wrong tokens inside a scan
  where the rows of the table were split over an axis that splits tokens too.

  Args:
    ids_BxL: 0 to V - 1; B and L are multiples of the devices that they are split over.
    rules: how the table is sharded over the mesh.
  """
  if mesh is None or mesh.size == 1:
    return table_VxD[ids_BxL].astype(dtype)
  tokens = PartitionSpec(BATCH_AXES, 'sequence')
  vocabulary, width = (
    tuple(axis for axis in rules.over(name) if mesh.shape[axis] > 1) for name in ('vocab', 'embed')
  )

  def of_device(table_VxD, ids_BxL):
    ids_N = ids_BxL.reshape(-1)
    for axis in (*vocabulary, *width):
      if axis in TOKEN_AXES:
        ids_N = jax.lax.all_gather(ids_N, axis, tiled=True)
    x_NxD = _own_rows(table_VxD, ids_N, vocabulary).astype(dtype)
    # The axis that was gathered last is outermost, so its tokens are scattered first. Columns are joined
    # in the same order, the innermost first.
    for axis in reversed(width):
      x_NxD = _join_columns(x_NxD, axis)
    for axis in reversed(vocabulary):
      x_NxD = _sum_rows(x_NxD, axis)
    return x_NxD.reshape(*ids_BxL.shape, -1)

  return jax.shard_map(
    of_device,
    mesh=mesh,
    in_specs=(PartitionSpec(vocabulary, width), tokens),
    out_specs=tokens,
    check_vma=False,
  )(table_VxD, ids_BxL)


def _own_rows(table_VxD: jax.Array, ids_N: jax.Array, vocabulary: tuple[str, ...]) -> jax.Array:
  """[N, D], with zeros for rows that another device along the axes has."""
  if not vocabulary:
    return table_VxD[ids_N]
  places = ids_N - jax.lax.axis_index(vocabulary) * len(table_VxD)
  is_here = (places >= 0) & (places < len(table_VxD))
  return jnp.where(is_here[:, None], table_VxD[jnp.where(is_here, places, 0)], 0)


def _join_columns(x_NxD: jax.Array, axis: str) -> jax.Array:
  if axis not in TOKEN_AXES:
    return jax.lax.all_gather(x_NxD, axis, axis=1, tiled=True)
  return jax.lax.all_to_all(x_NxD, axis, split_axis=0, concat_axis=1, tiled=True)


def _sum_rows(x_NxD: jax.Array, axis: str) -> jax.Array:
  if axis not in TOKEN_AXES:
    return jax.lax.psum(x_NxD, axis)
  return jax.lax.psum_scatter(x_NxD, axis, tiled=True)
