"""What the paper says that its runs cost, and the utilisation that this implies for models of its sizes."""

from __future__ import annotations

import dataclasses

from codemix.models.config import ModelConfig
from codemix.planner.chips import CHIPS
from codemix.planner.roofline import implied_mfu

LENGTH = 8192  # tokens of a row in the paper
SIZE_TOLERANCE = 0.05  # the paper names sizes, and not shapes


@dataclasses.dataclass(frozen=True)
class PublishedRun:
  """A run of the paper (arXiv:2408.10914, section 3 and appendix), on TPU v5e.

  Attributes:
    what: in words.
    parameters: the size that the paper names.
    tokens: trained on.
    chip_hours: that it took.
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
  """The paper's runs of a model of this size, each with the MFU that it implies for this model.

  The FLOPs are those of `ModelConfig.flops_per_token` on rows of 8192: head and causal attention
  counted, recomputation not.
  """
  parameters = model.parameter_count()['total']
  per_token = model.flops_per_token(LENGTH)['total']
  return [
    (run, implied_mfu(run.tokens * per_token, CHIPS['v5e'], run.chip_hours))
    for run in PUBLISHED
    if abs(parameters / run.parameters - 1) < SIZE_TOLERANCE
  ]
