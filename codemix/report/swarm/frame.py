"""Every figure of a swarm's report as a data frame: `swarm.csv`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codemix.report.swarm.content import Content
from codemix.report.swarm.effects import Effect

if TYPE_CHECKING:
  import pandas as pd


def frame(content: Content) -> pd.DataFrame:
  """A row for each group, then for each task. Changes are of the figure, for 10 points more code unless the column's name says otherwise."""
  import pandas as pd

  rows = [_row(content, 'group', effect) for effect in content.groups] + [_row(content, 'task', effect) for effect in content.tasks]
  return pd.DataFrame(rows)


def _row(content: Content, kind: str, effect: Effect) -> dict[str, object]:
  nan = float('nan')
  row = {'kind': kind, 'name': effect.name, 'tasks': len(effect.tasks), 'runs': effect.runs, 'mean': effect.mean, 'verdict': effect.verdict, 'adjusted_for': effect.main}
  for name in content.designs.names:
    slope = effect.slopes.get(name)
    low, high = slope.interval() if slope else (nan, nan)
    row |= {f'change_{name}': slope.value if slope else nan, f'error_{name}': slope.error if slope else nan, f'low_{name}': low, f'high_{name}': high, f'p_{name}': slope.p if slope else nan}
  row |= {'p_holm': effect.p, 'p_permutations': effect.permuted, 'p_of_line_holm': effect.bend_p, 'shape': 'curve' if effect.shape.curved else 'line'}
  ends = content.designs.low, (content.designs.low + content.designs.high) / 2, content.designs.high
  for half, start, stop, change in zip(('lower', 'upper'), ends[:-1], ends[1:], effect.shape.halves, strict=True):
    low, high = change.interval()
    row |= {f'{half}_from': start, f'{half}_to': stop, f'{half}_change': change.value, f'{half}_low': low, f'{half}_high': high}
  found = effect.influence
  return row | {'least_without_a_run': found.low, 'largest_without_a_run': found.high, 'most_moved_without': found.run, 'moved_to': found.without}
