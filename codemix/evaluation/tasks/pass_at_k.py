"""pass@k: the probability that at least one of k samples of a problem is right."""

from __future__ import annotations

import math

KS = (1, 10, 100)


def pass_at_k(samples: int, right: int, k: int) -> float:
  """The unbiased estimate 1 - C(n - c, k) / C(n, k) of Chen et al. (arXiv:2107.03374), as a product.

  Args:
    samples: n, the completions of the problem; at least k.
    right: c, those that passed.
    k: at least 1.
  """
  if not 1 <= k <= samples or not 0 <= right <= samples:
    raise ValueError(f'pass@{k} of {right} right of {samples} samples')
  if samples - right < k:
    return 1.0
  return 1.0 - math.prod(1.0 - k / i for i in range(samples - right + 1, samples + 1))
