"""How often a judge preferred the generations of one of the paper's models to those of another.

Aryabumi et al. (arXiv 2408.10914v1), bar labels of Figures 7 to 9: Command-R+ on prompts of Dolly-200 English, of models of 470M
parameters. All are multiples of 1/199 in percent, so one of the 200 prompts was left out.
The text names balanced-only where Figure 9 shows balanced→text, and gives text-only 33.7% against balanced→text where Figure 8
has 34.7%: the figures are what is kept here.
"""

from __future__ import annotations

import dataclasses

from codemix.published import models
from codemix.published.models import PublishedModel


@dataclasses.dataclass(frozen=True)
class WinRates:
  """A comparison of two models.

  Attributes:
    first_wins, second_wins, tie: percent of the prompts.
    source: the figure.
  """

  source: str
  first: PublishedModel
  second: PublishedModel
  first_wins: float
  second_wins: float
  tie: float


TITLES = {'Figure 7': 'cooldown', 'Figure 8': 'initialization, with cooldown', 'Figure 9': 'initialization, without cooldown'}

WIN_RATES: tuple[WinRates, ...] = (
  WinRates('Figure 7', models.BALANCED_TO_TEXT, models.COOLED_WITHOUT_CODE, 22.1, 48.2, 29.6),
  WinRates('Figure 7', models.BALANCED_TO_TEXT, models.BALANCED_TO_TEXT_COOLED, 18.6, 52.3, 29.1),
  WinRates('Figure 8', models.TEXT_ONLY_COOLED, models.BALANCED_ONLY_COOLED, 35.7, 32.7, 31.7),
  WinRates('Figure 8', models.TEXT_ONLY_COOLED, models.BALANCED_TO_TEXT_COOLED, 34.7, 37.7, 27.6),
  WinRates('Figure 8', models.TEXT_ONLY_COOLED, models.CODE_TO_TEXT_COOLED, 33.7, 36.7, 29.6),
  WinRates('Figure 9', models.TEXT_ONLY, models.CODE_TO_TEXT, 25.6, 32.2, 42.2),
  WinRates('Figure 9', models.TEXT_ONLY, models.BALANCED_TO_TEXT, 28.1, 34.7, 37.2),
)
