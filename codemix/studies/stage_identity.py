"""The identity of a stage: everything that decides its numbers, in resolved form.

Two ways to write one plan have one hash: a warm-up in steps or as a fraction,
budgets of the same number of steps, groups of a mixture that only name their
parts, constants that an optimizer does not use. What a user reads beside it
(`Stage.written`) is kept in stage.json and not hashed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction

from codemix.data.order.targets import Segment, whole_counts
from codemix.data.settings import tokenizer_identity
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.identity import digest
from codemix.studies.recipe import Recipe
from codemix.training.stage import Rates, Stage, StagePlan, rewound
from codemix.training.start import Start

# Raised when a change of codemix changes the numbers that a plan results in, or how plans are described here. Results
# of the old version then stay beside the new ones and are not mistaken for them.
NUMERICS = 2


def stage_identity(
  stage: Stage,
  before: StagePlan | Start | None,
  recipe: Recipe,
  *,
  steps: int,
  first_step: int,
  rates: Rates,
  segments: Sequence[Segment],
  digests: Mapping[str, str],
  tokenizer: Tokenizer,
  loss_shares: Mapping[str, Fraction] | None = None,
) -> dict:
  """The plain data whose digest is the hash of the stage.

  A stage that begins with `Recipe.start` has the identity that it has after that stage in one
  recipe, so its numbers have one hash however they are come by. The start's folder is no part of it.

  Args:
    before: the stage before, or what a first stage begins with.
    first_step: the run's step count when the stage begins.
    segments: how the shares of its sources go along its rows.
    digests: of each source that is drawn, in the order of the mixture.
    loss_shares: of each, if they decide the rows (`Stage.shares`). The rows then differ by the seed, and stages that differ
      in the seed alone are seeds of one arm, so the identity has what decides the rows.
  """
  return {
    'parent': before.hash if before else None,
    'steps': steps,
    'first_step': first_step,
    'batch': stage.batch,
    'length': recipe.length,
    'rates': rates.described,
    'rows': {'of loss tokens': [[name, str(share)] for name, share in loss_shares.items()]} if loss_shares else describe_rows(list(digests), segments),
    'rewound': rewound(stage, before),
    # A first stage without a start has no hand-off. `rates` holds what becomes of the rate, `first_step` of the step.
    'handoff': {'weights': stage.handoff.weights, 'optimizer': stage.handoff.optimizer} if before else None,
    'model': recipe.model.identity(),
    'optimizer': recipe.optimizer.identity(),
    'seed': recipe.seed,
    'tokenizer': tokenizer_identity(tokenizer),
    'sources': dict(digests),
    'numerics': NUMERICS,
    **({'skips': skips} if stage.skips and (skips := stage.skips.identity()) else {}),
  }


def earlier_hash(
  stage: Stage,
  parent: StagePlan | Start | None,
  recipe: Recipe,
  *,
  mixture: list,
  digests: Mapping[str, str],
  tokenizer: Tokenizer,
) -> str | None:
  """The hash of the same stage in the version with `NUMERICS` 1; finds its finished result.

  It was made from the plan as written. None if that version had no such stage: it had no
  `Recipe.start` and no `Stage.skips`, and computed other numbers with a curve that is laid out over several stages.
  `mixture` is `MixtureSchedule.describe`.
  """
  if isinstance(parent, Start) or (parent and not parent.earlier_hash) or not stage.schedule or stage.schedule.horizon is not None or stage.skips:
    return None
  written = {**stage.written(), 'batch': stage.batch, 'mixture': mixture}
  if parent is None:
    del written['handoff']
  return digest(
    {
      'parent': parent.earlier_hash if parent else None,
      'stage': written,
      'length': recipe.length,
      'model': {**recipe.model.identity(), 'kv_heads': recipe.model.kv_heads},
      'optimizer': dataclasses.asdict(recipe.optimizer),
      'seed': recipe.seed,
      'tokenizer': tokenizer_identity(tokenizer),
      'sources': dict(digests),
      'numerics': 1,
    }
  )


def describe_rows(sources: Sequence[str], segments: Sequence[Segment]) -> list:
  """Which rows are drawn, as plain data.

  Returns:
    [[source, rows], ...] if each source gives whole rows at a share that
    does not change; else [[rows, [[source, share, share at the end], ...]], ...]
    for each part of the stage.
  """
  merged = _merged(segments)
  if counts := whole_counts(merged):
    return [list(pair) for pair in zip(sources, counts, strict=True)]
  return [
    [part.rows, [[s, str(a), str(b)] for s, a, b in zip(sources, part.begin, part.end, strict=True)]]
    for part in merged
  ]


def _merged(segments: Sequence[Segment]) -> list[Segment]:
  """Joins neighbouring segments that lie on one straight line."""
  merged: list[Segment] = []
  for segment in segments:
    last = merged[-1] if merged else None
    if last and last.end == segment.begin and _slopes(last) == _slopes(segment):
      segment = Segment(last.rows + segment.rows, last.begin, segment.end)
      merged.pop()
    merged.append(segment)
  return merged


def _slopes(segment: Segment) -> list[Fraction]:
  return [(end - begin) / segment.rows for begin, end in zip(segment.begin, segment.end, strict=True)]
