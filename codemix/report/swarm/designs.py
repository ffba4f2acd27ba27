"""The regressions of a swarm: on the share of code alone, and with the departures of the other domains from their proportion."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np

from codemix.inference import composition
from codemix.inference.regression import Design, design
from codemix.report.swarm.columns import domain_groups, few
from codemix.report.swarm.files import Swarm

ALONE = 'alone'
RUNS_A_REGRESSOR = 3  # fewer runs for each regressor leave too little to estimate the noise from
RARE = 5  # runs; domains that fewer draw on share a coefficient: a run that alone draws on a domain decides its coefficient, and shows no noise
RANGE = (0.1, 0.9)  # quantiles of the share of code between which the shape is read off
GRID = 61  # points of a drawn curve


@dataclasses.dataclass(frozen=True)
class Adjustment:
  """What the regression holds besides the share of code.

  Attributes:
    name: 'alone', 'groups' or 'domains'.
    label: for a table.
    departures_NxK: of K groups of domains from their proportion, of all runs.
  """

  name: str
  label: str
  departures_NxK: np.ndarray


class Designs:
  """The regressions of a swarm, made once for each set of runs that figures are known of.

  Attributes:
    adjustments: those that the runs suffice for, from none to the finest.
    main: the one that decides; the coarsest adjustment, since code alone takes the effects of other domains for its own.
    notes: a sentence for each adjustment that is not made.
    knots: of the curve; () for a quadratic one.
  """

  def __init__(self, swarm: Swarm):
    self.code_N = swarm.code_N
    self.knots = composition.knots(self.code_N)
    self.low, self.high = np.quantile(self.code_N, RANGE).tolist()
    self.grid_P = np.linspace(self.code_N.min(), self.code_N.max(), GRID)
    self._kept: dict[tuple[str, bytes], Design | None] = {}
    self.adjustments, self.notes = _adjustments(swarm, self.code_N)
    for each in self.adjustments[1:]:
      if not self.slope(each, np.ones(self.code_N.size, bool)):
        self.notes.append(f'Not adjusted for {each.label}: beside them the effect of code is not identified, or one run alone decides a coefficient.')
    self.adjustments = [each for each in self.adjustments if each.name == ALONE or self.slope(each, np.ones(self.code_N.size, bool))]
    self.main = self.adjustments[min(1, len(self.adjustments) - 1)]

  @property
  def names(self) -> list[str]:
    return [each.name for each in self.adjustments]

  def slope(self, adjustment: Adjustment, known_N: np.ndarray) -> Design | None:
    """Of the share of code; None if these runs do not identify it."""
    return self._once(f'slope {adjustment.name}', known_N, lambda: (self.code_N[:, None], self._others(adjustment)))

  def bend(self, known_N: np.ndarray) -> Design | None:
    """Of what a curve has besides the line."""
    line_Nx2 = np.stack([np.ones_like(self.code_N), self.code_N], axis=1)
    return self._once('bend', known_N, lambda: (self._bends(self.code_N), np.hstack([line_Nx2, self.main.departures_NxK])))

  def shape(self, curved: bool, known_N: np.ndarray) -> Design | None:
    """Of the whole line or curve, its intercept included."""
    return self._once(f'shape {curved}', known_N, lambda: (self.columns(self.code_N, curved), self.main.departures_NxK))

  def columns(self, share_N: np.ndarray, curved: bool) -> np.ndarray:
    """What `shape` has coefficients of, at these shares of code."""
    share_N = np.asarray(share_N, np.float64)
    line_Nx2 = np.stack([np.ones_like(share_N), share_N], axis=1)
    return np.hstack([line_Nx2, self._bends(share_N)]) if curved else line_Nx2

  @functools.cached_property
  def explained(self) -> Mapping[str, float]:
    """By adjustment: the share of the variance of code that the other domains' departures explain."""
    everything_N = np.ones(self.code_N.size, bool)
    found = {each.name: self.slope(each, everything_N) for each in self.adjustments}
    return {name: float(each.explained_Q[0]) for name, each in found.items() if each}

  def _bends(self, share_N: np.ndarray) -> np.ndarray:
    return composition.bends(share_N, self.knots)

  def _others(self, adjustment: Adjustment) -> np.ndarray:
    return np.hstack([np.ones((self.code_N.size, 1)), adjustment.departures_NxK])

  def _once(self, name: str, known_N: np.ndarray, columns) -> Design | None:
    key = name, known_N.tobytes()
    if key not in self._kept:
      wanted_NxQ, others_NxK = columns()
      self._kept[key] = design(wanted_NxQ[known_N], others_NxK[known_N])
    return self._kept[key]


def _adjustments(swarm: Swarm, code_N: np.ndarray) -> tuple[list[Adjustment], list[str]]:
  groups = domain_groups(swarm.others)
  finer = len(swarm.others) > len(groups)
  wanted = [('groups', 'groups of domains' if finer else 'domains', f'the {len(groups)} groups of other domains' if finer else f'the {len(groups)} other domains', groups)]
  if finer:
    wanted.append(('domains', 'domains', f'each of the {len(swarm.others)} other domains', {domain: [domain] for domain in swarm.others}))
  found, notes, pooled = [Adjustment(ALONE, 'nothing else', np.zeros((code_N.size, 0)))], [], []
  for name, what, label, members in wanted:
    rest_NxG, told = _pooled(np.stack([_share(swarm, each) for each in members.values()], axis=1), list(members), what)
    pooled += told
    if rest_NxG.shape[1] == 1:
      continue  # it takes what code leaves: there is nothing to adjust for
    regressors = rest_NxG.shape[1] + 1
    if code_N.size < RUNS_A_REGRESSOR * regressors:
      notes.append(f'Not adjusted for {label}: {code_N.size:,} runs are fewer than {RUNS_A_REGRESSOR} for each of {regressors} coefficients.')
    else:
      found.append(Adjustment(name, label, composition.departures(rest_NxG)))
  return found, [*notes, *pooled]


def _pooled(rest_NxG: np.ndarray, names: Sequence[str], what: str) -> tuple[np.ndarray, list[str]]:
  """(the shares with those that few runs draw on in one column, a sentence about it).

  If few runs draw on that column too, it is one with the column that the fewest runs draw on besides.
  """
  runs_G = (rest_NxG > 0).sum(axis=0)
  rare_G = runs_G < RARE
  if not rare_G.any() or len(names) == 1:
    return rest_NxG, []
  rare = [name for name, is_rare in zip(names, rare_G, strict=True) if is_rare]
  beside = ''
  if (rest_NxG[:, rare_G].sum(axis=1) > 0).sum() < RARE and not rare_G.all():
    fewest = min(np.flatnonzero(~rare_G), key=lambda group: (runs_G[group], rest_NxG[:, group].sum()))
    rare_G[fewest], beside = True, f' with {names[fewest]}'
  pooled_NxG = np.column_stack([rest_NxG[:, ~rare_G], rest_NxG[:, rare_G].sum(axis=1)])
  count, are = (f'{len(rare):,} {what}', 'are') if len(rare) > 1 else (f'1 of the {what}', 'is')
  return pooled_NxG, [f'{count} that fewer than {RARE} runs draw on {are} taken as one{beside} in the adjustment: {few(rare)}.']


def _share(swarm: Swarm, domains: Sequence[str]) -> np.ndarray:
  return swarm.shares_NxD[:, [swarm.domains.index(domain) for domain in domains]].sum(axis=1)
