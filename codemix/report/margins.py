"""What difference a reader of a report takes for none: the margins of "no difference larger than X" in its tables of changes."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from codemix.checked import Above, Below, checked
from codemix.evaluation.statistics import Estimate
from codemix.inference.equivalence import equivalence


@dataclasses.dataclass(frozen=True)
@checked
class Margins:
  """The largest differences that do not matter; None asks for no equivalence.

  Attributes:
    points: of scores of benchmarks, in hundredths.
    percent: of bits per byte, relative to the baseline.

  Raises UserError for a margin that is not above 0 and below 100.
  """

  points: Annotated[float, Above(0), Below(100)] | None = None
  percent: Annotated[float, Above(0), Below(100)] | None = None


def p_of_equality(figure: Estimate | None, margin: float | None) -> float | None:
  """Of 'the change is as large as the margin', by two one-sided tests; None without a margin, or if nothing is known of the noise of seeds.

  Args:
    margin: in hundredths, as both kinds of change are shown.
  """
  if margin is None or figure is None or figure.difference is None or not figure.difference.error > 0:
    return None
  return equivalence(figure.difference, margin / 100).p
