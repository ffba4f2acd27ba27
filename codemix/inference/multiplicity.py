"""Correction for the number of comparisons of one table.

Twenty comparisons of equal arms give one p-value below 0.05 on average. Holm's step-down (Scandinavian Journal of
Statistics 6, 1979) keeps the chance of any false difference in the table at 5%, whatever the comparisons have in common, such as
a baseline. Benjamini and Hochberg (JRSS B 57, 1995) keeps the expected share of false ones among those that are found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from codemix.errors import UserError, nearest
from codemix.inference.difference import LEVEL, Difference

Method = Literal['holm', 'benjamini_hochberg']
METHODS = ('holm', 'benjamini_hochberg')


@dataclasses.dataclass(frozen=True)
class Corrected:
  """A comparison as one of several in a table.

  Attributes:
    difference: alone.
    p: adjusted for all comparisons; NaN if the comparison has no p-value (one run an arm).
    low, high: simultaneous interval: with the stated level all intervals of the table hold their true values (Bonferroni). It
      can contain 0 although Holm's p is below 0.05, since Holm's method is stronger and has no simple intervals.
    comparisons: with a p-value, in the table.
  """

  difference: Difference
  p: float
  low: float
  high: float
  comparisons: int

  def is_effect(self, level: float = LEVEL) -> bool:
    """Whether the arms differ, after the correction; never so without the noise of seeds."""
    return self.p <= 1 - level


def corrected(differences: Sequence[Difference], level: float = LEVEL, method: Method = 'holm') -> list[Corrected]:
  """All comparisons of a table, corrected for their number.

  Comparisons without a p-value make no claim, so they do not count.

  Raises UserError if there is no such method.
  """
  if method not in METHODS:
    raise UserError(f"there is no correction '{method}'; there is {', '.join(METHODS)}.{nearest(method, METHODS)}")
  p_C = np.array([each.p for each in differences], np.float64)
  tested_C = ~np.isnan(p_C)
  comparisons = int(tested_C.sum())
  if comparisons:
    p_C[tested_C] = _adjusted(p_C[tested_C], method)
  simultaneous = 1 - (1 - level) / max(comparisons, 1)
  return [Corrected(each, float(p), *each.interval(simultaneous), comparisons) for each, p in zip(differences, p_C, strict=True)]


def holm(p_C: np.ndarray) -> np.ndarray:
  """Holm's adjusted p-values of C comparisons, float [C]."""
  p_C = np.asarray(p_C, np.float64)
  order = np.argsort(p_C, kind='stable')
  stepped_C = np.maximum.accumulate(p_C[order] * np.arange(p_C.size, 0, -1))
  adjusted_C = np.empty_like(p_C)
  adjusted_C[order] = np.minimum(stepped_C, 1.0)
  return adjusted_C


def _adjusted(p_C: np.ndarray, method: Method) -> np.ndarray:
  if method == 'holm':
    return holm(p_C)
  from scipy.stats import false_discovery_control

  return false_discovery_control(p_C, method='bh')
