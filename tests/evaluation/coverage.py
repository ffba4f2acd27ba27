"""How often 95% intervals hold the true value, by simulation: the tables of docs/method.md.

    python -m tests.evaluation.coverage

Documents have sizes of a distribution, and a rate (nats per byte) each with a coefficient of
variation of 0.22. The second model is 2% better, by 5% more or less on each document. Where the rate
"falls with size", it is proportional to size^-0.1, and the change to size^-0.02: long documents are
then unlike short ones, and a sample without the longest ones is off.

'Percentile' is the interval that codemix had before: 2.5% to 97.5% of the figure over resamples of
whole documents.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from codemix.evaluation.statistics import Estimate
from tests.evaluation.intervals import bits_per_byte_interval, relative_change

TRIALS = 1000
RESAMPLES = 400
COUNTS = (30, 100, 300, 1000)
RATE, BETTER = 0.7, 0.98
# (shape: how sizes are drawn; their mean to the power p, by p)
SIZES = {
  'normal, CV 0.25': (
    lambda g, n: np.maximum(1.0, g.normal(1000, 250, n)),
    lambda p: np.mean(np.maximum(1.0, 1000 + 250 * _normal_quantiles()) ** p),
  ),
  'lognormal, sigma 1': (lambda g, n: g.lognormal(6, 1, n), lambda p: np.exp(6 * p + p * p / 2)),
  'lognormal, sigma 2': (lambda g, n: g.lognormal(6, 2, n), lambda p: np.exp(6 * p + 2 * p * p)),
  'Pareto, alpha 1.5': (lambda g, n: 100 * (1 + g.pareto(1.5, n)), lambda p: 100**p * 1.5 / (1.5 - p)),
}


@dataclasses.dataclass(frozen=True)
class Sample:
  """Documents of one trial, and what their figures estimate."""

  sizes_N: np.ndarray
  base_N: np.ndarray
  better_N: np.ndarray


@dataclasses.dataclass(frozen=True)
class Case:
  sizes: str
  count: int
  power: float  # rate is proportional to size^power

  def samples(self, trials: int = TRIALS) -> Iterator[Sample]:
    draw, _ = SIZES[self.sizes]
    for trial in range(trials):
      generator = np.random.default_rng([trial, self.count, list(SIZES).index(self.sizes)])
      sizes_N = draw(generator, self.count)
      base_N = RATE * sizes_N ** (1 + self.power) * generator.gamma(20, 1 / 20, self.count)
      better_N = BETTER * base_N * sizes_N ** (self.power / 5) * generator.gamma(400, 1 / 400, self.count)
      yield Sample(sizes_N, base_N, better_N)

  @property
  def true_bits(self) -> float:
    _, mean = SIZES[self.sizes]
    return RATE * mean(1 + self.power) / mean(1) / np.log(2)

  @property
  def true_change(self) -> float:
    _, mean = SIZES[self.sizes]
    return BETTER * mean(1 + 1.2 * self.power) / mean(1 + self.power) - 1


def estimates(sample: Sample) -> tuple[Estimate, Estimate]:
  """(bits per byte, change) of one trial as codemix gives them."""
  return (
    bits_per_byte_interval(sample.base_N, sample.sizes_N),
    relative_change(sample.better_N, sample.base_N, sample.sizes_N),
  )


def holds(estimate: Estimate, truth: float) -> bool:
  return estimate.low <= truth <= estimate.high


def percentiles(pairs: Sequence[tuple[np.ndarray, np.ndarray]], seed: int) -> list[tuple[float, float]]:
  """The percentile interval of sum(above) / sum(below) over the same resamples of the documents, for each pair."""
  count = len(pairs[0][0])
  drawn_RxN = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
  drawn_RxN += np.arange(RESAMPLES)[:, None] * count
  times_RxN = np.bincount(drawn_RxN.ravel(), minlength=RESAMPLES * count).reshape(RESAMPLES, count).astype(np.float64)
  ratios = [(times_RxN @ above_N) / (times_RxN @ below_N) for above_N, below_N in pairs]
  return [tuple(np.quantile(ratio_R, [0.025, 0.975])) for ratio_R in ratios]


def row(case: Case, trials: int = TRIALS) -> list[str]:
  """One line of the table."""
  before, now, few, documents = ([], []), ([], []), [], []
  # A ratio of nats is the change plus 1.
  truths = case.true_bits, case.true_change
  for trial, sample in enumerate(case.samples(trials)):
    pairs = (sample.base_N, sample.sizes_N * np.log(2)), (sample.better_N, sample.base_N)
    found = estimates(sample)
    for which, (low, high) in enumerate(percentiles(pairs, trial)):
      before[which].append(low <= truths[which] + which <= high)
      now[which].append(holds(found[which], truths[which]))
    few.append(found[1].rests_on_few)
    documents.append(found[1].documents)
  share = lambda hits: f'{100 * np.mean(hits):.1f}%'
  return [
    case.sizes, f'{case.count:,}', f'{np.median(documents):.0f}', f'{100 * np.mean(few):.0f}%',
    share(before[0]), share(now[0]), share(before[1]), share(now[1]),
  ]  # fmt: skip


def tables() -> list[str]:
  """The two tables in Markdown: rates that do not depend on the size of a document, and rates that do."""
  header = [
    'sizes', 'documents', 'effective (median)', 'marked',
    'bits per byte: percentile', 'now', 'change: percentile', 'now',
  ]  # fmt: skip
  rule = ['---', *['---:'] * (len(header) - 1)]
  written = []
  for power in (0.0, -0.1):
    lines = [header, rule, *(row(Case(sizes, count, power)) for sizes in SIZES for count in COUNTS)]
    written.append('\n'.join(f'| {" | ".join(cells)} |' for cells in lines))
  return written


def _normal_quantiles() -> np.ndarray:
  from scipy.special import ndtri

  return ndtri((np.arange(100_000) + 0.5) / 100_000)


if __name__ == '__main__':
  for kind, table in zip(('The rate does not depend on the size', 'The rate falls with size'), tables(), strict=True):
    print(f'{kind}:\n\n{table}\n')
