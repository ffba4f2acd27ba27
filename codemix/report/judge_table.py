"""The table of judged pairs, with what the paper prints of its own below those that stand for them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from codemix import formatting
from codemix.published.win_rates import WinRates
from codemix.report.content import Content
from codemix.report.judged_pairs import Verdicts, papers
from codemix.report.table import Cell, Line, Table, once

_JUDGED = ('win', 'loss', 'tie', 'win_rate', 'win_rate_equal_length')


@once
def judged(content: Content) -> Table:
  """What judges decided."""
  caption = (
    'Pairwise verdicts on the model’s answers against those of the other model. Win rate: wins, and ties as half, with its 95% interval over prompts; '
    'at equal length: the same, without the part that the length of the answers explains. Judged: prompts with a verdict in both orders; others are left out.'
  )
  header = [Cell(name) for name in ('Stage', 'Win', 'Loss', 'Tie', 'Win rate', 'At equal length', 'Judged')]
  lines = []
  for name, stored in content.suite.judges.items():
    lines.append(Line([Cell(name)], 'group'))
    for node in content.nodes:
      if node.stage.folder in stored:
        found = stored[node.stage.folder].scores
        cells = [Cell(formatting.percent(_as_number(found.get(key)))) for key in _JUDGED]
        low, high = (_as_number(found.get(end)) for end in ('win_rate_low', 'win_rate_high'))
        if formatting.known(low) and formatting.known(high):
          cells[3] = Cell(cells[3].text, [f'{formatting.points(low)} … {formatting.points(high)}'])
        lines.append(Line([Cell(node.stage.name, [node.users]), *cells, _judged_prompts(found)]))
        if match := papers(content, node.stage.folder, name):
          lines.append(_papers_line(*match))
  return Table(caption, header, lines)


def _papers_line(pair: WinRates, verdicts: Verdicts) -> Line:
  """What the paper prints of a pair; its win rate counts a tie as half, too."""
  shares = [verdicts.first_wins, verdicts.second_wins, verdicts.tie, verdicts.first_wins + verdicts.tie / 2]
  label = Cell('the paper, 470M', [f'{pair.first.label} v {pair.second.label}, {pair.source}'])
  return Line([label, *(Cell(formatting.percent(share)) for share in shares), Cell(formatting.UNKNOWN), Cell(formatting.UNKNOWN)], 'seed')


def _judged_prompts(found: Mapping[str, float]) -> Cell:
  """'198 of 200', and how many verdicts are missing."""
  if not {'judged', 'prompts'} <= found.keys():
    return Cell(formatting.UNKNOWN)
  missing = {'not parsed': found.get('unparsed', 0), 'not asked': found.get('not_asked', 0)}
  return Cell(f'{int(found["judged"]):,} of {int(found["prompts"]):,}', [f'{int(count):,} {what}' for what, count in missing.items() if count])


def _as_number(value: object) -> float:
  return value if isinstance(value, (int, float)) else math.nan
