"""How often the intervals for the share of code hold the true effect, on constructed swarms: `python -m tests.inference.regression_coverage`.

The share of code is skewed, as in real swarms: most mixtures have little. In confounded swarms, mixtures with more code have more of one group of domains, and
that group has an effect. The figures of many swarms of the same shares are drawn and regressed at once; the regression on code alone needs other shares for
each swarm, since chance departures of the other domains are a part of its noise.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from codemix.inference import composition
from codemix.inference.regression import design, fit

SWARMS = 2000
SHARE_SETS = 20  # for the adjusted regression
CODE_EFFECT = -0.5  # for all of the mixture, beside groups without effect
GROUP_EFFECT = 1.5  # of the first group, for all of the mixture


@dataclasses.dataclass(frozen=True)
class Scenario:
  """A swarm.

  Attributes:
    runs, groups: their numbers, without code.
    confounded: whether mixtures with more code have more of the first group in the rest.
    noise: 'equal', 'unequal' (ten times larger for much code than for none) or 'heavy' (Student's t of 4 degrees of freedom).
  """

  name: str
  runs: int
  groups: int = 6
  confounded: bool = False
  noise: str = 'equal'

  def shares(self, number: int) -> tuple[np.ndarray, np.ndarray]:
    """(code [N], rest [N, G]) of one swarm; each run sums to 1."""
    generator = np.random.default_rng([number, self.runs, self.groups, self.confounded])
    code_N = np.minimum(generator.exponential(0.06, self.runs), 0.6)
    code_N[generator.random(self.runs) < 0.1] = 0.0
    weights_NxG = generator.gamma(1.0, size=(self.runs, self.groups))
    if self.confounded:
      weights_NxG[:, 0] *= np.exp(12 * code_N)
    return code_N, (1 - code_N)[:, None] * weights_NxG / weights_NxG.sum(axis=1, keepdims=True)

  def figures(self, code_N: np.ndarray, rest_NxG: np.ndarray, generator: np.random.Generator, count: int) -> np.ndarray:
    """[count, N]: linear in the shares, and noise."""
    shape = count, code_N.size
    noise = generator.standard_t(4, shape) if self.noise == 'heavy' else generator.standard_normal(shape)
    scale_N = 0.02 + 0.3 * code_N if self.noise == 'unequal' else 0.05
    return 1.2 + CODE_EFFECT * code_N + GROUP_EFFECT * rest_NxG[:, 0] + scale_N * noise


SCENARIOS = (
  Scenario('20 runs', 20, groups=4),
  Scenario('40 runs', 40),
  Scenario('60 runs, 18 groups', 60, groups=18),
  Scenario('127 runs, 23 groups', 127, groups=23),
  Scenario('127 runs, unequal variances', 127, noise='unequal'),
  Scenario('512 runs', 512),
  Scenario('512 runs, unequal variances', 512, noise='unequal'),
  Scenario('512 runs, heavy tails', 512, noise='heavy'),
  Scenario('512 runs, confounded', 512, confounded=True),
  Scenario('512 runs, confounded, unequal variances', 512, confounded=True, noise='unequal'),
)


@dataclasses.dataclass(frozen=True)
class Coverage:
  """Of one regression over all swarms: how often the interval holds the truth, and the mean slope less the truth."""

  holds: float
  bias: float


def coverage(scenario: Scenario, adjusted: bool, swarms: int = SWARMS) -> Coverage:
  """The truth is the effect in Cox's direction: code takes from every group in proportion."""
  from scipy.special import stdtrit

  sets = SHARE_SETS if adjusted else swarms
  generator = np.random.default_rng([7, scenario.runs, *scenario.noise.encode()])
  holds, biases = [], []
  for number in range(sets):
    code_N, rest_NxG = scenario.shares(number)
    truth = CODE_EFFECT - GROUP_EFFECT * float(composition.reference(rest_NxG)[0])
    departures = [composition.departures(rest_NxG)] if adjusted else []
    regressors = design(code_N[:, None], np.hstack([np.ones((scenario.runs, 1)), *departures]))
    found = fit(regressors, scenario.figures(code_N, rest_NxG, generator, swarms // sets))
    value_T, error_T, freedom = found.combination(np.ones(1))
    holds.append(np.abs(value_T - truth) <= float(stdtrit(freedom, 0.975)) * error_T)
    biases.append(value_T - truth)
  return Coverage(float(np.concatenate(holds).mean()), float(np.concatenate(biases).mean()))


def false_curves(scenario: Scenario, swarms: int = SWARMS) -> float:
  """How often the test of the shape calls the line, which is the truth here, a curve at 5%."""
  generator = np.random.default_rng([8, scenario.runs, *scenario.noise.encode()])
  found = []
  for number in range(SHARE_SETS):
    code_N, rest_NxG = scenario.shares(number)
    others = np.column_stack([np.ones(scenario.runs), code_N, composition.departures(rest_NxG)])
    regressors = design(composition.bends(code_N, composition.knots(code_N)), others)
    found.append(fit(regressors, scenario.figures(code_N, rest_NxG, generator, swarms // SHARE_SETS)).p_of_zeros() <= 0.05)
  return float(np.concatenate(found).mean())


if __name__ == '__main__':
  print('| swarm | adjusted: covers | bias | by itself: covers | bias | line called a curve |\n| --- | ---: | ---: | ---: | ---: | ---: |')
  for each in SCENARIOS:
    cells = [f'{100 * found.holds:.1f}% | {found.bias:+.3f}' for found in (coverage(each, True), coverage(each, False))]
    print(f'| {each.name} | {" | ".join(cells)} | {100 * false_curves(each):.1f}% |')
