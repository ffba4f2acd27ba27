"""What single seeds do to a difference: an outlier seed can make one, or hide one."""

from __future__ import annotations

import dataclasses

import numpy as np

from codemix.inference.arm_scores import ArmScores
from codemix.inference.difference import Difference, Items, difference


@dataclasses.dataclass(frozen=True)
class Without:
  """A difference without one of its runs.

  Attributes:
    arm: whose run is left out.
    seed: its label, or its number from 0.
    difference: of what is left.
  """

  arm: str
  seed: object
  difference: Difference


def without_each_seed(own: ArmScores, base: ArmScores, items: Items = 'random') -> list[Without]:
  """The difference without each run in turn, of arms with three runs or more.

  It does not say which interval is right. A seed is left out of a result only for a reason other than its score.

  Raises UserError as `difference` does.
  """
  found = []
  for arm, is_own in ((own, True), (base, False)):
    for gone in range(arm.runs if arm.runs > 2 else 0):
      left = arm.with_runs(np.delete(np.arange(arm.runs), gone))
      pair = (left, base) if is_own else (own, left)
      found.append(Without(arm.name, arm.seeds[gone] if arm.seeds else gone, difference(*pair, items=items)))
  return found
