"""The parts of the variance of a difference, against plain loops and known components."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemix.inference.crossed import Part, combine, item_part, residual_variance, seed_parts

sizes = st.integers(2, 6)
seeds = st.integers(0, 10**6)


def scores(seed: int, runs: int, items: int) -> np.ndarray:
  return np.random.default_rng(seed).normal(size=(runs, items))


@given(seeds, sizes, sizes)
def test_the_residual_is_what_rows_and_columns_do_not_explain(seed, runs, items):
  given_SxI = scores(seed, runs, items)
  total = 0.0
  for s in range(runs):
    for i in range(items):
      total += (given_SxI[s, i] - given_SxI[s].mean() - given_SxI[:, i].mean() + given_SxI.mean()) ** 2
  assert residual_variance(given_SxI) == pytest.approx(total / ((runs - 1) * (items - 1)))
  rows_and_columns = np.arange(runs)[:, None] + np.arange(items) ** 2
  assert residual_variance(given_SxI + rows_and_columns) == pytest.approx(residual_variance(given_SxI), abs=1e-9)


@given(seeds, sizes, sizes, sizes)
def test_leading_axes_are_trials_of_their_own(seed, own_runs, base_runs, items):
  generator = np.random.default_rng(seed)
  own_TxSxI, base_TxSxI = generator.normal(size=(3, own_runs, items)), generator.normal(size=(3, base_runs, items))
  for trial in range(3):
    for whole, single in zip(
      [*seed_parts(own_TxSxI.mean(2), base_TxSxI.mean(2), False), item_part(own_TxSxI, base_TxSxI, False)],
      [*seed_parts(own_TxSxI[trial].mean(1), base_TxSxI[trial].mean(1), False), item_part(own_TxSxI[trial], base_TxSxI[trial], False)],
      strict=True,
    ):
      assert whole.variance[trial] == pytest.approx(single.variance)
      assert whole.uncertainty[trial] == pytest.approx(single.uncertainty)


def test_the_parts_estimate_the_components_without_bias():
  generator = np.random.default_rng(0)
  trials, own_runs, base_runs, items = 4000, 3, 4, 30
  seed, arm_item, residual = (0.3, 0.5), 0.8, (1.0, 1.5)
  common = 5 * generator.normal(size=(trials, 1, items))
  arms = [
    common * (1 + 0 * number)
    + spread * generator.normal(size=(trials, runs, 1))
    + rest * generator.normal(size=(trials, runs, items))
    + (arm_item * generator.normal(size=(trials, 1, items)) if number else 0)
    for number, (runs, spread, rest) in enumerate(zip((own_runs, base_runs), seed, residual, strict=True))
  ]
  own_part, base_part = seed_parts(arms[0].mean(2), arms[1].mean(2), shared=False)
  # Truncation at 0 would bias the mean: the items' part is far enough above 0 here.
  of_items = item_part(*arms, shared=False)
  for part, variance in (
    (own_part, (seed[0] ** 2 + residual[0] ** 2 / items) / own_runs),
    (base_part, (seed[1] ** 2 + residual[1] ** 2 / items) / base_runs),
    (of_items, arm_item**2 / items),
  ):
    assert np.mean(part.variance) == pytest.approx(variance, rel=0.05)


@given(seeds, sizes)
def test_paired_runs_have_the_variance_of_the_differences(seed, runs):
  own_S, base_S = scores(seed, runs, 1)[:, 0], scores(seed + 1, runs, 1)[:, 0]
  (part,) = seed_parts(own_S, base_S, shared=True)
  covariance = np.cov(own_S, base_S)[0, 1]
  separate = sum(each.variance for each in seed_parts(own_S, base_S, shared=False))
  assert part.variance == pytest.approx(separate - 2 * covariance / runs, abs=1e-12)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 10), st.integers(1, 50)), min_size=1, max_size=5))
def test_the_degrees_of_freedom_lie_between_the_fewest_and_the_sum(parts):
  error, freedom = combine([Part(np.float64(variance), np.float64(variance**2 / own)) for variance, own in parts])
  assert error**2 == pytest.approx(sum(variance for variance, _ in parts))
  assert min(own for _, own in parts) * (1 - 1e-9) <= freedom <= sum(own for _, own in parts) * (1 + 1e-9)


def test_a_variance_that_is_known_has_infinite_degrees_of_freedom():
  _, freedom = combine([Part(np.float64(2.0), np.float64(0.0))])
  assert freedom == np.inf
