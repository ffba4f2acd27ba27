"""Equivalence: showing that a difference is not larger than a margin.

A wide interval around 0 shows neither a difference nor its absence. Two one-sided tests (Schuirmann, Journal of
Pharmacokinetics and Biopharmaceutics 15, 1987) show absence: at 5% the arms are equivalent if the 90% interval lies between
-margin and margin.
"""

from __future__ import annotations

import dataclasses
import math

from codemix.errors import UserError
from codemix.inference.difference import LEVEL, Difference


@dataclasses.dataclass(frozen=True)
class Equivalence:
  """Whether a difference is smaller than a margin.

  Attributes:
    margin: in units of the score, above 0.
    p: of 'the true difference is as large as the margin or larger, in either direction'; NaN if nothing is known of seeds.
    low, high: the interval that must lie within the margin: 90% for a test at 5%.
    level: 1 - the chance of calling a difference of exactly the margin equivalent.
  """

  margin: float
  p: float
  low: float
  high: float
  level: float

  @property
  def holds(self) -> bool:
    return self.p <= 1 - self.level


def equivalence(difference: Difference, margin: float, level: float = LEVEL) -> Equivalence:
  """Tests that a difference lies between -margin and margin.

  Raises UserError if the margin is not a number above 0.
  """
  if not 0 < margin < math.inf:
    raise UserError(f'a margin of {margin:g}: give the largest difference that does not matter, a number above 0 such as 0.5 points.')
  p = max(difference.p_above(-margin), difference.p_below(margin))  # NaN if both are
  return Equivalence(margin, p, *difference.interval(2 * level - 1), level)
