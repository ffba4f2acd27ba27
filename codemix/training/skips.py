"""Steps that are read but not learned from: those that are not finite, and those around a spike of the loss.

A skipped step keeps its place: it has its rows, its rate and its number, and the parameters and moments stay as they
were. So the position in the data stays arithmetic, and what is drawn is what was planned. `optax.apply_if_finite` is
not used: it would not count a skipped step, with which the position would be lost, and it applies the update after
too many errors. That steps around a spike are skipped on the way again, from a checkpoint before them, is what
Chowdhery et al. (PaLM, arXiv 2204.02311, section 5.1) did by hand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import numpy as np

from codemix.checked import Above, From, checked

NONFINITE, SPIKE = 'not finite', 'spike'  # why a step was skipped

# Of the median: the least deviation that is assumed, so that losses that hardly vary make no spike of a small rise.
LEAST_DEVIATION = 1e-3


@dataclasses.dataclass(frozen=True)
@checked
class Skips:
  """Which steps of a stage are not learned from. `nonfinite` and `rewinds` are bounds, and not part of its identity.

  A spike is a loss above the median plus `deviations` times the median absolute deviation of the last `window` losses
  of the stage. The stage goes back to a checkpoint before it, and on the way again skips the steps around it.

  Attributes:
    nonfinite: the most steps whose loss or gradient is not finite; one more ends the run.
    rewinds: how often the stage goes back because of a spike; one more spike ends the run.
    window: losses that a loss is compared with; before so many steps of the stage nothing is a spike.
    deviations: how far above the median a spike is.
    before: steps before the spike that are skipped with it.
    after: steps after it that are skipped with it.
  """

  nonfinite: Annotated[int, From(0), 'steps'] = 0
  rewinds: Annotated[int, From(0), 'times'] = 0
  window: Annotated[int, From(8), 'steps'] = 64
  deviations: Annotated[float, Above(0)] = 20.0
  before: Annotated[int, From(0), 'steps'] = 5
  after: Annotated[int, From(0), 'steps'] = 5

  def identity(self) -> dict:
    """What decides the numbers, as plain data; empty if nothing is skipped.

    A run that stays within its bounds ends in the same numbers with higher ones, so a run that a bound has stopped
    goes on when it is raised.
    """
    fields = ('window', 'deviations', 'before', 'after')
    spikes = {name: getattr(self, name) for name in fields} if self.rewinds else None
    return {'nonfinite': self.nonfinite > 0, 'spikes': spikes} if self.nonfinite or self.rewinds else {}


def highest_usual_loss(losses: Sequence[float], skips: Skips) -> float | None:
  """The loss above which the next one is a spike; None if there are too few losses before it."""
  if len(losses) < skips.window:
    return None
  recent = np.asarray(losses[-skips.window :], np.float64)
  median = np.median(recent)
  deviation = np.median(np.abs(recent - median))
  return float(median + skips.deviations * max(deviation, LEAST_DEVIATION * abs(median)))
