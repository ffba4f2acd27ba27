"""Linear regression of many figures on one set of regressors, with errors that hold for unequal variances.

The covariance of the coefficients is HC3 (MacKinnon and White, Journal of Econometrics 29, 1985): with A the matrix that makes
coefficients of figures, e the residuals and h the leverages, A diag(e^2 / (1 - h)^2) A'. It holds whatever the variance of each run is, and
for the best linear approximation if the truth is not linear. The degrees of freedom are Satterthwaite's, as Bell and McCaffrey (Survey Methodology 28, 2002)
compute them for regressions: few if a few runs with much of a regressor decide its coefficient, where N less the regressors gives intervals that are too
narrow. `tests/inference/regression_coverage.py` measures how often the intervals hold the true value.

Only some regressors are of interest (`wanted`); their coefficients come from the regression on all (Frisch and Waugh, 1933).

Shapes: N runs, Q wanted regressors, K others, T figures of each run.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from codemix.inference.difference import LEVEL

_LEAST = 1e-6  # a wanted regressor whose part apart from the others is smaller than this is taken for a sum of others
_EXACT = 1e-10  # residuals smaller than this beside the figures are rounding: nothing is known of the noise


@dataclasses.dataclass(frozen=True)
class Design:
  """Regressors of N runs; made by `design`.

  Attributes:
    weights_QxN: a wanted coefficient is the sum of its weights times the figures.
    others_NxR: orthonormal, spans the other regressors.
    basis_NxP: orthonormal, spans all.
    leverage_N: of each run.
    explained_Q: the share of each wanted regressor's sum of squares that the others explain (R squared, if an intercept is among the others).
  """

  weights_QxN: np.ndarray
  others_NxR: np.ndarray
  basis_NxP: np.ndarray
  leverage_N: np.ndarray
  explained_Q: np.ndarray

  def freedom(self, weights_Q: np.ndarray) -> float:
    """Degrees of freedom of the error of a weighted sum of the coefficients, if the variances are equal; at most N less the regressors."""
    squares_N = ((np.asarray(weights_Q, np.float64) @ self.weights_QxN) / (1 - self.leverage_N)) ** 2
    if not squares_N.any():
      return float(np.subtract(*self.basis_NxP.shape))
    # With M the matrix that makes residuals: trace(diag(squares) M)^2 / trace((diag(squares) M)^2).
    trace = squares_N @ (1 - self.leverage_N)
    inner_PxP = self.basis_NxP.T @ (squares_N[:, None] * self.basis_NxP)
    return float(trace**2 / (squares_N**2 @ (1 - 2 * self.leverage_N) + (inner_PxP**2).sum()))


@dataclasses.dataclass(frozen=True)
class Fit:
  """Wanted coefficients of T figures.

  Attributes:
    regressors: of the runs.
    values_TxQ: the coefficients.
    covariance_TxQxQ: HC3; NaN if the regressors fit the figures exactly, so that nothing is known of the noise.
    residuals_TxN: of the runs.
  """

  regressors: Design
  values_TxQ: np.ndarray
  covariance_TxQxQ: np.ndarray
  residuals_TxN: np.ndarray

  def combination(self, weights_Q: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(values [T], standard errors [T], degrees of freedom) of a weighted sum of the coefficients."""
    weights_Q = np.asarray(weights_Q, np.float64)
    variance_T = np.einsum('tij,i,j->t', self.covariance_TxQxQ, weights_Q, weights_Q)
    return self.values_TxQ @ weights_Q, np.sqrt(np.maximum(variance_T, 0.0)), self.regressors.freedom(weights_Q)

  def slopes(self, weights_Q: np.ndarray) -> list[Slope]:
    """The same as objects, one for each figure."""
    values_T, errors_T, freedom = self.combination(weights_Q)
    return [Slope(value, error, freedom) for value, error in zip(values_T.tolist(), errors_T.tolist(), strict=True)]

  def p_of_zeros(self) -> np.ndarray:
    """p-values of 'all coefficients are 0', float [T]: Wald's test as an F test; NaN if the noise is unknown.

    Its second degrees of freedom are the fewest of a coefficient's.
    """
    from scipy.special import fdtrc

    number = self.values_TxQ.shape[1]
    freedom = min(self.regressors.freedom(weights_Q) for weights_Q in np.eye(number))
    known_T = np.isfinite(self.covariance_TxQxQ).all(axis=(1, 2))
    solved_TxQ = np.linalg.solve(self.covariance_TxQxQ[known_T], self.values_TxQ[known_T][..., None])[..., 0]
    found_T = np.full(len(self.values_TxQ), np.nan)
    found_T[known_T] = fdtrc(number, freedom, (self.values_TxQ[known_T] * solved_TxQ).sum(axis=1) / number)
    return found_T


@dataclasses.dataclass(frozen=True)
class Slope:
  """A coefficient, or a sum of some, with its error.

  Attributes:
    value: in units of the figure.
    error: standard error; NaN if nothing is known of the noise.
    freedom: degrees of freedom of the error.
  """

  value: float
  error: float
  freedom: float

  def interval(self, level: float = LEVEL) -> tuple[float, float]:
    """The ends of Student's interval."""
    from scipy.special import stdtrit

    half = self.error * float(stdtrit(self.freedom, (1 + level) / 2))
    return self.value - half, self.value + half

  @property
  def p(self) -> float:
    """Two-sided, of a slope of 0; NaN if nothing is known of the noise."""
    from scipy.special import stdtr

    return 2 * float(stdtr(self.freedom, -abs(self.value) / self.error)) if self.error > 0 else math.nan

  def times(self, factor: float) -> Slope:
    """The same for another unit of the regressor."""
    return Slope(factor * self.value, abs(factor) * self.error, self.freedom)


def design(wanted_NxQ: np.ndarray, others_NxK: np.ndarray) -> Design | None:
  """The regressors; None if a wanted coefficient is not identified, or no degree of freedom is left.

  Args:
    wanted_NxQ: regressors whose coefficients are wanted.
    others_NxK: further regressors, which may depend on each other. An intercept is a column of ones, in either.
  """
  wanted_NxQ, others_NxR = np.asarray(wanted_NxQ, np.float64), _basis(np.asarray(others_NxK, np.float64))
  scale_Q = np.linalg.norm(wanted_NxQ, axis=0)
  if not scale_Q.all():
    return None
  own_NxQ = wanted_NxQ - others_NxR @ (others_NxR.T @ wanted_NxQ)
  left_NxQ, sizes_Q, _ = np.linalg.svd(own_NxQ / scale_Q, full_matrices=False)
  if sizes_Q.min() < _LEAST:
    return None
  basis_NxP = np.concatenate([others_NxR, left_NxQ], axis=1)
  leverage_N = (basis_NxP**2).sum(axis=1)
  if basis_NxP.shape[0] <= basis_NxP.shape[1] or leverage_N.max() > 1 - _LEAST:
    return None
  centred_Q = ((wanted_NxQ - wanted_NxQ.mean(axis=0)) ** 2).sum(axis=0)
  kept_Q = (own_NxQ**2).sum(axis=0)
  explained_Q = 1 - np.divide(kept_Q, centred_Q, out=np.full(kept_Q.shape, np.nan), where=centred_Q > 0)
  return Design(np.linalg.pinv(own_NxQ), others_NxR, basis_NxP, leverage_N, explained_Q)


def fit(regressors: Design, figures_TxN: np.ndarray) -> Fit:
  """The wanted coefficients of T figures of each run, float [T, N], all finite."""
  figures_TxN = np.asarray(figures_TxN, np.float64)
  residuals_TxN = _residuals(regressors.basis_NxP, figures_TxN)
  weighted_TxQxN = (residuals_TxN / (1 - regressors.leverage_N))[:, None, :] * regressors.weights_QxN
  covariance_TxQxQ = weighted_TxQxN @ np.swapaxes(weighted_TxQxN, 1, 2)
  covariance_TxQxQ[_is_exact(residuals_TxN, figures_TxN)] = np.nan
  return Fit(regressors, figures_TxN @ regressors.weights_QxN.T, covariance_TxQxQ, residuals_TxN)


def without_each(found: Fit) -> np.ndarray:
  """The first wanted coefficient of each figure without each run in turn, float [T, N] (Belsley, Kuh and Welsch, 1980)."""
  regressors = found.regressors
  return found.values_TxQ[:, :1] - regressors.weights_QxN[0] * found.residuals_TxN / (1 - regressors.leverage_N)


def _basis(columns_NxK: np.ndarray) -> np.ndarray:
  """Orthonormal columns of the same span, float [N, R]; each column counts alike, whatever its unit."""
  scale_K = np.linalg.norm(columns_NxK, axis=0)
  columns_NxK = columns_NxK[:, scale_K > 0] / scale_K[scale_K > 0]
  if not columns_NxK.size:
    return np.zeros((columns_NxK.shape[0], 0))
  left_NxR, sizes_R, _ = np.linalg.svd(columns_NxK, full_matrices=False)
  return left_NxR[:, sizes_R > _LEAST * sizes_R.max()]


def _residuals(basis_NxP: np.ndarray, figures_TxN: np.ndarray) -> np.ndarray:
  return figures_TxN - (figures_TxN @ basis_NxP) @ basis_NxP.T


def _is_exact(residuals_TxN: np.ndarray, figures_TxN: np.ndarray) -> np.ndarray:
  return (residuals_TxN**2).sum(axis=1) <= _EXACT**2 * (figures_TxN**2).sum(axis=1)
