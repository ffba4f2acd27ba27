"""Attention of continuations that share a context, and of several such trees in one row.

A row has segments: trees that do not see each other. In a segment, branch 0 is the context and branches
1, 2, ... are its continuations. A token sees the earlier tokens of its segment that are of the context
or of its own branch.

Shapes: B rows of L tokens, H query heads, G key/value heads, K head size.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from codemix.models.attention.xla import masked_attention
from codemix.parallel.sharding import RULES, ShardingRules, constrain

# Queries whose scores are in memory at once, for all keys of their rows: 512 queries of 8,192 keys are
# 16 MiB a head.
QUERIES = 512


def tree_mask(segments_BxQ, branches_BxQ, places_Q, segments_BxL, branches_BxL) -> jax.Array:
  """Which tokens of a row each query sees, bool [B, Q, L].

  Args:
    segments_BxQ, branches_BxQ, places_Q: of the queries; places are numbers of tokens in the row.
    segments_BxL, branches_BxL: of all tokens of the row.
  """
  same_segment = segments_BxQ[:, :, None] == segments_BxL[:, None]
  branches_Bx1xL = branches_BxL[:, None]
  on_path = (branches_Bx1xL == 0) | (branches_Bx1xL == branches_BxQ[:, :, None])
  return same_segment & on_path & (places_Q[:, None] >= jnp.arange(segments_BxL.shape[1]))


def tree_attention(
  q_BxLxHxK: jax.Array,
  k_BxLxGxK: jax.Array,
  v_BxLxGxK: jax.Array,
  segments_BxL: jax.Array,
  branches_BxL: jax.Array,
  *,
  mesh: Mesh | None = None,
  rules: ShardingRules = RULES,
) -> jax.Array:
  """[B, L, H, K]; plain XLA operations, so that any mesh and any number of heads will do.

  Positions that the mesh splits over 'sequence' are gathered here, since a query may see any earlier token.
  Rows longer than `QUERIES` are computed in parts, so memory is linear in the length.
  """

  def whole(a_BxLxHxK, heads: str):
    return constrain(a_BxLxHxK, mesh, 'batch', None, heads, None, rules=rules)

  q, k, v = whole(q_BxLxHxK, 'heads'), whole(k_BxLxGxK, 'kv_heads'), whole(v_BxLxGxK, 'kv_heads')
  B, L, H, K = q.shape
  parts = -(-L // QUERIES)
  size = -(-L // parts)

  def part(first):
    take = lambda a_BxL: jax.lax.dynamic_slice_in_dim(a_BxL, first, size, axis=1)
    places_Q = first + jnp.arange(size)
    mask_BxQxL = tree_mask(take(segments_BxL), take(branches_BxL), places_Q, segments_BxL, branches_BxL)
    return masked_attention(take(q), k, v, mask_BxQxL)

  if parts == 1:
    return part(0)
  # The last part overlaps the one before, if the parts do not divide the row.
  firsts = jnp.minimum(jnp.arange(parts) * size, L - size)
  context_PxBxQxHxK = jax.lax.map(part, firsts)
  places_PxQ = firsts[:, None] + jnp.arange(size)
  context_BxPQxHxK = context_PxBxQxHxK.swapaxes(0, 1).reshape(B, parts * size, H, K)
  return jnp.zeros_like(q).at[:, places_PxQ.reshape(-1)].set(context_BxPQxHxK)
