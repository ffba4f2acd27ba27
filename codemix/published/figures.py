"""Which of its models the paper draws side by side: Figures 2, 3, 5 and 6, in their order of bars.

Figure 4 is `models.BY_SHARE`; Figures 7 to 9 are in `win_rates`.
"""

from __future__ import annotations

import dataclasses

from codemix.published import models
from codemix.published.models import HEADINGS, PublishedModel


@dataclasses.dataclass(frozen=True)
class PublishedFigure:
  """Bars of some models in a panel for each group of tasks.

  Attributes:
    source: what the paper calls it.
    title: what its models differ in.
    models: in the order of their bars.
    columns: the panels, names in `models.HEADINGS`.
  """

  source: str
  title: str
  models: tuple[PublishedModel, ...]
  columns: tuple[str, ...] = tuple(HEADINGS)

  @property
  def name(self) -> str:
    """'figure-5a': what files are called."""
    return self.source.lower().replace(' ', '-')


FIGURES: tuple[PublishedFigure, ...] = (
  PublishedFigure('Figure 2', 'initialization, without cooldown', (models.TEXT_ONLY, models.BALANCED_ONLY, models.BALANCED_TO_TEXT, models.CODE_TO_TEXT)),
  PublishedFigure('Figure 3', 'scale, without cooldown', (
    models.BALANCED_ONLY, models.LARGER_BALANCED_ONLY, models.BALANCED_TO_TEXT, models.LARGER_BALANCED_TO_TEXT,
    models.CODE_TO_TEXT, models.LARGER_CODE_TO_TEXT,
  )),
  PublishedFigure('Figure 5a', 'kinds of code, code alone', (models.CODE_WEB, models.CODE_MARKUP, models.CODE_ADJACENT, models.CODE_SYNTHETIC), ('Reason.', 'Code')),
  PublishedFigure('Figure 5b', 'synthetic code, continued on text', (models.WITHOUT_SYNTHETIC, models.WITH_SYNTHETIC), ('Reason.', 'Code')),
  PublishedFigure('Figure 6', 'code in the cooldown', (models.BALANCED_TO_TEXT, models.COOLED_WITHOUT_CODE, models.BALANCED_TO_TEXT_COOLED)),
)  # fmt: skip
