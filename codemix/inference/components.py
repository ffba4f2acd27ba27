"""Variance components of scores: of seeds, of items, of their interaction, and of sampled answers.

They decide how many seeds and items a study needs. They are stated, or estimated from earlier runs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np

from codemix.checked import Above, From, UpTo, checked
from codemix.errors import UserError
from codemix.inference.crossed import residual_variance

MOST = 1e6  # points or bits: no score has a larger standard deviation, and the squares of such numbers are exact enough
MOST_ITEMS = 10**9
_ROUNDING = 1e-9  # points or bits: what estimates from scores that are all the same may come to


@dataclasses.dataclass(frozen=True)
@checked
class Components:
  """Standard deviations of one task's scores, in its units: points (hundredths) for accuracies, bits for bits per byte.

  If only the SD of a task's scores over seeds is known, as papers give it, state that as `seed`, and leave out the rest: it
  holds the residual at the number of items that it was measured on.

  Attributes:
    seed: over seeds, of the score on all items.
    items: of the task; None if its figure has none, such as a perplexity.
    arm_item: over items, of the difference between two arms, each averaged over its seeds. 0 plans for a claim about these items alone.
    residual: of the interaction of seeds and items: the score of one item in one run, without what item, arm and seed explain.
    sampling: of one sampled answer around the item's expected score; 0 if answers are not sampled, or if `residual` holds it.
    correlation: of two arms over the seeds that they share.
  """

  seed: Annotated[float, From(0), UpTo(MOST)]
  items: Annotated[int, From(2), UpTo(MOST_ITEMS), 'items'] | None = None
  arm_item: Annotated[float, From(0), UpTo(MOST)] = 0.0
  residual: Annotated[float, From(0), UpTo(MOST)] = 0.0
  sampling: Annotated[float, From(0), UpTo(MOST)] = 0.0
  correlation: Annotated[float, Above(-1), UpTo(1)] = 0.0

  def __post_init__(self):
    if self.items is None and (self.arm_item or self.residual or self.sampling):
      raise UserError('Components.items is None, and arm_item, residual or sampling is not 0: bind the number of items.')

  @property
  def is_known(self) -> bool:
    """Whether anything varies: scores that are all the same, such as 0 of a task that nobody solves, do not say how others would vary."""
    return max(self.figure_variance(), self.item_variance) > _ROUNDING**2

  def figure_variance(self, samples: int = 1) -> float:
    """The variance over seeds of the score on all items, with so many sampled answers an item."""
    of_items = (self.residual**2 + self.sampling**2 / samples) / self.items if self.items else 0.0
    return self.seed**2 + of_items

  @property
  def item_variance(self) -> float:
    """What the choice of items adds to the variance of a difference of two arms."""
    return self.arm_item**2 / self.items if self.items else 0.0


def estimate_components(arms: Sequence[np.ndarray]) -> Components:
  """The components of one task, from arms that were scored on the same items.

  Mean squares of the two-way layout of seeds and items (`crossed`); an estimate below 0 is 0. The seeds' and residual variances are
  means over the arms, weighted by degrees of freedom: look at them first (`variances.look`). `arm_item` is the mean over all
  pairs of arms; it is 0 with one arm, which says nothing of it.

  Args:
    arms: scores of each arm in the units wanted, float [S, I], [S, I, K] for K sampled answers an item, or [S] for figures
      without items.

  Raises UserError if no arm has two runs, or the arms have other items.
  """
  arms = [np.asarray(scores, np.float64) for scores in arms]
  if len({scores.shape[1:2] for scores in arms}) > 1:
    raise UserError(f'the arms have scores of shapes {", ".join(str(list(scores.shape)) for scores in arms)}: score all on the same items.')
  if any(np.isnan(scores).any() for scores in arms):
    raise UserError('some scores are missing (NaN): leave out the items that a run lacks.')
  if max(len(scores) for scores in arms) < 2:
    raise UserError('no arm has two runs, so the variance over seeds is unknown: give replicates, which differ in Recipe.seed alone.')
  if arms[0].ndim == 1:
    return Components(seed=math.sqrt(_weighted([(scores.var(ddof=1), len(scores) - 1) for scores in arms if len(scores) > 1])))
  sampling = _sampling_variance(arms)
  samples = arms[0].shape[2] if arms[0].ndim == 3 else 1
  arms = [scores.mean(axis=2) if scores.ndim == 3 else scores for scores in arms]
  items = arms[0].shape[1]
  known = [scores for scores in arms if len(scores) > 1]
  residual = _weighted([(residual_variance(scores), len(scores) - 1) for scores in known])
  figure = _weighted([(scores.mean(axis=1).var(ddof=1), len(scores) - 1) for scores in known])
  return Components(
    seed=math.sqrt(max(figure - residual / items, 0.0)),
    items=items,
    arm_item=math.sqrt(max(_arm_item_variance(arms, residual), 0.0)),
    residual=math.sqrt(max(residual - sampling / samples, 0.0)),
    sampling=math.sqrt(sampling),
  )


def of_sum(parts: Sequence[tuple[float, Components]]) -> Components:
  """The components of a sum of weight x score over tasks whose noise is independent, such as a mean of benchmarks.

  Variances add with the squares of the weights. `items` is the number that gives the items' part of the variance the degrees of
  freedom that Satterthwaite's formula (`crossed`) gives the sum.

  Args:
    parts: (weight, components of the task).
  """
  squares = [(weight**2, of) for weight, of in parts]
  seed = sum(square * of.seed**2 for square, of in squares)
  correlation = min(1.0, sum(square * of.correlation * of.seed**2 for square, of in squares) / seed) if seed else 0.0
  with_items = [(square, of) for square, of in squares if of.items]
  if not with_items:
    return Components(seed=math.sqrt(seed), correlation=correlation)
  variance = sum(square * of.item_variance for square, of in with_items)
  uncertainty = sum((square * of.item_variance) ** 2 / (of.items - 1) for square, of in with_items)
  items = min(MOST_ITEMS, round(variance**2 / uncertainty) + 1 if uncertainty else sum(of.items for _, of in with_items))
  of_item = lambda name: math.sqrt(items * sum(square * getattr(of, name) ** 2 / of.items for square, of in with_items))
  return Components(math.sqrt(seed), items, of_item('arm_item'), of_item('residual'), of_item('sampling'), correlation)


def _sampling_variance(arms: Sequence[np.ndarray]) -> float:
  """Of one answer around the mean of its item in its run; 0 without several answers."""
  if arms[0].ndim < 3 or arms[0].shape[2] < 2:
    return 0.0
  return _weighted([(scores.var(axis=2, ddof=1).mean(), len(scores)) for scores in arms])


def _arm_item_variance(arms: Sequence[np.ndarray], residual: float) -> float:
  """Over items, of the difference of two arms, without the residual of their runs."""
  pairs = [(ours, theirs) for index, ours in enumerate(arms) for theirs in arms[:index]]
  found = [np.var(ours.mean(axis=0) - theirs.mean(axis=0), ddof=1) - residual * (1 / len(ours) + 1 / len(theirs)) for ours, theirs in pairs]
  return float(np.mean(found)) if found else 0.0


def _weighted(pairs: Sequence[tuple[float, int]]) -> float:
  """The mean of (value, weight)."""
  values, weights = zip(*pairs, strict=True)
  return float(np.average(values, weights=weights))
