"""What the share of code does to each figure of a swarm, with the noise of runs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from codemix.errors import UserError
from codemix.inference import regression
from codemix.inference.difference import LEVEL
from codemix.inference.multiplicity import holm
from codemix.inference.permutation import permutation_test
from codemix.inference.regression import Slope
from codemix.report.swarm.columns import few
from codemix.report.swarm.designs import ALONE, Adjustment, Designs
from codemix.report.swarm.files import Swarm

UNIT = 0.1  # slopes are changes of the figure for 10 points more code
LEAST_RUNS = 20  # with fewer, HC3's intervals hold the true value less often than they say (docs/swarms.md)

Verdict = Literal['falls', 'rises', 'not told apart']


@dataclasses.dataclass(frozen=True)
class Shape:
  """A figure as a function of the share of code, all else in proportion.

  Attributes:
    curved: whether it is the curve; otherwise the line.
    value_P, low_P, high_P: at the points of `Designs.grid_P`, with the 95% band of the mean.
    halves: the change from the low share to the middle, and from there to the high share (`Designs.low`, `high`).
  """

  curved: bool
  value_P: np.ndarray
  low_P: np.ndarray
  high_P: np.ndarray
  halves: tuple[Slope, Slope]


@dataclasses.dataclass(frozen=True)
class Influence:
  """The slope without each run in turn.

  Attributes:
    low, high: the least and the largest of them.
    run: whose absence moves the slope most. without: the slope then.
  """

  low: float
  high: float
  run: str
  without: float


@dataclasses.dataclass(frozen=True)
class Effect:
  """The effect of code on one figure. Slopes are for `UNIT` more of code.

  Attributes:
    name: of the task or group.
    tasks: that the figure is the mean of.
    runs: that have it. mean: over them.
    slopes: by name of the adjustment; those that are identified.
    main: the name of the one that decides.
    p: of no effect, by Holm's method over the figures of its table.
    permuted: the same by permutations.
    bend_p: of a line, against the curve, by Holm's method.
  """

  name: str
  tasks: tuple[str, ...]
  runs: int
  mean: float
  slopes: Mapping[str, Slope]
  main: str
  p: float
  permuted: float
  bend_p: float
  shape: Shape
  influence: Influence

  @property
  def slope(self) -> Slope:
    return self.slopes[self.main]

  @property
  def verdict(self) -> Verdict:
    """What the figure does as code rises; by the corrected p-value."""
    if not self.p <= 1 - LEVEL:
      return 'not told apart'
    return 'falls' if self.slope.value < 0 else 'rises'

  @property
  def permutations_agree(self) -> bool:
    """Whether the permutation test comes to the same verdict."""
    return (self.permuted <= 1 - LEVEL) == (self.p <= 1 - LEVEL)


def task_effects(swarm: Swarm, designs: Designs) -> tuple[list[Effect], list[str]]:
  """(effects, what was left out) of every task. Raises UserError as `group_effects`."""
  return _effects(swarm, designs, {task: ((task,), swarm.figures_NxT[:, number]) for number, task in enumerate(swarm.tasks)})


def group_effects(swarm: Swarm, designs: Designs) -> tuple[list[Effect], list[str]]:
  """(effects, what was left out) of every group of tasks: of the mean of its tasks, each with the same weight, over runs that have all of them.

  A task without any figure is not part of the mean.

  Raises UserError: the share of code does not vary, or no figure is left: too few runs have it, or they do not identify the effect of code.
  """
  known = {task: number for number, task in enumerate(swarm.tasks) if not np.isnan(swarm.figures_NxT[:, number]).all()}
  figures = {}
  for name, members in swarm.groups.items():
    if there := tuple(task for task in members if task in known):
      figures[name] = there, swarm.figures_NxT[:, [known[task] for task in there]].mean(axis=1)
  return _effects(swarm, designs, figures)


@dataclasses.dataclass
class _Found:
  """What the regressions of one figure say, before the corrections."""

  slopes: dict[str, Slope]
  bend_p: float
  permuted: float
  influence: Influence


def _effects(swarm: Swarm, designs: Designs, figures: Mapping[str, tuple[tuple[str, ...], np.ndarray]]) -> tuple[list[Effect], list[str]]:
  if np.ptp(designs.code_N) < 1e-9:
    raise UserError(f'every run of {swarm.sources[0].name} has {100 * designs.code_N[0]:g}% of code, so nothing can be said of its share.')
  kept, left_out = _usable(figures)
  if not kept:
    raise UserError(f'{swarm.sources[1].name} has no figure that varies over {LEAST_RUNS} runs or more which {swarm.sources[0].name} has shares of. {" ".join(left_out)}')
  found: dict[str, _Found] = {}
  patterns = list(_by_runs({name: figures[name][1] for name in kept}))
  for known_N, names in patterns:
    values_TxN = np.stack([figures[name][1][known_N] for name in names])
    found |= dict(zip(names, _of_pattern(swarm, designs, known_N, values_TxN, len(patterns)), strict=True))
  if gone := [name for name in kept if designs.main.name not in found[name].slopes]:
    beside = '' if designs.main.name == ALONE else f' beside that of {designs.main.label}'
    left_out.append(f'{len(gone):,} left out, since their runs do not identify the effect of code{beside}: {few(gone)}.')
  kept = [name for name in kept if name not in gone]
  if not kept:
    raise UserError(f'{swarm.sources[1].name} has no figure whose runs identify the effect of code. {" ".join(left_out)}')
  p = dict(zip(kept, _holm([found[name].slopes[designs.main.name].p for name in kept]), strict=True))
  bend_p = dict(zip(kept, _holm([found[name].bend_p for name in kept]), strict=True))
  return [
    Effect(
      name=name,
      tasks=figures[name][0],
      runs=int((~np.isnan(figures[name][1])).sum()),
      mean=float(np.nanmean(figures[name][1])),
      slopes=found[name].slopes,
      main=designs.main.name,
      p=p[name],
      permuted=found[name].permuted,
      bend_p=bend_p[name],
      shape=_shape(designs, figures[name][1], bend_p[name] <= 1 - LEVEL),
      influence=found[name].influence,
    )
    for name in kept
  ], left_out


def _usable(figures: Mapping[str, tuple[tuple[str, ...], np.ndarray]]) -> tuple[list[str], list[str]]:
  """(names to use, a sentence for each reason to leave some out, and for figures of fewer runs)."""
  counts = {name: int((~np.isnan(figure_N)).sum()) for name, (_, figure_N) in figures.items()}
  scarce = [name for name, count in counts.items() if count < LEAST_RUNS]
  equal = [name for name, (_, figure_N) in figures.items() if name not in scarce and np.nanmax(figure_N) == np.nanmin(figure_N)]
  kept = [name for name in figures if name not in (*scarce, *equal)]
  sentences = []
  if scarce:
    told = few([f'{name} ({counts[name]:,})' for name in scarce])
    sentences.append(f'{len(scarce):,} left out with figures of fewer than {LEAST_RUNS} runs: {told}.')
  if equal:
    sentences.append(f'{len(equal):,} left out, since their figure is the same in all runs: {few(equal)}.')
  total = max((figure_N.size for _, figure_N in figures.values()), default=0)
  if partial := [name for name in kept if counts[name] < total]:
    told = few([f'{name} ({total - counts[name]:,} runs)' for name in partial])
    sentences.append(f'{len(partial):,} have no figure of some runs, which are left out of them: {told}.')
  return kept, sentences


def _by_runs(figures: Mapping[str, np.ndarray]) -> Iterator[tuple[np.ndarray, list[str]]]:
  """(runs, names) of the figures that are known of the same runs."""
  names: dict[bytes, list[str]] = {}
  for name, figure_N in figures.items():
    names.setdefault((~np.isnan(figure_N)).tobytes(), []).append(name)
  for key, of_runs in names.items():
    yield np.frombuffer(key, bool), of_runs


def _of_pattern(swarm: Swarm, designs: Designs, known_N: np.ndarray, values_TxN: np.ndarray, patterns: int) -> list[_Found]:
  """Of T figures that are known of the same runs."""
  slopes: list[dict[str, Slope]] = [{} for _ in values_TxN]
  for adjustment in designs.adjustments:
    if regressors := designs.slope(adjustment, known_N):
      for of_figure, slope in zip(slopes, regression.fit(regressors, values_TxN).slopes([1.0]), strict=True):
        of_figure[adjustment.name] = slope.times(UNIT)
  unknown_T = np.full(len(values_TxN), math.nan)
  bend = designs.bend(known_N)
  bends_T = regression.fit(bend, values_TxN).p_of_zeros() if bend else unknown_T
  main = designs.slope(designs.main, known_N)
  # Permutations are of one set of runs, so several sets are several families of tests (Bonferroni).
  permuted_T = np.minimum(patterns * permutation_test(main, values_TxN).corrected_T, 1.0) if main else unknown_T
  influences = _influences(swarm, designs.main, designs, known_N, values_TxN)
  return [_Found(*each) for each in zip(slopes, bends_T.tolist(), permuted_T.tolist(), influences, strict=True)]


def _influences(swarm: Swarm, adjustment: Adjustment, designs: Designs, known_N: np.ndarray, values_TxN: np.ndarray) -> list[Influence | None]:
  regressors = designs.slope(adjustment, known_N)
  if not regressors:
    return [None] * len(values_TxN)
  found = regression.fit(regressors, values_TxN)
  without_TxN = UNIT * regression.without_each(found)
  most_T = np.abs(without_TxN - UNIT * found.values_TxQ[:, :1]).argmax(axis=1)
  runs = [run for run, known in zip(swarm.runs, known_N, strict=True) if known]
  return [Influence(float(of_N.min()), float(of_N.max()), runs[most], float(of_N[most])) for of_N, most in zip(without_TxN, most_T, strict=True)]


def _shape(designs: Designs, figure_N: np.ndarray, curved: bool) -> Shape:
  from scipy.special import stdtrit

  known_N = ~np.isnan(figure_N)
  found = regression.fit(designs.shape(curved, known_N), figure_N[known_N][None])
  value_P, error_P, freedom_P = (np.array(each, np.float64).ravel() for each in zip(*map(found.combination, designs.columns(designs.grid_P, curved)), strict=True))
  half_P = error_P * stdtrit(freedom_P, (1 + LEVEL) / 2)
  low, middle, high = designs.columns(np.array([designs.low, (designs.low + designs.high) / 2, designs.high]), curved)
  (first,), (second,) = (found.slopes(step) for step in (middle - low, high - middle))
  return Shape(curved, value_P, value_P - half_P, value_P + half_P, (first, second))


def _holm(p: Sequence[float]) -> list[float]:
  """Holm's p-values; a NaN makes no claim and does not count."""
  p_C = np.array(p, np.float64)
  known_C = ~np.isnan(p_C)
  p_C[known_C] = holm(p_C[known_C])
  return p_C.tolist()
