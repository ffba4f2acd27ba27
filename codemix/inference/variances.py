"""A look at the variances over seeds of several arms, before they are pooled.

The spread over seeds need not be the same in every arm: repeats at a code-only mixture varied 25 times as much as at a
proportional one. `difference` never pools. Pooling is of use for a noise floor and for planning, and this look belongs before it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from codemix.errors import UserError

# With p below it, pooling is refused in words. It is above the usual 5% since the test has little power at a few seeds.
DIFFER = 0.1


@dataclasses.dataclass(frozen=True)
class VarianceLook:
  """How much the arms differ in their spread over seeds.

  Attributes:
    spreads: standard deviation over the seeds of each arm with two runs or more.
    ratio: of the largest to the smallest of them; infinite if one is 0.
    p: of equal variances by Bartlett's test (Proc. Royal Society A 160, 1937), which assumes normal figures; NaN with fewer than
      two arms, 0 if some spreads are 0 and others are not.
  """

  spreads: Mapping[str, float]
  ratio: float
  p: float

  @property
  def differ(self) -> bool:
    """Whether the arms should not be pooled. False does not show that they are equal: with 3 seeds a ratio of 4 mostly goes unseen."""
    return self.p < DIFFER

  def __str__(self) -> str:
    shown = ', '.join(f'{name} {spread:.3g}' for name, spread in self.spreads.items())
    if np.isnan(self.p):
      return f'SD over seeds: {shown}'
    verdict = 'they differ, do not pool them' if self.differ else 'no difference was found, which few seeds would not show'
    return f'SD over seeds: {shown} (ratio {self.ratio:.3g}, p = {self.p:.3g}: {verdict})'


def look(arms: Mapping[str, np.ndarray]) -> VarianceLook:
  """Compares the variances of the arms' figures.

  Args:
    arms: the figures of each arm's runs by name, float [S].

  Raises UserError if no arm has two runs.
  """
  known = {name: np.asarray(figures_S, np.float64) for name, figures_S in arms.items() if len(figures_S) > 1}
  if not known:
    raise UserError('no arm has two runs, so there is no variance over seeds to look at.')
  spreads = {name: float(figures_S.std(ddof=1)) for name, figures_S in known.items()}
  least, most = min(spreads.values()), max(spreads.values())
  ratio = most / least if least else (1.0 if not most else np.inf)
  return VarianceLook(spreads, float(ratio), _bartlett(list(known.values()), least, most))


def _bartlett(known: list[np.ndarray], least: float, most: float) -> float:
  if len(known) < 2:
    return float('nan')
  if not least:
    return 0.0 if most else 1.0
  from scipy.stats import bartlett

  return float(bartlett(*known).pvalue)
