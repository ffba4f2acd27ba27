"""The paper's models, and the scores that it prints of each.

Aryabumi et al., "To Code, or Not To Code?" (arXiv 2408.10914v1): Table 2, the bar labels of Figures 3, 5 and 6, and the points of
Figure 4, which has no labels and was read off to about 0.05 points. Figure 2 shows the rows of Table 2 before the cooldown.
Some sentences of the paper contradict these numbers, such as the 2.8B averages of its section 3.2, which are exchanged; the
tables and figures are what is kept here. All models were trained once, with one seed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

# The columns of Table 2; NL Avg is the mean of Reason. and Know., Total that of Reason., Know. and Code.
COLUMNS = ('Reason.', 'Know.', 'NL Avg', 'Code', 'Total')
# What the figures call the three groups of tasks.
HEADINGS: Mapping[str, str] = {'Reason.': 'NL reasoning', 'Know.': 'World knowledge', 'Code': 'Code'}

SIZES: Mapping[str, float] = {'470M': 470e6, '2.8B': 2.8e9}  # parameters, as the paper rounds them
Size = Literal['470M', '2.8B']
After = Literal['initialization', 'pre-training', 'cooldown', 'cooldown without code']
_CALLED: Mapping[str, str] = {
  'initialization': ', initialization', 'pre-training': '', 'cooldown': ', cooled down', 'cooldown without code': ', cooled down without code',
}  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class PublishedModel:
  """A model of the paper.

  Attributes:
    arm: what the paper calls its recipe; a point of the sweep is '25% code'.
    after: the part of the recipe that it was trained on.
    scores: in percent, by name in `COLUMNS`; a column that is not printed is absent.
    source: the table or figure that prints them.
  """

  arm: str
  after: After
  size: Size
  scores: Mapping[str, float]
  source: str

  @property
  def label(self) -> str:
    """'balanced→text, cooled down'."""
    return f'{self.arm}{_CALLED[self.after]}'

  def score(self, column: str) -> float | None:
    """As a fraction; None if it is not printed."""
    return self.scores[column] / 100 if column in self.scores else None


def _table_2(arm: str, after: After, *scores: float) -> PublishedModel:
  return PublishedModel(arm, after, '470M', dict(zip(COLUMNS, scores, strict=True)), 'Table 2')


def _figure_3(arm: str, *scores: float) -> PublishedModel:
  return PublishedModel(arm, 'pre-training', '2.8B', dict(zip(HEADINGS, scores, strict=True)), 'Figure 3')


def _figure_4(share: float, *scores: float) -> PublishedModel:
  return PublishedModel(f'{100 * share:g}% code', 'pre-training', '470M', dict(zip(HEADINGS, scores, strict=True)), 'Figure 4')


def _figure_5(arm: str, reasoning: float, code: float) -> PublishedModel:
  return PublishedModel(arm, 'pre-training', '470M', {'Reason.': reasoning, 'Code': code}, 'Figure 5')


# Table 2. Text-only and balanced-only read 400B tokens; the other two 200B, and then 200B of 90% text and 10% code; a cooldown is
# 40B of 20% code.
TEXT_ONLY = _table_2('text-only', 'pre-training', 49.0, 9.5, 29.2, 0.4, 19.6)
TEXT_ONLY_COOLED = _table_2('text-only', 'cooldown', 54.1, 11.1, 32.6, 4.4, 23.2)
BALANCED_ONLY = _table_2('balanced-only', 'pre-training', 51.8, 8.1, 30.0, 9.0, 23.0)
BALANCED_ONLY_COOLED = _table_2('balanced-only', 'cooldown', 53.2, 11.1, 32.1, 8.4, 24.2)
BALANCED_TO_TEXT_BEGUN = _table_2('balanced→text', 'initialization', 52.0, 7.4, 29.6, 7.8, 22.4)
BALANCED_TO_TEXT = _table_2('balanced→text', 'pre-training', 53.0, 9.9, 31.5, 4.8, 22.6)
BALANCED_TO_TEXT_COOLED = _table_2('balanced→text', 'cooldown', 54.9, 10.9, 32.9, 5.8, 23.9)
CODE_TO_TEXT_BEGUN = _table_2('code→text', 'initialization', 44.7, 1.5, 23.1, 15.5, 20.6)
CODE_TO_TEXT = _table_2('code→text', 'pre-training', 53.3, 9.5, 31.4, 4.1, 22.3)
CODE_TO_TEXT_COOLED = _table_2('code→text', 'cooldown', 52.1, 10.3, 31.2, 7.5, 23.3)

# Figure 3: the same without cooldown, of 2.8B parameters.
LARGER_BALANCED_ONLY = _figure_3('balanced-only', 54.5, 23.6, 21.8)
LARGER_BALANCED_TO_TEXT = _figure_3('balanced→text', 55.8, 27.1, 12.4)
LARGER_CODE_TO_TEXT = _figure_3('code→text', 57.9, 25.6, 11.7)

# Figure 4: 200B tokens from scratch, by the share of code.
BY_SHARE: Mapping[float, PublishedModel] = {
  0.0: _figure_4(0.0, 50.19, 9.13, 0.21),
  0.25: _figure_4(0.25, 51.93, 8.82, 4.13),
  0.5: _figure_4(0.5, 51.71, 7.58, 5.85),
  0.75: _figure_4(0.75, 50.90, 6.30, 8.46),
  0.9: _figure_4(0.9, 46.21, 4.65, 9.56),
  1.0: _figure_4(1.0, 41.00, 1.27, 10.67),
}

# Figure 5: 200B tokens of code alone; and balanced→text, which in Table 2 has the scores of the one with synthetic code.
CODE_WEB = _figure_5('code', 39.9, 12.7)
CODE_MARKUP = _figure_5('code+markup', 41.0, 10.7)
CODE_ADJACENT = _figure_5('code+adjacent', 42.4, 11.5)
CODE_SYNTHETIC = _figure_5('code+synthetic', 44.7, 15.5)
WITHOUT_SYNTHETIC = _figure_5('balanced→text without synthetic code', 52.0, 3.4)
WITH_SYNTHETIC = _figure_5('balanced+synthetic→text', 53.0, 4.8)

# Figure 6: balanced→text with another cooldown. Its other two bars are rows of Table 2.
COOLED_WITHOUT_CODE = PublishedModel('balanced→text', 'cooldown without code', '470M', {'Reason.': 52.9, 'Know.': 10.2, 'Code': 4.8}, 'Figure 6')


def by_share(heading: str) -> dict[float, float]:
  """The scores of a group of tasks in Figure 4, as fractions, by the share of code; {} if the figure has no such group.

  Args:
    heading: as the figures call the group (`HEADINGS`).
  """
  column = next((column for column, called in HEADINGS.items() if called == heading), None)
  return {share: model.scores[column] / 100 for share, model in BY_SHARE.items()} if column else {}
