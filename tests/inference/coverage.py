"""How often 95% intervals of `codemix.inference` hold the true difference, by simulation: the tables of docs/inference.md.

    python -m tests.inference.coverage

Scores are constructed from known components (`codemix.inference.crossed`). The true difference of the arms is 0, so an
interval that misses 0 is a false positive. 'Items only' is the paired test over items of the arms' mean scores, which is what
evaluation harnesses offer, mostly for one run an arm. The last table holds the planned power against the share of studies that find the effect.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from codemix.inference.components import Components
from codemix.inference.correlation import LEAST_PAIRS
from codemix.inference.crossed import combine, item_part, seed_parts
from codemix.inference.power import Design, least_effect

TRIALS = 4000
BATCH = 500  # trials that are drawn at once
SEEDS = ((3, 3), (5, 5), (10, 10), (3, 10))

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
  return generator.standard_normal(shape)


def outliers(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
  """One seed in ten has a spread of 5 SD."""
  return generator.standard_normal(shape) * np.where(generator.random(shape) < 0.1, 5, 1)


def failures(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
  """One seed in ten scores 4 SD less; the mean over all seeds is 0."""
  return generator.standard_normal(shape) - 4 * ((generator.random(shape) < 0.1) - 0.1)


def one_outlier(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
  """The first run is 5 SD off, up or down."""
  drawn = generator.standard_normal(shape)
  drawn[..., 0, :] += 5 * generator.choice([-1, 1], drawn[..., 0, :].shape)
  return drawn


@dataclasses.dataclass(frozen=True)
class Scenario:
  """Two arms of equal mean.

  Attributes:
    own, base: SD over seeds of each arm.
    arm_item, residual: SDs of items (`Components`); residual 0.3 is that of accuracies with few flips.
    own_draw, base_draw: the distribution of the seeds.
    correlation: over seeds that the arms share; None: they share none.
    threshold: scores are 1 if the constructed score is above it, else 0; None: they are not.
  """

  name: str
  own: float
  base: float
  arm_item: float = 0.25
  residual: float = 0.3
  items: int = 200
  own_draw: Draw = normal
  base_draw: Draw = normal
  correlation: float | None = None
  threshold: float | None = None

  def arms(self, seeds: tuple[int, int], trials: int, generator: np.random.Generator, effect: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of both arms, [trials, S, items]; the first is better by `effect`."""
    item = 0.5 * generator.standard_normal((trials, 1, self.items))
    arm_item = self.arm_item / 2**0.5 * generator.standard_normal((2, trials, 1, self.items))
    of_own, of_base = self.own_draw(generator, (trials, seeds[0], 1)), self.base_draw(generator, (trials, seeds[1], 1))
    if self.correlation is not None:
      of_base = self.correlation * of_own + (1 - self.correlation**2) ** 0.5 * of_base
    scores = []
    for number, (of_seed, spread) in enumerate(((of_own, self.own), (of_base, self.base))):
      residual = self.residual * generator.standard_normal((trials, seeds[number], self.items))
      of_arm = item + arm_item[number] + spread * of_seed + residual + (0.0 if number else effect)
      scores.append(of_arm if self.threshold is None else (of_arm > self.threshold).astype(np.float64))
    return scores[0], scores[1]


SCENARIOS = (
  Scenario('seeds as noisy as items', 0.02, 0.02),
  Scenario('seeds noisier', 0.05, 0.05),
  Scenario('items noisier', 0.005, 0.005, arm_item=0.5),
  Scenario('no noise of seeds', 0.0, 0.0),
  Scenario('nothing but the residual', 0.0, 0.0, arm_item=0.0),
  Scenario('SD of seeds 1 : 4', 0.01, 0.04),
  Scenario('SD of seeds 1 : 25', 0.0016, 0.0409, arm_item=0.1),
  Scenario('one seed in ten of both arms has 5 x the SD', 0.02, 0.02, own_draw=outliers, base_draw=outliers),
  Scenario('one seed in ten of one arm is 4 SD low', 0.03, 0.03, own_draw=failures),
  Scenario('always one seed of one arm 5 SD off', 0.02, 0.02, own_draw=one_outlier),
  Scenario('right or wrong, about half', 0.06, 0.06, threshold=0.0),
  Scenario('right or wrong, 164 items, about 4% right', 0.06, 0.06, items=164, threshold=1.1),
)
SHARED = tuple(Scenario(f'shared seeds, correlation {rho:+.1f}', 0.04, 0.04, correlation=rho) for rho in (-0.5, 0.0, 0.5, 0.8))
PLANNED = (
  ('seeds only', Components(seed=0.02)),
  ('seeds as noisy as items', Components(seed=0.02, items=200, arm_item=0.25, residual=0.3)),
  ('seeds noisier', Components(seed=0.05, items=200, arm_item=0.25, residual=0.3)),
  ('items noisier', Components(seed=0.005, items=200, arm_item=0.5, residual=0.3)),
)


@dataclasses.dataclass(frozen=True)
class Found:
  """What the trials' tests found, bool [trials]: whether they call the arms different.

  Attributes:
    crossed: seeds and items, as `difference` has them; False with one run.
    items_only: the paired test over items; False without items.
  """

  crossed: np.ndarray
  items_only: np.ndarray


def decide(own_TxSxI: np.ndarray, base_TxSxI: np.ndarray, shared: bool) -> Found:
  """The tests of T trials at once, by the functions that `difference` calls."""
  from scipy.special import stdtrit

  paired = shared and own_TxSxI.shape[1] >= LEAST_PAIRS
  means = own_TxSxI.mean(axis=2), base_TxSxI.mean(axis=2)
  value_T = means[0].mean(axis=1) - means[1].mean(axis=1)
  items = own_TxSxI.shape[2]
  crossed_T = items_only_T = np.zeros(len(value_T), bool)
  if own_TxSxI.shape[1] > 1:
    parts = seed_parts(*means, paired) + ([item_part(own_TxSxI, base_TxSxI, paired)] if items > 1 else [])
    error_T, freedom_T = combine(parts)
    crossed_T = np.abs(value_T) > stdtrit(freedom_T, 0.975) * error_T
  if items > 1:
    over_items_T = np.std(own_TxSxI.mean(axis=1) - base_TxSxI.mean(axis=1), axis=1, ddof=1) / items**0.5
    items_only_T = np.abs(value_T) > stdtrit(items - 1, 0.975) * over_items_T
  return Found(crossed_T, items_only_T)


def simulate(scenario: Scenario, seeds: tuple[int, int], trials: int = TRIALS, effect: float = 0.0) -> Found:
  """All trials, of one seed of random numbers."""
  generator = np.random.default_rng([*seeds, *scenario.name.encode()])
  batches = [BATCH] * (trials // BATCH) + [trials % BATCH] * (trials % BATCH > 0)
  found = [decide(*scenario.arms(seeds, count, generator, effect), scenario.correlation is not None) for count in batches]
  return Found(np.concatenate([each.crossed for each in found]), np.concatenate([each.items_only for each in found]))


def planned_scenario(name: str, components: Components) -> Scenario:
  """Arms with these components."""
  return Scenario(name, components.seed, components.seed, components.arm_item, components.residual, components.items or 1)


def coverage_rows(scenarios: tuple[Scenario, ...], numbers: tuple[tuple[int, int], ...], trials: int = TRIALS) -> Iterator[list[str]]:
  """A row for each scenario: coverage by seeds, then the items-only test's false positives by seeds, first with one seed an arm."""
  for scenario in scenarios:
    found = [simulate(scenario, seeds, trials) for seeds in numbers]
    of_one = simulate(scenario, (1, 1), trials)
    yield [scenario.name, *(_percent(1 - each.crossed.mean()) for each in found), *(_percent(each.items_only.mean()) for each in (of_one, *found))]


def power_rows(trials: int = TRIALS) -> Iterator[list[str]]:
  """A row for each set of components and number of seeds: least effect at 80%, power found, error."""
  for name, components in PLANNED:
    for seeds in SEEDS:
      effect = least_effect(components, Design(*seeds))
      found = simulate(planned_scenario(name, components), seeds, trials, effect).crossed.mean()
      yield [name, _of(seeds), f'{100 * effect:.2f}', '80.0%', _percent(found), f'{100 * found - 80:+.1f}']


def table(header: list[str], rows: Iterator[list[str]]) -> str:
  """In Markdown."""
  lines = [header, ['---', *['---:'] * (len(header) - 1)], *rows]
  return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)


def _of(seeds: tuple[int, int]) -> str:
  return f'{seeds[0]}' if seeds[0] == seeds[1] else f'{seeds[0]} and {seeds[1]}'


def _percent(share: float) -> str:
  return f'{100 * share:.1f}%'


if __name__ == '__main__':
  for scenarios, numbers in ((SCENARIOS, SEEDS), (SHARED, SEEDS[:3])):
    header = ['arms', *(f'covers: {_of(n)} seeds' for n in numbers), *(f'items only, false: {_of(n)}' for n in ((1, 1), *numbers))]
    print(table(header, coverage_rows(scenarios, numbers)), end='\n\n', flush=True)
  print(table(['components', 'seeds an arm', 'least effect, points', 'planned power', 'found', 'off by'], power_rows()))
