"""Whether a difference is what was expected of it: supported, refuted, or unresolved.

With d the true difference own - base, and a margin m >= 0, the expectation is

  'higher': d > m        'lower': d < -m        'equal': -m < d < m

It is *supported* if the data speak against its being false, and *refuted* if they speak against its being true, each at 5%; else it is
unresolved. Without a correction for several expectations this says where the intervals lie:

  'higher' or 'lower'  supported: the 95% interval lies wholly on the expected side of the margin; refuted: wholly on the other side
  'equal'              supported: the 90% interval lies wholly within the margins (two one-sided tests: Schuirmann, Journal of
                       Pharmacokinetics and Biopharmaceutics 15, 1987); refuted: the 95% interval lies wholly outside of them

An interval that holds 0 does not refute 'higher', nor support 'equal': it resolves nothing. 'equal' is refuted by the 95% interval, not
by that of 90%: with a small margin either end of an interval can miss it, so the two tails add to 5%.

An expectation is true or false, so only one of the two verdicts can be wrong, and it is given with a chance of at most 5%. Over several
expectations, Holm's method (`multiplicity.holm`) is applied to p = min(p of support, p of refutation). It keeps the chance of any wrong verdict
at 5%, also that of a wrong direction, which is proven for independent tests (Shaffer, Annals of Statistics 8, 1980).
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from codemix.errors import UserError, nearest
from codemix.inference.difference import LEVEL, Difference
from codemix.inference.equivalence import equivalence
from codemix.inference.multiplicity import holm

Expected = Literal['higher', 'lower', 'equal']
EXPECTED = ('higher', 'lower', 'equal')


class Outcome(enum.Enum):
  """What the data say of an expectation."""

  SUPPORTED = 'supported'
  REFUTED = 'refuted'
  UNRESOLVED = 'unresolved'


@dataclasses.dataclass(frozen=True)
class Tested:
  """The two tests of an expectation.

  Attributes:
    support: p-value against 'the expectation is false'; NaN if nothing is known of the noise of seeds.
    refutation: p-value against 'the expectation is true'; NaN likewise.
    low, high: the interval to look at: 95%, for 'equal' 90%; NaN if no noise can be estimated.
    level: of that interval.
  """

  support: float
  refutation: float
  low: float
  high: float
  level: float

  @property
  def p(self) -> float:
    """Of the verdict that the data lean to; NaN if nothing is known of the noise of seeds."""
    return math.nan if math.isnan(self.support) else min(self.support, self.refutation)

  def outcome(self, p: float, level: float = LEVEL) -> Outcome:
    """The verdict, given `self.p` after a correction for the number of expectations; UNRESOLVED if that is NaN."""
    if not p <= 1 - level or self.support == self.refutation:
      return Outcome.UNRESOLVED
    return Outcome.SUPPORTED if self.support < self.refutation else Outcome.REFUTED


def expectation(difference: Difference, expected: Expected, margin: float = 0.0, level: float = LEVEL) -> Tested:
  """Tests an expectation of a difference.

  Args:
    margin: in units of the score; above 0 for 'equal'.

  Raises UserError if there is no such expectation, or the margin is negative, infinite, or 0 for 'equal'.
  """
  if expected not in EXPECTED:
    raise UserError(f"expected='{expected}': write one of {', '.join(EXPECTED)}.{nearest(expected, EXPECTED)}")
  if not 0 <= margin < math.inf:
    raise UserError(f'a margin of {margin:g}: give a number from 0, in units of the score.')
  if expected == 'equal':
    within = equivalence(difference, margin, level)
    outside = _two_sided(min(difference.p_above(margin), difference.p_below(-margin)))
    return Tested(within.p, outside, within.low, within.high, round(2 * level - 1, 9))
  above, below = difference.p_above, difference.p_below
  support, refutation = (above(margin), below(margin)) if expected == 'higher' else (below(-margin), above(-margin))
  return Tested(_two_sided(support), _two_sided(refutation), *difference.interval(level), level)


def corrected(tests: Sequence[Tested]) -> list[float]:
  """Holm's p-values of several expectations; NaN, which does not count, stays NaN."""
  p_C = np.array([test.p for test in tests], np.float64)
  tested_C = ~np.isnan(p_C)
  if tested_C.any():
    p_C[tested_C] = holm(p_C[tested_C])
  return p_C.tolist()


def _two_sided(p: float) -> float:
  return min(1.0, 2 * p) if not math.isnan(p) else p
