"""Permutation tests of a regression's coefficient, for many figures of the same runs at once.

Freedman and Lane (Journal of Business and Economic Statistics 1, 1983): the figures are regressed on the other regressors alone, the residuals are
permuted over the runs, and the coefficient is estimated again. It needs no distribution of the noise, but noise that is alike in all runs. The statistic is the
coefficient over its HC3 error, so the test of one figure also holds for unequal variances if there are many runs (DiCiccio and Romano, JASA 112, 2017).

Every permutation is the same for all figures, which keeps what they have in common. The largest statistic over the figures then corrects for
their number (Westfall and Young, "Resampling-Based Multiple Testing", 1993, section 2.6): sharper than Holm's method if figures move together.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from codemix.inference.regression import Design, fit

PERMUTATIONS = 999  # the least p-value is 1 / 1,000
_SEED = 20240820  # of the permutations, so that a report has the same bytes each time


@dataclasses.dataclass(frozen=True)
class Permuted:
  """p-values of 'the coefficient is 0', float [T]; NaN if a figure is fitted exactly.

  Attributes:
    p_T: of each figure alone.
    corrected_T: for all T figures together.
  """

  p_T: np.ndarray
  corrected_T: np.ndarray


def permutation_test(regressors: Design, figures_TxN: np.ndarray, permutations: int = PERMUTATIONS) -> Permuted:
  """Tests the first wanted coefficient of each of T figures, float [T, N]."""
  figures_TxN = np.asarray(figures_TxN, np.float64)
  others = regressors.others_NxR
  left_TxN = figures_TxN - (figures_TxN @ others) @ others.T
  found_T = _statistics(regressors, figures_TxN)
  known_T = np.isfinite(found_T)
  reached_T, passed_T = np.zeros(len(found_T), int), np.zeros(len(found_T), int)
  generator = np.random.default_rng(_SEED)
  for _ in range(permutations if known_T.any() else 0):
    drawn_T = _statistics(regressors, left_TxN[:, generator.permutation(left_TxN.shape[1])])
    reached_T += drawn_T >= found_T
    passed_T += np.nanmax(drawn_T[known_T]) >= found_T
  unknown_T = np.where(known_T, 0.0, np.nan)
  return Permuted((1 + reached_T) / (1 + permutations) + unknown_T, (1 + passed_T) / (1 + permutations) + unknown_T)


def _statistics(regressors: Design, figures_TxN: np.ndarray) -> np.ndarray:
  found = fit(regressors, figures_TxN)
  return np.abs(found.values_TxQ[:, 0]) / np.sqrt(found.covariance_TxQxQ[:, 0, 0])
