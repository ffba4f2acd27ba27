"""What a stage takes over from the one before it."""

from __future__ import annotations

import dataclasses
from typing import Literal

from codemix.checked import checked

KEPT, RESET = 'continue', 'restart'

TakenOver = Literal[KEPT, RESET]


@dataclasses.dataclass(frozen=True)
@checked
class Handoff:
  """What a stage takes over from the one before it, or a first stage from `Recipe.start`; each is 'continue' or 'restart'.

  The paper does not say what it did at its stage boundaries, and a replication
  found that it matters, so each is a setting of its own.

  Attributes:
    weights: the parameters, or a fresh initialisation.
    optimizer: the moments, or zeros.
    step: the count of steps, or zero.
    rate: 'continue' lets the stage's schedule begin at the last rate of the
      stage before (a stage without a schedule follows that stage's curve
      further); 'restart' begins the stage's schedule from its own start.
  """

  weights: TakenOver = KEPT
  optimizer: TakenOver = KEPT
  step: TakenOver = KEPT
  rate: TakenOver = KEPT
