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
from codemix.inference.crossed import Part, combine, item_part, seed_parts
from codemix.inference.difference import Difference, difference


def of_scores(own: Sequence[np.ndarray], base: Sequence[np.ndarray], weights: Sequence[float], shared: bool) -> Estimate | None:
  """The change of a weighted sum of tasks' scores; None if their items show no noise to estimate.

  Args:
    own, base: the scores of each task's items, float [S, I]; S >= 2.
    shared: whether both arms have the same seeds, in one order.
  """
  own, base = (ArmScores(tuple(of), tuple(weights), _labels(of[0], shared), name) for of, name in ((own, 'the arm'), (base, 'the baseline')))
  found = difference(own, base)
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
  own_scale, base_scale = 1 / base_S.mean(), own_S.mean() / base_S.mean() ** 2
  found = of_figures(over_documents, own_scale * own_S, base_scale * base_S, own_scale * own_SxI, base_scale * base_SxI, counts, _labels(own_S, shared), _labels(base_S, shared))
  return dataclasses.replace(_estimate(found, shared), documents=over_documents.documents)


def of_figures(
  over_documents: Estimate, own_S: np.ndarray, base_S: np.ndarray, own_SxI: np.ndarray, base_SxI: np.ndarray, counts: Sequence[int],
  own_seeds: tuple | None, base_seeds: tuple | None,
) -> Difference:
  """The difference of two arms' mean figures over documents; S >= 2 in both.

  Args:
    over_documents: the difference with its jackknife interval.
    own_S, base_S, own_SxI, base_SxI, counts: as of `of_documents`.
    own_seeds, base_seeds: labels of the runs, those that both have first and in one order.
  """  # fmt: skip
  found = difference(ArmScores.of(own_S, own_seeds, 'the arm'), ArmScores.of(base_S, base_seeds, 'the baseline'))
  parts = [*seed_parts(own_S, base_S, found.paired), _documents_part(over_documents, own_SxI, base_SxI, counts, found.paired)]
  error, freedom = combine(parts)
  return dataclasses.replace(found, value=over_documents.value, error=float(error), freedom=float(freedom), noise='seeds and items', items=sum(counts))


def _documents_part(over_documents: Estimate, own_SxI: np.ndarray, base_SxI: np.ndarray, counts: Sequence[int], paired: bool) -> Part:
  """What the documents add to the variance."""
  strata = [np.split(of_SxI, np.cumsum(counts)[:-1], axis=1) for of_SxI in (own_SxI, base_SxI)]
  # The jackknife's pseudo-values: their mean over a source has the jackknife's variance.
  of_sources = [
    item_part(-(count - 1) * own_Sxi, -(count - 1) * base_Sxi, paired)
    for own_Sxi, base_Sxi, count in zip(*strata, counts, strict=True) if count
  ]  # fmt: skip
  uncertainty = max(sum(part.uncertainty for part in of_sources), over_documents.error**4 / max(over_documents.documents - 1, 1.0))
  return Part(sum(part.variance for part in of_sources), uncertainty)


def _labels(runs: Sequence, shared: bool) -> tuple[int, ...] | None:
  return tuple(range(len(runs))) if shared else None


def _estimate(found: Difference, shared: bool) -> Estimate:
  low, high = found.interval(LEVEL)
  own_S, base_S = np.array(found.own_figures), np.array(found.base_figures)
  # Of the changes of single runs: each against that of its seed, or one drawn from each arm.
  spread = np.std(own_S - base_S, ddof=1) if shared else math.hypot(np.std(own_S, ddof=1), np.std(base_S, ddof=1))
  return Estimate(found.value, low, high, float(found.items), own_S.size, float(spread), found.error, found.p, base_S.size, found)
