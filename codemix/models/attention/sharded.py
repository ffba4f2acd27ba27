"""Attention device by device, for implementations that XLA cannot split over a mesh."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from codemix.errors import UserError
from codemix.parallel.sharding import BATCH_AXES, ShardingRules
from codemix.parallel.tokens import check_rows


def per_device(
  attend: Callable, mesh: Mesh, rules: ShardingRules, q_BxLxHxK, k_BxLxGxK, v_BxLxGxK, segment_ids_BxL
) -> jax.Array:
  """`attend(q, k, v, segment_ids or None)` on each device's rows and heads, over whole rows: [B, L, H, K].

  Where the mesh splits the positions of a row, its devices exchange tokens for heads before, and heads
  for tokens after (DeepSpeed-Ulysses, arXiv:2309.14509). So each has the same work, unlike a split of
  the queries under a causal mask, and every kernel can be used. Key/value heads are repeated where there
  are fewer than devices.

  Raises UserError: the rows or the query heads cannot be split over the devices.
  """
  B, L, H, _ = q_BxLxHxK.shape
  G = k_BxLxGxK.shape[2]
  over = tuple(dict.fromkeys((*rules.over('heads'), 'sequence')))
  over = tuple(axis for axis in over if mesh.shape[axis] > 1 and axis not in BATCH_AXES)
  devices = math.prod(mesh.shape[axis] for axis in over)
  check_rows(B, L, mesh)
  if H % devices:
    raise UserError(
      f'{H} attention heads cannot be split over the {devices} devices of the mesh axes '
      f"{' x '.join(over)}: make that a divisor of {H}, or set "
      "ShardingRules.heads = None, or ModelConfig.attention = 'xla'."
    )
  # G and the devices both divide H, and so does their least common multiple.
  k, v = (jnp.repeat(a, math.lcm(G, devices) // G, axis=2) for a in (k_BxLxGxK, v_BxLxGxK))
  split = PartitionSpec(BATCH_AXES, None, over, None)
  return jax.shard_map(
    attend,
    mesh=mesh,
    in_specs=(split, split, split, PartitionSpec(BATCH_AXES, None)),
    out_specs=split,
    check_vma=False,  # kernels do not declare over which axes their results vary
  )(q_BxLxHxK, k, v, segment_ids_BxL)
