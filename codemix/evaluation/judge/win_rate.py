"""Win, loss and tie of one model against another, with intervals over prompts; and the win rate at equal length."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from codemix.evaluation.judge.verdicts import UNASKED, UNPARSED, Verdict
from codemix.evaluation.statistics import LEVEL

# Of the normal priors on both coefficients of the length model (Gelman et al., Annals of Applied Statistics 2, 2008, use
# the same width): they keep the fit finite where length alone decides every verdict.
_PRIOR_WIDTH = 2.5


def win_rates(verdicts: Sequence[Verdict], first_bytes_N: Sequence[int], second_bytes_N: Sequence[int]) -> dict[str, float]:
  """Scores of the first model over N prompts.

  A prompt whose two orders disagree is a tie. Prompts with an order that is not parsed or not asked are left out of
  the rates and counted. Intervals are Wilson's (Journal of the American Statistical Association 22, 1927); that of the
  win rate is conservative, since scores between 0 and 1 vary less than wins alone.

  Returns:
    `prompts` (N), `judged`; `win`, `loss`, `tie` and `win_rate` (win + tie / 2), each with `_low` and `_high`;
    `unparsed` and `not_asked` (orders); `first_shown` (share of judged orders won by the answer shown first);
    and those of `at_equal_length`. Rates are missing if no prompt is judged.
  """
  scores = [verdict.score for verdict in verdicts]
  judged = [index for index, score in enumerate(scores) if score is not None]
  orders = [order for verdict in verdicts for order in verdict.orders]
  found: dict[str, float] = {
    'prompts': len(verdicts), 'judged': len(judged), 'unparsed': orders.count(UNPARSED), 'not_asked': orders.count(UNASKED),
  }  # fmt: skip
  if not judged:
    return found
  scores_n = np.asarray([scores[index] for index in judged])
  # A score of 0.25 or 0.75: one order a tie, the other not.
  for name, value in (
    ('win', (scores_n > 0.5).mean()), ('loss', (scores_n < 0.5).mean()), ('tie', (scores_n == 0.5).mean()), ('win_rate', scores_n.mean()),
  ):  # fmt: skip
    low, high = _wilson(float(value), len(judged))
    found |= {name: float(value), f'{name}_low': low, f'{name}_high': high}
  pairs = [verdicts[index].orders for index in judged]
  decided = [shown == winner for pair in pairs for shown, winner in zip(('first', 'second'), pair, strict=True) if winner != 'tie']
  if decided:
    found['first_shown'] = float(np.mean(decided))
  gap_n = np.asarray([first_bytes_N[index] - second_bytes_N[index] for index in judged], np.float64)
  return found | at_equal_length(scores_n, gap_n)


def at_equal_length(scores_n: np.ndarray, gap_n: np.ndarray) -> dict[str, float]:
  """The win rate that a logistic model expects where both answers have the same length.

  The model is logit P(win) = a + b tanh(gap / s), s the standard deviation of the gaps, as in length-controlled
  AlpacaEval (Dubois et al., arXiv:2404.04475) without its terms for instructions. The interval is that of a by the
  sandwich estimator (Huber, 1967), which holds for scores that are not 0 or 1.

  Args:
    scores_n: of each prompt, 0 to 1.
    gap_n: bytes of the first answer less those of the second.

  Returns:
    `win_rate_equal_length` with `_low` and `_high`, and `length_effect` (b).
  """
  from scipy.special import expit, stdtrit

  spread = gap_n.std()
  design_nx2 = np.stack([np.ones_like(gap_n), np.tanh(gap_n / spread) if spread else np.zeros_like(gap_n)], axis=1)
  prior_2x2 = np.eye(2) / _PRIOR_WIDTH**2
  coefficients_2 = np.zeros(2)
  for _ in range(50):
    expected_n = expit(design_nx2 @ coefficients_2)
    slope_2 = design_nx2.T @ (scores_n - expected_n) - prior_2x2 @ coefficients_2
    curvature_2x2 = (design_nx2.T * (expected_n * (1 - expected_n))) @ design_nx2 + prior_2x2
    step_2 = np.linalg.solve(curvature_2x2, slope_2)
    coefficients_2 += step_2 / max(1.0, float(np.abs(step_2).max()))  # never more than 1, so that it cannot overshoot
    if np.abs(step_2).max() < 1e-10:
      break
  scatter_nx2 = design_nx2 * (scores_n - expected_n)[:, None]
  inverse_2x2 = np.linalg.inv(curvature_2x2)
  # The prior's curvature counts as information too, so that the interval is not empty where all prompts agree.
  deviation = math.sqrt((inverse_2x2 @ (scatter_nx2.T @ scatter_nx2 + prior_2x2) @ inverse_2x2)[0, 0])
  half = float(stdtrit(max(len(scores_n) - 2, 1), (1 + LEVEL) / 2)) * deviation
  a, b = coefficients_2.tolist()
  rate = lambda logit: float(expit(logit))
  return {
    'win_rate_equal_length': rate(a), 'win_rate_equal_length_low': rate(a - half), 'win_rate_equal_length_high': rate(a + half),
    'length_effect': b,
  }  # fmt: skip


def _wilson(share: float, count: int) -> tuple[float, float]:
  from scipy.special import ndtri

  z2 = float(ndtri((1 + LEVEL) / 2)) ** 2
  centre = (share + z2 / (2 * count)) / (1 + z2 / count)
  half = math.sqrt(z2) / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
  return max(centre - half, 0.0), min(centre + half, 1.0)
