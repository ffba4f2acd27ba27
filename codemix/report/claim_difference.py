"""The difference of two arms in the unit of a claim: points, or bits per byte. All runs of both arms count, whether or not they share seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np

from codemix.evaluation import statistics
from codemix.inference.arm_scores import ArmScores
from codemix.inference.difference import Difference, difference
from codemix.report.comparison import Measure
from codemix.report.contrast import Contrast
from codemix.report.scores import Score, TaskScores
from codemix.report.seed_difference import of_figures


def of_scores(parts: Sequence[tuple[TaskScores, float]], contrast: Contrast, names: tuple[str, str]) -> Difference | None:
  """The difference of a weighted sum of scores, in points; None while an arm has no run that was scored on all tasks.

  Args:
    names: of the arms.
  """
  known = contrast.of(lambda folder: all(folder in task.values for task, _ in parts))
  if not known.own or not known.base:
    return None
  has_items = all(folder in task.correct for task, _ in parts for runs in (known.own, known.base) for folder in runs.values())

  def arm(runs: dict, name: str) -> ArmScores:
    if has_items:
      tasks = tuple(100 * np.stack([task.correct[folder] for folder in runs.values()]) for task, _ in parts)
      return ArmScores(tasks, tuple(weight for _, weight in parts), tuple(runs), name)
    return ArmScores.of(np.array([100 * Score(parts).value(folder) for folder in runs.values()]), tuple(runs), name)

  return difference(arm(known.own, names[0]), arm(known.base, names[1]))


def of_bits(measure: Measure, contrast: Contrast, names: tuple[str, str]) -> Difference | None:
  """The difference of bits per byte; None while an arm has no run that was scored.

  The seeds' parts are those of `inference.difference`; the documents' part is the jackknife's.
  """
  known = contrast.of(lambda folder: folder in measure.totals)
  if not known.own or not known.base:
    return None
  (own_S, own_SxI), (base_S, base_SxI) = (_figures(measure, runs.values()) for runs in (known.own, known.base))
  seeds = tuple(known.own), tuple(known.base)
  found = difference(ArmScores.of(own_S, seeds[0], names[0]), ArmScores.of(base_S, seeds[1], names[1]))
  if own_SxI is None or base_SxI is None or measure.documents < 2:
    return found
  over = statistics.jackknife(found.value, own_SxI.mean(axis=0) - base_SxI.mean(axis=0), measure.bytes_N, measure.counts)
  if math.isnan(over.error):
    return found
  if known.is_crossed:
    return dataclasses.replace(of_figures(over, own_S, base_S, own_SxI, base_SxI, measure.counts, *seeds), own=names[0], base=names[1])
  return dataclasses.replace(found, error=over.error, freedom=max(over.documents - 1, 1.0), noise='items only', items=measure.documents)


def _figures(measure: Measure, folders: Iterable[str]) -> tuple[np.ndarray, np.ndarray | None]:
  """(bits per byte of each run, float [S]; the same without each document, float [S, N], None if that of a run is not known)."""
  bits, out = zip(*map(measure.figure, folders), strict=True)
  return np.array(bits), None if any(without is None for without in out) else np.stack(out)
