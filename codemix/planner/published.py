"""The chip-hours that the paper reports, and the MFU that they imply for models of the same sizes."""

from __future__ import annotations

import dataclasses
import math

from codemix.models.config import ModelConfig
from codemix.planner.chips import CHIPS
from codemix.planner.roofline import implied_mfu

LENGTH = 8192  # tokens of a row in the paper
SIZE_TOLERANCE = 0.05  # relative, because the paper gives rounded sizes and no shapes


@dataclasses.dataclass(frozen=True)
class PublishedRun:
  """A run of the paper (arXiv:2408.10914, section 3 and appendix), on TPU v5e.

  Attributes:
    what: name of the run.
    parameters: the size that the paper gives.
    tokens: how many it was trained on.
    chip_hours: how many it took.
  """

  what: str
  parameters: float
  tokens: float
  chip_hours: float


PUBLISHED = (
  PublishedRun('200B tokens, 470M', 470e6, 200e9, 4_736),
  PublishedRun('40B cooldown, 470M', 470e6, 40e9, 1_024),
  PublishedRun('200B tokens, 2.8B', 2.8e9, 200e9, 13_824),
)


def comparable(model: ModelConfig) -> list[tuple[PublishedRun, float]]:
  """The paper's runs of models of this size, each with the MFU that it implies for this model.

  The FLOPs are `ModelConfig.flops_per_token` on rows of 8192 tokens: with the output head and causal
  attention, without recomputation.
  """
  parameters = model.parameter_count()['total']
  per_token = model.flops_per_token(LENGTH)['total']
  return [
    (run, implied_mfu(run.tokens * per_token, CHIPS['v5e'], run.chip_hours))
    for run in PUBLISHED
    if abs(parameters / run.parameters - 1) < SIZE_TOLERANCE
  ]


def published_hours(model: ModelConfig, tokens: float) -> float | None:
  """Chip-hours of v5e that the paper's run of this size with the nearest number of tokens took, in proportion to the tokens.

  None if the paper trained no model of this size, or its nearest run has less than half or more than twice the tokens.
  """
  runs = [run for run, _ in comparable(model)]
  if not runs:
    return None
  nearest = min(runs, key=lambda run: abs(math.log(tokens / run.tokens)))
  ratio = tokens / nearest.tokens
  # Budgets are rounded to whole steps.
  return nearest.chip_hours * ratio if 0.49 < ratio < 2.01 else None
