"""The decoder on contexts that each have several continuations, computed once for all of them."""

from __future__ import annotations

import jax
from jax.sharding import Mesh

from codemix.models.attention.tree import tree_attention
from codemix.models.config import ModelConfig
from codemix.models.decoder import Params, bind, output_head
from codemix.models.target_scores import target_scores
from codemix.parallel.sharding import RULES, ShardingRules
from codemix.parallel.tokens import check_rows


def branch_scores(
  config: ModelConfig,
  params: Params,
  batch: dict[str, jax.Array],
  *,
  mesh: Mesh | None = None,
  rules: ShardingRules = RULES,
) -> tuple[jax.Array, jax.Array]:
  """Scores the targets of a batch whose segments are trees: a context, and branches that continue it.

  Segments do not see each other, also if `config.document_mask` is False.

  Raises UserError: B or L is not divisible by the devices of `mesh` that it is split over.

  Args:
    batch: int32 [B, L]: inputs, targets, segment_ids (1.. in a row, 0 in padding), branches (0 for a
      context, 1.. for its continuations) and positions (those of a branch go on after its context);
      weights, float32 [B, L], 0 where the target is not scored.
    mesh, rules: as of `codemix.models.decoder.hidden_states`.

  Returns: nats, float32 [B, L], and whether each target is the likeliest token, bool [B, L]
    (`codemix.models.target_scores`).
  """
  check_rows(*batch['inputs'].shape, mesh)

  def attend(q, k, v, cache):
    return tree_attention(q, k, v, batch['segment_ids'], batch['branches'], mesh=mesh, rules=rules), cache

  x_BxLxD, _ = bind(config, params)(batch['inputs'], batch['positions'], attend, mesh=mesh, rules=rules)
  return target_scores(
    x_BxLxD,
    output_head(config, params),
    batch['targets'],
    batch['weights'],
    logit_scale=config.logit_scale,
    mesh=mesh,
    rules=rules,
  )
