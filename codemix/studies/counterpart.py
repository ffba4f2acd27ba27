"""What an arm after a stage is compared with: an arm of its model, after as many tokens.

With another number of tokens the difference in budget would look like an effect of the mixture. If no stage of the baseline ends after as
many, only the last stage is compared, with the baseline's last; the report shows the difference, and does not test it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from codemix.studies.arms import Arm

# Budgets are rounded to whole steps, so stages of one budget may end a few steps apart.
SAME_TOKENS = 0.01


def baseline_arm(of_model: Sequence[Arm], baseline: str, mixtures: Callable[[str], object]) -> Arm | None:
  """The arm that the arms of one model are compared with if they name no baseline of their own; None if there is none.

  It is that of the study's baseline. If this is of another model, it is the only arm of this model with the baseline's mixtures.

  Args:
    baseline: the study's, a recipe.
    mixtures: the shares of each stage's sources of a recipe; None if they are not known.
  """
  if own := next((arm for arm in of_model if baseline in arm.recipes), None):
    return own
  wanted = mixtures(baseline)
  alike = [arm for arm in of_model if wanted and mixtures(arm.recipes[0]) == wanted]
  return alike[0] if len(alike) == 1 else None


def counterpart(own: Sequence[float], index: int, base: Sequence[float]) -> tuple[int, bool] | None:
  """(the index of the baseline's stage that the stage `index` is compared with, whether both end after as many tokens); None if there is none.

  Args:
    own, base: the tokens after which each stage ends, from the recipe's first step on; NaN if they are not known.
  """
  ends_S = np.array(base, np.float64)
  with np.errstate(divide='ignore', invalid='ignore'):
    gaps_S = np.nan_to_num(np.abs(ends_S / own[index] - 1), nan=math.inf)
  if gaps_S.min() <= SAME_TOKENS:
    return int(gaps_S.argmin()), True
  return (len(base) - 1, False) if index == len(own) - 1 else None
