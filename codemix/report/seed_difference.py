"""The change of an arm of several seeds against the baseline's arm: seeds and items in one interval (`codemix.inference`).

Arms that have the same seeds are paired by seed if there are enough of them to estimate the correlation (`inference.correlation`).

Shapes: S seeds, which may differ between the arms; I items or documents.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from codemix.evaluation.statistics import LEVEL, Estimate
from codemix.inference.arm_scores import ArmScores
from codemix.inference.correlation import LEAST_PAIRS
from codemix.inference.crossed import Part, combine, item_part, seed_parts
from codemix.inference.difference import Difference, difference


def of_scores(own: Sequence[np.ndarray], base: Sequence[np.ndarray], weights: Sequence[float], shared: bool) -> Estimate | None:
  """The change of a weighted sum of tasks' scores; None if their items show no noise to estimate.

  Args:
    own, base: the scores of each task's items, float [S, I]; S >= 2.
    shared: whether both arms have the same seeds, in one order.
  """
  seeds = lambda of: tuple(range(len(of[0]))) if shared else None
  found = difference(ArmScores(tuple(own), tuple(weights), seeds(own), 'the arm'), ArmScores(tuple(base), tuple(weights), seeds(base), 'the baseline'))
  return _estimate(found, shared) if found.noise == 'seeds and items' and found.error > 0 else None


def of_documents(
  over_documents: Estimate, own_S: np.ndarray, base_S: np.ndarray, own_SxI: np.ndarray, base_SxI: np.ndarray, counts: Sequence[int], shared: bool
) -> Estimate:
  """A relative change with its jackknife interval over documents (`statistics.jackknife`), with the seeds added; S >= 2.

  The seeds' parts are those of own / base - 1 to first order. The documents' part is the jackknife's without the residual, which the
  seeds' parts hold already; it keeps the jackknife's degrees of freedom, because few documents may decide it.

  Args:
    over_documents: the change of the mean over runs.
    own_S, base_S: the figure of each run.
    own_SxI, base_SxI: the figure of each run without each document.
    counts: documents of each source; they sum to I.
    shared: whether both arms have the same seeds, in one order.
  """
  paired = shared and len(own_S) >= LEAST_PAIRS
  scale = 1 / base_S.mean(), own_S.mean() / base_S.mean() ** 2
  parts = seed_parts(scale[0] * own_S, scale[1] * base_S, paired)
  parts.append(documents_part(over_documents, scale[0] * own_SxI, scale[1] * base_SxI, counts, paired))
  error, freedom = combine(parts)
  found = Difference(
    value=over_documents.value, error=float(error), freedom=float(freedom), noise='seeds and items', own='the arm', base='the baseline',
    own_figures=tuple(scale[0] * own_S), base_figures=tuple(scale[1] * base_S), own_seeds=None, base_seeds=None,
    items=sum(counts), paired=paired, correlation=None,
  )  # fmt: skip
  return dataclasses.replace(_estimate(found, shared), documents=over_documents.documents)


def documents_part(over_documents: Estimate, own_SxI: np.ndarray, base_SxI: np.ndarray, counts: Sequence[int], paired: bool) -> Part:
  """What the documents add to the variance of the difference of two arms' mean figures; S >= 2 in both.

  Args:
    over_documents: the difference with its jackknife interval.
    own_SxI, base_SxI, counts: as of `of_documents`.
    paired: whether the runs are pairs of the same seeds, in one order.
  """
  strata = [np.split(of_SxI, np.cumsum(counts)[:-1], axis=1) for of_SxI in (own_SxI, base_SxI)]
  # The jackknife's pseudo-values: their mean over a source has the jackknife's variance.
  of_sources = [
    item_part(-(count - 1) * own_Sxi, -(count - 1) * base_Sxi, paired)
    for own_Sxi, base_Sxi, count in zip(*strata, counts, strict=True) if count
  ]  # fmt: skip
  uncertainty = max(sum(part.uncertainty for part in of_sources), over_documents.error**4 / max(over_documents.documents - 1, 1.0))
  return Part(sum(part.variance for part in of_sources), uncertainty)


def _estimate(found: Difference, shared: bool) -> Estimate:
  low, high = found.interval(LEVEL)
  own_S, base_S = np.array(found.own_figures), np.array(found.base_figures)
  # Of the changes of single runs: each against that of its seed, or one drawn from each arm.
  spread = np.std(own_S - base_S, ddof=1) if shared else math.hypot(np.std(own_S, ddof=1), np.std(base_S, ddof=1))
  return Estimate(found.value, low, high, float(found.items), own_S.size, float(spread), found.error, found.p, base_S.size)
