"""The spread of replicates: runs that differ in their seed alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from codemix.errors import UserError
from codemix.inference.difference import LEVEL


@dataclasses.dataclass(frozen=True)
class Spread:
  """The standard deviation over seeds, with its interval.

  Attributes:
    value: in units of the score.
    low, high: ends of the 95% interval for normal figures: that of 3 seeds is 0.52 to 6.3 times the value.
    freedom: degrees of freedom: the runs less the arms.
  """

  value: float
  low: float
  high: float
  freedom: int


@dataclasses.dataclass(frozen=True)
class NoiseFloor:
  """How far two arms of one configuration lie apart by their seeds alone, on the same items.

  Attributes:
    difference: 95% of the differences of two such arms are smaller, in units of the score.
    seeds: runs of each of the two arms.
    spread: what it was computed from.
  """

  difference: float
  seeds: int
  spread: Spread


def spread_of(arms: Sequence[np.ndarray], level: float = LEVEL) -> Spread:
  """The standard deviation over seeds that the arms have in common.

  This pools the variances of arms. Look first whether they differ (`variances.look`).

  Args:
    arms: the figures of each arm's runs, float [S]; S may differ between arms, and arms with one run say nothing.

  Raises UserError if no arm has two runs.
  """
  known = [np.asarray(figures_S, np.float64) for figures_S in arms if len(figures_S) > 1]
  if not known:
    raise UserError('no arm has two runs, so nothing is known of the spread over seeds: train replicates, which differ in Recipe.seed alone.')
  freedom = sum(figures_S.size - 1 for figures_S in known)
  squares = sum(float(((figures_S - figures_S.mean()) ** 2).sum()) for figures_S in known)
  value = math.sqrt(squares / freedom)
  return Spread(value, *(factor * value for factor in spread_factors(freedom, level)), freedom)


def spread_factors(freedom: int, level: float = LEVEL) -> tuple[float, float]:
  """The ends of the interval of a standard deviation of normal figures, as multiples of it.

  Args:
    freedom: degrees of freedom; of one arm, its runs less one.
  """
  from scipy.special import chdtri

  low, high = (math.sqrt(freedom / chdtri(freedom, tail)) for tail in ((1 - level) / 2, (1 + level) / 2))
  return low, high


def noise_floor(spread: Spread, seeds: int = 1, level: float = LEVEL) -> NoiseFloor:
  """The noise floor of the difference of two arms with so many seeds each.

  A prediction interval: it covers that the spread itself is known from few replicates (Student's t with the spread's
  degrees of freedom). It holds for arms whose spread is that of the replicates.

  Raises UserError if `seeds` is below 1.
  """
  from scipy.special import stdtrit

  if seeds < 1:
    raise UserError(f'a noise floor of {seeds} seeds: give 1 or more.')
  quantile = float(stdtrit(spread.freedom, (1 + level) / 2))
  return NoiseFloor(quantile * spread.value * math.sqrt(2 / seeds), seeds, spread)
