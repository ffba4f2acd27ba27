"""The paper's aggregates at 470M, to show beside an arm of the same name.

Aryabumi et al., "To Code, or Not To Code?" (arXiv 2408.10914), Table 2: in percent, of models of 470M
parameters after 200B, 400B and 440B tokens.
"""

from __future__ import annotations

import re

COLUMNS = ('Reason.', 'Know.', 'NL Avg', 'Code', 'Total')
# From the last stage back: a cooldown, and what comes before it.
_TABLE: dict[str, tuple[tuple[float, ...], ...]] = {
  'text only': ((54.1, 11.1, 32.6, 4.4, 23.2), (49.0, 9.5, 29.2, 0.4, 19.6)),
  'balanced only': ((53.2, 11.1, 32.1, 8.4, 24.2), (51.8, 8.1, 30.0, 9.0, 23.0)),
  'balanced to text': ((54.9, 10.9, 32.9, 5.8, 23.9), (53.0, 9.9, 31.5, 4.8, 22.6), (52.0, 7.4, 29.6, 7.8, 22.4)),
  'code to text': ((52.1, 10.3, 31.2, 7.5, 23.3), (53.3, 9.5, 31.4, 4.1, 22.3), (44.7, 1.5, 23.1, 15.5, 20.6)),
}


def published(arm: str, position: int, stages: int) -> dict[str, float]:
  """The paper's figures of an arm after a stage, as fractions by column; {} if it has none.

  Args:
    arm: the arm's name; 'balanced_to_text' and 'balanced→text' are the paper's arm, 'balanced_to_text_codefree' is not.
    position: of the stage, from 1.
    stages: of the arm. Its last one is taken for the cooldown, so an arm without one has no figures.
  """
  name = re.sub(r'[\s_\-]+', ' ', arm.lower().replace('→', ' to ')).strip()
  rows = _TABLE.get(name, ())
  from_the_end = stages - position
  # Text and balanced pre-training is one stage in the paper's table, and two in gin/recipes.
  if len(rows) == 3 and stages != 3 or len(rows) == 2 and stages not in (2, 3) or from_the_end >= len(rows):
    return {}
  return {column: value / 100 for column, value in zip(COLUMNS, rows[from_the_end], strict=True)}


# Figure 4: models of 470M parameters after 200B tokens from scratch, by the share of code; in percent.
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
_BY_SHARE: dict[str, tuple[float, ...]] = {
  'NL reasoning': (50.19, 51.93, 51.71, 50.90, 46.21, 41.00),
  'World knowledge': (9.13, 8.82, 7.58, 6.30, 4.65, 1.27),
  'Code': (0.21, 4.13, 5.85, 8.46, 9.56, 10.67),
}


def published_by_share(group: str) -> dict[float, float]:
  """The paper's scores of a group of tasks in its sweep over the share of code, as fractions by share; {} if it has none.

  Args:
    group: as the tables of the report call it.
  """
  return {share: value / 100 for share, value in zip(SHARES, _BY_SHARE.get(group, ()), strict=False)}
