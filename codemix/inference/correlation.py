"""The correlation of two arms over the seeds that they share.

Runs of two arms with one seed begin with the same weights and read their sources in orders drawn from one seed. That need
not make their scores alike: measured correlations were of either sign. So codemix estimates the correlation, and
pairs the runs if it has enough of them for that.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

# Below this many pairs the interval of paired runs is too narrow: it held the true value in 92 to 93% instead of 95% with
# 3 pairs, in 94 to 95% with 5 (docs/inference.md).
LEAST_PAIRS = 5


@dataclasses.dataclass(frozen=True)
class Correlation:
  """Pearson's correlation of the runs' figures, with its 95% interval by Fisher's z.

  Attributes:
    value: -1 to 1; NaN if an arm's figures are all equal.
    low, high: -1 and 1 with three pairs or fewer, from which nothing is known.
    pairs: seeds that both arms have.
  """

  value: float
  low: float
  high: float
  pairs: int


def correlation(own_S: np.ndarray, base_S: np.ndarray) -> Correlation:
  """Of the figures of S pairs of runs, float [S]; S is at least 2.

  The interval is that of Fisher (Metron 1, 1921): atanh(r) is about normal with variance 1 / (S - 3).
  """
  from scipy.special import ndtri

  own_S, base_S = np.asarray(own_S, np.float64), np.asarray(base_S, np.float64)
  pairs = own_S.size
  if not (np.ptp(own_S) and np.ptp(base_S)):
    return Correlation(math.nan, -1.0, 1.0, pairs)
  # scipy.stats.pearsonr is the same, and takes a millisecond: a report of a large study has thousands of these.
  own_S, base_S = own_S - own_S.mean(), base_S - base_S.mean()
  value = max(-1.0, min(1.0, float(own_S @ base_S / math.sqrt((own_S @ own_S) * (base_S @ base_S)))))
  if pairs <= 3 or abs(value) == 1:
    return Correlation(value, *((-1.0, 1.0) if pairs <= 3 else (value, value)), pairs)
  half = float(ndtri(0.975)) / math.sqrt(pairs - 3)
  return Correlation(value, math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half), pairs)
