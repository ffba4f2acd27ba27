"""Changes of arms with several seeds, against constructed runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from codemix.evaluation import statistics
from codemix.inference.arm_scores import ArmScores
from codemix.inference.difference import difference
from codemix.report import seed_difference
from codemix.report.comparison import Measure
from codemix.report.contrast import Contrast
from codemix.report.scores import Score, TaskScores

SEEDS, ITEMS = 3, 60


def contrast(own: range, base: range) -> Contrast:
  """The stages a0, a1, ... of an arm and b0, b1, ... of the baseline's, by seed."""
  return Contrast({seed: f'a{seed}' for seed in own}, {seed: f'b{seed}' for seed in base})


ALL = contrast(range(SEEDS), range(SEEDS))


def measure_of(nats: dict[str, np.ndarray], sizes: np.ndarray, counts: tuple[int, ...]) -> Measure:
  *out, bytes_out = statistics.leave_one_out(np.vstack([*nats.values(), sizes]), counts)
  totals = {name: (float(nats_N.sum()), float(sizes.sum())) for name, nats_N in nats.items()}
  return Measure(('s',) * len(counts), totals, counts, sizes, dict(zip(nats, out, strict=True)), bytes_out)


def test_a_score_changes_by_the_difference_of_its_arms_with_seeds_and_items():
  correct = {f'{arm}{s}': (np.random.default_rng([s, number]).random(ITEMS) < 0.5 + 0.1 * number).astype(float) for number, arm in enumerate('ba') for s in range(SEEDS)}
  score = Score([(TaskScores({name: of.mean() for name, of in correct.items()}, correct), 1.0)])
  found = score.change(ALL)
  own, base = (ArmScores.of(np.stack([correct[f'{arm}{s}'] for s in range(SEEDS)])) for arm in 'ab')
  expected = difference(own, base)
  assert (found.value, found.low, found.high, found.p) == pytest.approx((expected.value, *expected.interval(), expected.p))
  assert found.seeds == SEEDS and found.documents == ITEMS
  one = score.change(contrast(range(1), range(1)))
  assert one.seeds == 1 and one.p is None and not one.is_effect


def test_arms_that_agree_on_every_item_have_an_interval_with_a_width():
  correct = {name: np.ones(ITEMS) for name in ('a0', 'a1', 'b0', 'b1')}
  found = Score([(TaskScores(dict.fromkeys(correct, 1.0), correct), 1.0)]).change(contrast(range(2), range(2)))
  assert found.low < 0 < found.high and found.p is None and not found.is_effect


@pytest.mark.parametrize('counts', [(ITEMS,), (20, 40)])
def test_bits_per_byte_of_equal_documents_change_as_their_mean_does(counts):
  generator = np.random.default_rng(1)
  rate = generator.gamma(20, 0.7 / 20, ITEMS)
  nats = {f'{arm}{s}': 1000 * rate * (1 + 0.01 * generator.normal()) * generator.gamma(900, 1 / 900, ITEMS) for arm in 'ab' for s in range(SEEDS)}
  found = measure_of(nats, np.full(ITEMS, 1000.0), counts).change(ALL)
  # With equal documents bits per byte are a mean, and the relative change is a difference of scaled means to first order.
  own, base = (np.stack([nats[f'{arm}{s}'] for s in range(SEEDS)]) for arm in 'ab')
  scaled = difference(ArmScores.of(own / base.mean()), ArmScores.of(base * own.mean() / base.mean() ** 2))
  assert found.seeds == SEEDS and found.error == pytest.approx(scaled.error, rel=0.1 if len(counts) > 1 else 0.02)
  assert 0 < found.p <= 1 and found.low < found.value < found.high


def test_seed_luck_widens_the_interval_of_bits_per_byte_beyond_that_over_documents():
  generator = np.random.default_rng(0)
  held_out, documents = [], []
  for _ in range(300):
    rate = generator.gamma(20, 0.7 / 20, ITEMS)
    nats = {f'{arm}{s}': 1000 * rate * (1 + 0.02 * generator.normal()) * generator.gamma(2500, 1 / 2500, ITEMS) for arm in 'ab' for s in range(SEEDS)}
    measure = measure_of(nats, np.full(ITEMS, 1000.0), (ITEMS,))
    found = measure.change(ALL)
    held_out.append(found.low <= 0 <= found.high)
    documents.append(not measure.change(contrast(range(1), range(1))).excludes(0))
  assert np.mean(held_out) == pytest.approx(0.95, abs=0.035)  # three standard errors of 300 trials are 3.8 points
  assert np.mean(documents) < 0.5


def test_stages_without_files_of_documents_have_no_interval():
  nats = {'a0': 700.0, 'a1': 710.0, 'b0': 720.0, 'b1': 700.0}
  measure = Measure(('s',), {name: (of, 1000.0) for name, of in nats.items()}, (10,), np.array([]), {}, np.array([]))
  found = measure.change(contrast(range(2), range(2)))
  assert found.seeds == 2 and math.isnan(found.low) and found.p is None


def test_no_noise_of_items_is_no_estimate():
  assert seed_difference.of_scores([np.ones((2, 5))], [np.ones((2, 5))], [1.0], True) is None


@pytest.mark.parametrize(('own', 'base'), [(range(2), range(2, 5)), (range(3), range(5)), (range(2, 5), range(2))])
def test_all_seeds_of_both_arms_count_whether_or_not_the_arms_share_them(own, base):
  scores = {f'{arm}{s}': np.random.default_rng([s, number]).random(ITEMS) for number, arm in enumerate('ab') for s in range(5)}
  score = Score([(TaskScores({name: of.mean() for name, of in scores.items()}, scores), 1.0)])
  found = score.change(contrast(own, base))
  arms = [ArmScores.of(np.stack([scores[f'{arm}{s}'] for s in of])) for arm, of in (('a', own), ('b', base))]
  expected = difference(*arms)
  assert (found.value, *expected.interval(), found.p) == pytest.approx((expected.value, found.low, found.high, expected.p))
  assert (found.seeds, found.base_seeds) == (len(own), len(base)) and (' against ' in found.in_seeds) == (len(own) != len(base))

  nats = {name: 1000 * (1 + of) for name, of in scores.items()}
  change = measure_of(nats, np.full(ITEMS, 1000.0), (ITEMS,)).change(contrast(own, base))
  figures = {name: of.sum() for name, of in nats.items()}
  assert change.value == pytest.approx(np.mean([figures[f'a{s}'] for s in own]) / np.mean([figures[f'b{s}'] for s in base]) - 1)
  assert change.low < change.value < change.high and (change.seeds, change.base_seeds) == (len(own), len(base))


def test_a_single_run_is_compared_with_the_run_of_its_seed_alone():
  scores = {name: np.random.default_rng(n).random(ITEMS) for n, name in enumerate(('a0', 'b0', 'b1'))}
  score = Score([(TaskScores({name: of.mean() for name, of in scores.items()}, scores), 1.0)])
  found = score.change(contrast(range(1), range(2)))
  assert found.value == pytest.approx(scores['a0'].mean() - scores['b0'].mean()) and found.seeds == 1 and found.p is None
  assert score.change(contrast(range(1), range(1, 2))) is None
