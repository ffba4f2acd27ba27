"""Power: what a comparison of two arms can show, before it is paid for.

The power is that of the test in `difference`, not of an approximation to it: the test's own variances and degrees of freedom
vary from study to study, and with three seeds they vary a lot. Given the components, an arm's sample variance is a multiple of
chi-squared, independent of the difference itself. So the power is the mean, over the chi-squared variables, of a normal
probability. The mean is taken over a grid of quantiles, without random numbers.

A comparison asks whether the arms differ, or whether they are equal within a margin. The second is answered by the two one-sided
tests of `equivalence`, and its power is the chance that both reject while the arms do not differ at all.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Literal

import numpy as np

from codemix.checked import Above, Below, From, UpTo, checked
from codemix.errors import UserError
from codemix.inference.components import Components
from codemix.inference.correlation import LEAST_PAIRS

POWER = 0.8  # what studies are usually planned for
MOST_SEEDS = 10_000  # an arm; nobody trains more
MOST_COMPARISONS = MOST_SAMPLES = 10**6
_QUANTILES = 64  # of each chi-squared variable: the power is then exact to 0.002


@dataclasses.dataclass(frozen=True)
@checked
class Design:
  """A comparison of two arms as it is planned.

  Attributes:
    own, base: seeds of each arm.
    shared: whether the arms have the same seeds. They are paired from LEAST_PAIRS on, as in `difference`.
    samples: answers of an item, if answers are sampled.
    comparisons: of the table; the level is divided by it (Bonferroni), so that the plan covers Holm's correction.
    level: of the intervals.
    question: whether the arms differ, or whether they are equal within a margin.
  """

  own: Annotated[int, From(1), UpTo(MOST_SEEDS), 'seeds']
  base: Annotated[int, From(1), UpTo(MOST_SEEDS), 'seeds']
  shared: bool = False
  samples: Annotated[int, From(1), UpTo(MOST_SAMPLES), 'answers'] = 1
  comparisons: Annotated[int, From(1), UpTo(MOST_COMPARISONS), 'comparisons'] = 1
  level: Annotated[float, Above(0), Below(1)] = 0.95
  question: Literal['different', 'equal'] = 'different'

  @property
  def paired(self) -> bool:
    return self.shared and self.own == self.base >= LEAST_PAIRS

  @property
  def alpha(self) -> float:
    """The chance of a false difference, or of a false equality, in one comparison."""
    return (1 - self.level) / self.comparisons

  @property
  def tail(self) -> float:
    """That of each tail: a difference may have either sign, while both tests of equality must reject."""
    return self.alpha if self.question == 'equal' else self.alpha / 2


def power(effect: float, components: Components, design: Design) -> float:
  """The chance that the test finds what it looks for, 0 to 1; 0 if an arm has one seed.

  Args:
    effect: the true difference, in the components' units. If the question is whether the arms are equal: the margin, while the true
      difference is 0.
  """
  from scipy.special import chdtri, ndtr, stdtrit

  if min(design.own, design.base) < 2:
    return 0.0
  seeds = _seed_variances(components, design)
  of_items = components.item_variance
  tail_Q = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
  drawn = [variance * chdtri(freedom, tail_Q) / freedom for variance, freedom in seeds]
  grids = np.meshgrid(*drawn, indexing='ij')
  uncertainty = sum(grid**2 / freedom for grid, (_, freedom) in zip(grids, seeds, strict=True))
  variance = sum(grids) + of_items
  if of_items:
    uncertainty = uncertainty + of_items**2 / (components.items - 1)
  true_error = math.sqrt(_true_variance(components, design))
  if not true_error:
    return float(effect != 0)
  half = stdtrit(variance**2 / uncertainty, 1 - design.tail) * np.sqrt(variance) if np.any(uncertainty) else 0.0
  if design.question == 'equal':
    return float(np.mean(np.maximum(2 * ndtr((effect - half) / true_error) - 1, 0.0)))
  return float(np.mean(ndtr((effect - half) / true_error) + ndtr((-effect - half) / true_error)))


def least_effect(components: Components, design: Design, wanted: float = POWER) -> float:
  """The least effect, as of `power`, that is found with the wanted power, in the components' units; infinite if an arm has one seed.

  Raises UserError if the wanted power is not from 0.5 to below 1.
  """
  from scipy.optimize import brentq

  _check(wanted)
  if min(design.own, design.base) < 2:
    return math.inf
  high = error = math.sqrt(_true_variance(components, design))
  if not error:
    return 0.0
  while power(high, components, design) < wanted:
    high *= 2
  return float(brentq(lambda effect: power(effect, components, design) - wanted, 0.0, high, xtol=1e-6 * error))


def least_effect_of_items(components: Components, design: Design, wanted: float = POWER) -> float:
  """The least effect, as of `power`, that any number of seeds could show: what the number of items alone leaves."""
  from scipy.special import ndtri

  _check(wanted)
  # The chance of a significant difference of the wrong sign is below 1e-5 at usual powers. An equality is missed on either side.
  reached = (1 + wanted) / 2 if design.question == 'equal' else wanted
  return float(ndtri(1 - design.tail) + ndtri(reached)) * math.sqrt(components.item_variance)


def seeds_needed(effect: float, components: Components, design: Design, wanted: float = POWER) -> int | None:
  """The least number of seeds, the same in both arms, that finds an effect (as of `power`) with the wanted power.

  Returns:
    At least 2; None if no number up to MOST_SEEDS does: the items alone leave more noise (`least_effect_of_items`), or more seeds
    would be needed.

  Raises UserError if the effect is not above 0, or the wanted power not from 0.5 to below 1.
  """
  _check(wanted)
  if not 0 < effect < math.inf:
    raise UserError(f'a wanted effect of {effect:g}: give a number above 0, such as 1 (point).')
  enough = lambda seeds: power(effect, components, dataclasses.replace(design, own=seeds, base=seeds)) >= wanted
  # One by one as far as pairing begins: paired runs have half of the degrees of freedom, so the power may drop there.
  for seeds in range(2, 2 * LEAST_PAIRS):
    if enough(seeds):
      return seeds
  if effect <= least_effect_of_items(components, design, wanted) or not enough(MOST_SEEDS):
    return None
  few, many = 2 * LEAST_PAIRS - 1, MOST_SEEDS
  while many - few > 1:
    middle = (few + many) // 2
    few, many = (few, middle) if enough(middle) else (middle, many)
  return many


def _seed_variances(components: Components, design: Design) -> list[tuple[float, int]]:
  """(variance, degrees of freedom) of each sample variance that the test computes over seeds."""
  figure = components.figure_variance(design.samples)
  if design.paired:
    return [(_true_variance(components, design) - components.item_variance, design.own - 1)]
  return [(figure / design.own, design.own - 1), (figure / design.base, design.base - 1)]


def _true_variance(components: Components, design: Design) -> float:
  """Of the difference of the two arms."""
  common = min(design.own, design.base) if design.shared else 0
  covariance = components.correlation * components.seed**2 * common / (design.own * design.base)
  over_seeds = components.figure_variance(design.samples) * (1 / design.own + 1 / design.base)
  return max(over_seeds - 2 * covariance, 0.0) + components.item_variance


def _check(wanted: float) -> None:
  if not 0.5 <= wanted < 1:
    raise UserError(f'a power of {wanted:g}: give a share from 0.5 up to, and not including, 1, such as {POWER:g}.')
