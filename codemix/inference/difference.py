"""The difference of two arms, with an interval that holds seeds and items."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np

from codemix.errors import UserError
from codemix.inference.arm_scores import ArmScores
from codemix.inference.complete import complete
from codemix.inference.correlation import LEAST_PAIRS, Correlation, correlation
from codemix.inference.crossed import Part, combine, item_part, seed_parts

LEVEL = 0.95  # of every interval that does not say otherwise

Items = Literal['random', 'fixed']
Noise = Literal['seeds and items', 'seeds', 'items only', 'none']


@dataclasses.dataclass(frozen=True)
class Difference:
  """The difference of two arms' mean figures, own - base, in units of the score.

  Attributes:
    value: the difference.
    error: its standard error; NaN if no noise can be estimated.
    freedom: degrees of freedom of the error.
    noise: what the error holds. 'seeds': the items are taken as fixed, or there are none. 'items only': an arm
      has one run, so nothing is known of seeds, and the difference is never called an effect.
    own, base: names of the arms.
    own_figures, base_figures: the figure of every run, in the order of the runs.
    own_seeds, base_seeds: labels of the runs; None if they have none.
    items: compared, of all tasks; 0 without items.
    paired: whether runs were paired by seed.
    correlation: of the shared seeds; None without two of them.
    notes: a sentence for each thing left out.
  """

  value: float
  error: float
  freedom: float
  noise: Noise
  own: str
  base: str
  own_figures: tuple[float, ...]
  base_figures: tuple[float, ...]
  own_seeds: tuple | None
  base_seeds: tuple | None
  items: int
  paired: bool
  correlation: Correlation | None
  notes: tuple[str, ...] = ()

  @property
  def has_seeds(self) -> bool:
    """Whether the error holds the variation between seeds."""
    return self.noise in ('seeds and items', 'seeds')

  def interval(self, level: float = LEVEL) -> tuple[float, float]:
    """The ends of Student's interval; NaN if no noise can be estimated.

    Args:
      level: between 0 and 1.
    """
    from scipy.special import stdtrit

    if not 0 < level < 1:
      raise UserError(f'an interval has a level of {level:g}: give one between 0 and 1, such as 0.95.')
    half = self.error * float(stdtrit(self.freedom, (1 + level) / 2))
    return self.value - half, self.value + half

  @property
  def p(self) -> float:
    """The two-sided p-value of no difference; NaN unless the error holds seeds and is above 0."""
    return min(1.0, 2 * min(self.p_above(0.0), self.p_below(0.0))) if self._is_testable else math.nan

  def p_above(self, bound: float) -> float:
    """The one-sided p-value against 'the true difference is `bound` or less'; NaN as for `p`."""
    from scipy.special import stdtr

    return float(stdtr(self.freedom, (bound - self.value) / self.error)) if self._is_testable else math.nan

  def p_below(self, bound: float) -> float:
    """The one-sided p-value against 'the true difference is `bound` or more'; NaN as for `p`."""
    from scipy.special import stdtr

    return float(stdtr(self.freedom, (self.value - bound) / self.error)) if self._is_testable else math.nan

  @property
  def _is_testable(self) -> bool:
    return self.has_seeds and self.error > 0


def difference(own: ArmScores, base: ArmScores, items: Items = 'random') -> Difference:
  """The difference of two arms, with the noise of seeds and items.

  Runs are paired by seed if both arms have the same seeds and there are LEAST_PAIRS of them or more: their covariance
  is then estimated with the rest. Otherwise the arms' runs are independent, each arm with its own variance.

  Args:
    own, base: on the same items in the same order.
    items: 'random' if the claim is about items like these; 'fixed' if it is about these items alone.

  Raises:
    UserError: the arms were scored on other items, nothing is left after what is missing, or `items` is neither.
  """
  if items not in ('random', 'fixed'):
    raise UserError(f"items='{items}': write 'random' or 'fixed'.")
  own, base, notes = complete(own, base)
  own, base, pairs = _in_one_order(own, base)
  seeds_known = min(own.runs, base.runs) > 1
  shared = pairs is not None and own.runs == base.runs == pairs
  paired = shared and pairs >= LEAST_PAIRS
  parts, noise = _parts(own, base, paired, seeds_known, items)
  error, freedom = combine(parts) if parts else (math.nan, math.nan)
  return Difference(
    value=float(own.figures.mean() - base.figures.mean()),
    error=float(error),
    freedom=float(freedom),
    noise=noise,
    own=own.name,
    base=base.name,
    own_figures=tuple(own.figures.tolist()),
    base_figures=tuple(base.figures.tolist()),
    own_seeds=own.seeds,
    base_seeds=base.seeds,
    items=sum(task.shape[1] for task in own.tasks if task.ndim == 2),
    paired=paired,
    correlation=correlation(own.figures[:pairs], base.figures[:pairs]) if pairs and pairs > 1 else None,
    notes=notes,
  )


def _parts(own: ArmScores, base: ArmScores, paired: bool, seeds_known: bool, items: Items) -> tuple[list[Part], Noise]:
  """The parts of the variance, and what they hold."""
  of_items = own.has_items and items == 'random'
  if seeds_known:
    parts = seed_parts(own.figures, base.figures, paired)
    if not of_items:
      return parts, 'seeds'
    for weight, ours, theirs in zip(own.weights, own.tasks, base.tasks, strict=True):
      part = item_part(ours, theirs, paired)
      parts.append(Part(weight**2 * part.variance, weight**4 * part.uncertainty))
    return parts, 'seeds and items'
  if not own.has_items:
    return [], 'none'
  # With one run the residual cannot be told from the items' part: both are in the variance of the items' differences.
  parts = []
  for weight, ours, theirs in zip(own.weights, own.tasks, base.tasks, strict=True):
    differences_I = ours.mean(axis=0) - theirs.mean(axis=0)
    variance = weight**2 * np.var(differences_I, ddof=1) / differences_I.size
    parts.append(Part(variance, variance**2 / (differences_I.size - 1)))
  return parts, 'items only'


def _in_one_order(own: ArmScores, base: ArmScores) -> tuple[ArmScores, ArmScores, int | None]:
  """Both arms with their shared seeds first, in one order, and the number of these; None without labels."""
  if own.seeds is None or base.seeds is None:
    return own, base, None
  common = [seed for seed in own.seeds if seed in base.seeds]
  first = lambda arm: [arm.seeds.index(seed) for seed in common] + [index for index, seed in enumerate(arm.seeds) if seed not in common]
  return own.with_runs(first(own)), base.with_runs(first(base)), len(common)
