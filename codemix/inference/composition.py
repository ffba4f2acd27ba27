"""Shares of a mixture as regressors.

Shares sum to 1, so one cannot rise alone. The question here is what happens if code rises and *everything else shrinks in proportion*: the direction of
Cox (Biometrika 58, 1971) from a reference mixture. With w_g the share of group g of the rest, c that of code and u_g the share of g in the rest of
the reference mixture, the departure from proportion is

  z_g = w_g - (1 - c) u_g,      and      figure = a + b c + sum over g of s_g z_g + noise

is the general linear function of the shares. Along Cox's direction z stays 0, so b is the effect of code in that direction. Leaving out the z (the
simple regression) gives the same b only if the departures have nothing to do with c: otherwise their effect is taken for code's.
"""

from __future__ import annotations

import numpy as np

# Of the share of code: the knots of the curve, chosen before any figure is seen (Harrell, "Regression Modeling Strategies", 2015, table 2.3).
KNOT_QUANTILES = (0.05, 0.35, 0.65, 0.95)
_APART = 1e-3  # of the range of the shares: nearer knots are one


def reference(rest_NxG: np.ndarray) -> np.ndarray:
  """The shares of G groups in the rest of all mixtures together, float [G]; they sum to 1."""
  total_G = np.asarray(rest_NxG, np.float64).sum(axis=0)
  return total_G / total_G.sum()


def departures(rest_NxG: np.ndarray) -> np.ndarray:
  """How far each group is from its proportional share of the rest, float [N, G]; each row sums to 0.

  Args:
    rest_NxG: shares of the groups that are not code; a row sums to 1 less the share of code.
  """
  rest_NxG = np.asarray(rest_NxG, np.float64)
  return rest_NxG - rest_NxG.sum(axis=1, keepdims=True) * reference(rest_NxG)


def knots(share_N: np.ndarray) -> tuple[float, ...]:
  """Four knots at `KNOT_QUANTILES`; () if two of them coincide, as where most mixtures have none of it."""
  found = np.quantile(share_N, KNOT_QUANTILES)
  return tuple(found.tolist()) if np.diff(found).min() > _APART * np.ptp(share_N) else ()


def bends(share_N: np.ndarray, at: tuple[float, ...]) -> np.ndarray:
  """What a curve has besides an intercept and a line, float [N, 2] or [N, 1].

  With knots it is a restricted cubic spline: cubic between them, a line outside (Harrell, section 2.4.5). Without knots it is the square.

  Args:
    at: from `knots`.
  """
  share_N = np.asarray(share_N, np.float64)
  if not at:
    return share_N[:, None] ** 2
  *first, before, last = at
  cube = lambda knot: np.maximum(share_N - knot, 0.0) ** 3
  columns = [
    cube(knot) - cube(before) * (last - knot) / (last - before) + cube(last) * (before - knot) / (last - before) for knot in first
  ]
  return np.stack(columns, axis=1) / (last - at[0]) ** 2
