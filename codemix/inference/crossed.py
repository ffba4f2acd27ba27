"""The variance of a difference of two arms whose runs (seeds) are crossed with items.

The score of item i in the run with seed s of arm a is taken for

  mean_a + item_i + arm-item_ai + seed_as + residual_asi

The residual holds the interaction of seeds and items, and the sampling of answers. Items are common to both arms, so
`item_i` cancels in a difference. The variance of the difference of the two means over S_a runs and I items is

  sum over arms of (seed_a / S_a + residual_a / (S_a I))   the seeds' parts
  + arm-item / I                                           the items' part

with the names standing for variances. The mean squares of the two-way layout estimate each part without bias:

  the sample variance of an arm's S_a figures, / S_a        -> seed_a / S_a + residual_a / (S_a I)
  the sample variance of the items' differences, / I,
    less residual_a / (S_a I) of both arms                  -> arm-item / I

The second difference is what a sum of "variance over seeds" and "variance over items" lacks: it would count the residual
twice (Cornfield and Tukey, Annals of Mathematical Statistics 27, 1956; for seeds and items this is the crossed
random-effects analysis of Clark, Journal of Verbal Learning and Verbal Behavior 12, 1973). Each arm keeps its own
variances, so arms may differ in them, as in Welch's test (Biometrika 34, 1947). Satterthwaite (Biometrics 2, 1946) gives
the degrees of freedom of the sum.

All functions take leading axes (...), so that a simulation calls the same code for many trials at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Part(NamedTuple):
  """A part of the variance of an estimate.

  Attributes:
    variance: in squared units of the score, float [...].
    uncertainty: half of the variance of `variance` as an estimate, float [...]: variance^2 / degrees of freedom for a mean
      square, 0 for a variance that is known.
  """

  variance: np.ndarray
  uncertainty: np.ndarray


def seed_parts(own_S: np.ndarray, base_S: np.ndarray, shared: bool) -> list[Part]:
  """The seeds' parts of the difference of two means over runs.

  Args:
    own_S, base_S: the figure of each run, float [..., S]; S may differ, and is at least 2.
    shared: whether the runs are pairs of the same seeds, in one order. The covariance is then estimated, at half of
      the degrees of freedom.
  """
  if shared:
    return [_of_mean(np.asarray(own_S) - np.asarray(base_S))]
  return [_of_mean(own_S), _of_mean(base_S)]


def item_part(own_SxI: np.ndarray, base_SxI: np.ndarray, shared: bool) -> Part:
  """The items' part of the difference of two means over runs and items, without the residual; at least 0.

  Args:
    own_SxI, base_SxI: scores, float [..., S, I], on the same items; S and I are at least 2.
    shared: whether the runs are pairs of the same seeds, in one order.
  """
  own_SxI, base_SxI = np.asarray(own_SxI, np.float64), np.asarray(base_SxI, np.float64)
  items = own_SxI.shape[-1]
  whole = _of_mean(own_SxI.mean(axis=-2) - base_SxI.mean(axis=-2))
  residuals = [_residual_part(own_SxI - base_SxI)] if shared else [_residual_part(own_SxI), _residual_part(base_SxI)]
  variance = np.maximum(whole.variance - sum(part.variance for part in residuals), 0.0)
  return Part(variance, whole.variance**2 / (items - 1) + sum(part.uncertainty for part in residuals))


def residual_variance(scores_SxI: np.ndarray) -> np.ndarray:
  """The mean square of the interaction of seeds and items, float [...]; its degrees of freedom are (S - 1) (I - 1)."""
  scores_SxI = np.asarray(scores_SxI, np.float64)
  seeds, items = scores_SxI.shape[-2:]
  means_Sx1 = scores_SxI.mean(axis=-1, keepdims=True)
  gone_SxI = scores_SxI - means_Sx1
  gone_SxI -= gone_SxI.mean(axis=-2, keepdims=True)
  return np.einsum('...si,...si->...', gone_SxI, gone_SxI) / ((seeds - 1) * (items - 1))


def combine(parts: Sequence[Part]) -> tuple[np.ndarray, np.ndarray]:
  """(standard error, degrees of freedom) of an estimate with these independent parts of variance, float [...].

  The degrees of freedom are infinite if the variance is known, or 0.
  """
  variance = np.asarray(sum(part.variance for part in parts), np.float64)
  uncertainty = np.asarray(sum(part.uncertainty for part in parts), np.float64)
  freedom = np.divide(variance**2, uncertainty, out=np.full(variance.shape, np.inf), where=(uncertainty > 0) & (variance > 0))
  return np.sqrt(variance), freedom


def _of_mean(values_N: np.ndarray) -> Part:
  """Of the mean of N independent values."""
  count = np.shape(values_N)[-1]
  variance = np.var(values_N, axis=-1, ddof=1) / count
  return Part(variance, variance**2 / (count - 1))


def _residual_part(scores_SxI: np.ndarray) -> Part:
  """What the residual adds to the variance of the mean over seeds and items."""
  seeds, items = scores_SxI.shape[-2:]
  variance = residual_variance(scores_SxI) / (seeds * items)
  return Part(variance, variance**2 / ((seeds - 1) * (items - 1)))
