"""The difference of two arms in the unit of a claim: points, or bits per byte. All runs of both arms count, whether or not they share seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from codemix.evaluation import statistics
from codemix.inference.arm_scores import ArmScores
from codemix.inference.correlation import LEAST_PAIRS, correlation
from codemix.inference.crossed import combine, seed_parts
from codemix.inference.difference import Difference, difference
from codemix.report.comparison import Measure
from codemix.report.scores import Score, TaskScores
from codemix.report.seed_difference import documents_part

Runs = Mapping[str, str]  # the stage's folder of each run, by its seed


def of_scores(parts: Sequence[tuple[TaskScores, float]], own: Runs, base: Runs, names: tuple[str, str]) -> Difference | None:
  """The difference of a weighted sum of scores, in points; None while an arm has no run that was scored on all tasks.

  Args:
    names: of the arms.
  """
  own, base = (_scored(runs, [task.values for task, _ in parts]) for runs in (own, base))
  if not own or not base:
    return None
  has_items = all(folder in task.correct for task, _ in parts for runs in (own, base) for folder in runs.values())

  def arm(runs: Runs, name: str) -> ArmScores:
    if has_items:
      tasks = tuple(100 * np.stack([task.correct[folder] for folder in runs.values()]) for task, _ in parts)
      return ArmScores(tasks, tuple(weight for _, weight in parts), tuple(runs), name)
    return ArmScores.of(np.array([100 * Score(parts).value(folder) for folder in runs.values()]), tuple(runs), name)

  return difference(arm(own, names[0]), arm(base, names[1]))


def of_bits(measure: Measure, own: Runs, base: Runs, names: tuple[str, str]) -> Difference | None:
  """The difference of bits per byte; None while an arm has no run that was scored.

  The seeds' parts are those of `inference.difference`; the documents' part is the jackknife's (`seed_difference.documents_part`).
  """
  own, base = (_scored(runs, [measure.totals]) for runs in (own, base))
  if not own or not base:
    return None
  shared = [seed for seed in own if seed in base]
  own, base = ({seed: runs[seed] for seed in [*shared, *(seed for seed in runs if seed not in shared)]} for runs in (own, base))
  (own_S, own_SxI), (base_S, base_SxI) = (_figures(measure, runs) for runs in (own, base))
  value = float(own_S.mean() - base_S.mean())
  has_seeds = min(len(own), len(base)) > 1
  paired = len(shared) == len(own) == len(base) and len(shared) >= LEAST_PAIRS
  over = None
  if own_SxI is not None and base_SxI is not None and measure.documents > 1:
    over = statistics.jackknife(value, own_SxI.mean(axis=0) - base_SxI.mean(axis=0), measure.bytes_N, measure.counts)
  has_documents = over is not None and not math.isnan(over.error)
  error, freedom, noise = math.nan, math.nan, 'none'
  if has_seeds:
    of_documents = [documents_part(over, own_SxI, base_SxI, measure.counts, paired)] if has_documents else []
    error, freedom = combine([*seed_parts(own_S, base_S, paired), *of_documents])
    noise = 'seeds and items' if has_documents else 'seeds'
  elif has_documents:
    error, freedom, noise = over.error, max(over.documents - 1, 1.0), 'items only'
  return Difference(
    value=value, error=float(error), freedom=float(freedom), noise=noise, own=names[0], base=names[1],
    own_figures=tuple(own_S.tolist()), base_figures=tuple(base_S.tolist()), own_seeds=tuple(own), base_seeds=tuple(base),
    items=measure.documents if has_documents else 0, paired=paired,
    correlation=correlation(own_S[: len(shared)], base_S[: len(shared)]) if len(shared) > 1 else None,
  )  # fmt: skip


def _scored(runs: Runs, by_folder: Sequence[Mapping[str, object]]) -> dict[str, str]:
  """The runs whose folder each of these has."""
  return {seed: folder for seed, folder in runs.items() if all(folder in of for of in by_folder)}


def _figures(measure: Measure, runs: Runs) -> tuple[np.ndarray, np.ndarray | None]:
  """(bits per byte of each run, float [S]; the same without each document, float [S, N], None if that of a run is not known)."""
  bits, out = zip(*(measure.figure(folder) for folder in runs.values()), strict=True)
  return np.array(bits), None if any(without is None for without in out) else np.stack(out)
