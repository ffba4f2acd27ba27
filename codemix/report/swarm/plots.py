"""A figure against the share of code: every run, the line or curve, and its band. Call within `svg.drawing()`."""

from __future__ import annotations

import numpy as np

from codemix import formatting
from codemix.report import palette, svg
from codemix.report.svg import Picture
from codemix.report.swarm.content import Content
from codemix.report.swarm.effects import Effect
from codemix.report.swarm.tables import p_value, signed

_COLOUR = palette.ARMS[4][0]


def draw(content: Content) -> list[Picture]:
  """A picture for each group. Rings, a full line and dashed edges of the band read without colours."""
  with svg.drawing():
    return [_draw(content, effect, number) for number, effect in enumerate(content.groups)]


def _draw(content: Content, effect: Effect, number: int) -> Picture:
  swarm, shape = content.swarm, effect.shape
  code_N, grid_P = swarm.code_N, content.designs.grid_P
  figure_N = swarm.figures_NxT[:, [swarm.tasks.index(task) for task in effect.tasks]].mean(axis=1)
  drawn = svg.figure(430, 270, margins=(58, 12, 44, 28))
  axes = drawn.add_subplot()
  axes.plot(100 * code_N, figure_N, 'o', markersize=3, markerfacecolor='none', markeredgewidth=0.6, color=palette.MUTED)
  axes.fill_between(100 * grid_P, shape.low_P, shape.high_P, color=_COLOUR, alpha=0.18, linewidth=0)
  for edge_P in (shape.low_P, shape.high_P):
    axes.plot(100 * grid_P, edge_P, color=_COLOUR, linewidth=0.8, linestyle=(0, (3, 2)))
  axes.plot(100 * grid_P, shape.value_P, color=_COLOUR, linewidth=2)
  low, high = np.nanmin(figure_N), np.nanmax(figure_N)
  axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
  axes.set_xlim(left=0)
  axes.set_xlabel('share of code (%)')
  axes.set_ylabel(f'{content.figure} ({"lower" if content.lower_is_better else "higher"} is better)')
  axes.locator_params(nbins=6)
  axes.set_title(svg.short(f'{effect.name}: {effect.verdict}', 52))
  points = [('run', run, *each, float('nan'), float('nan')) for run, *each in zip(swarm.runs, code_N, figure_N, strict=True) if not np.isnan(each[1])]
  fitted = [('fit', '', *each) for each in zip(grid_P, shape.value_P, shape.low_P, shape.high_P, strict=True)]
  header = ('what', 'run', 'code', 'value', 'low', 'high')
  return svg.picture(drawn, f'group{number}', spoken(content, effect), header, [*points, *fitted])


def spoken(content: Content, effect: Effect) -> str:
  """What the picture shows, for those who do not see it."""
  low, high = effect.slope.interval()
  form = 'a curve is better than a line' if effect.shape.curved else 'a line'
  first, second = effect.shape.halves
  return (
    f'{content.figure.capitalize()} of {effect.name} by share of code, {effect.runs:,} models, {effect.verdict}: {signed(effect.slope.value)} for 10 points more code, '
    f'95% interval {signed(low)} to {signed(high)}, p {p_value(effect.p)} by Holm; {form} (p of a line {p_value(effect.bend_p)}): '
    f'{signed(first.value)} over the lower half of the range from {formatting.percent(content.designs.low)} to {formatting.percent(content.designs.high)} of code, '
    f'{signed(second.value)} over the upper half.'
  )
