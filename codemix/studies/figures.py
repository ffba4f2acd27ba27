"""The plots of a report, each a small picture that reads at the width of a telephone.

Every function takes plain numbers and returns an inline SVG (see `svg.inline`). Call them within
`svg.drawing()`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from codemix.evaluation.statistics import Estimate
from codemix.studies import palette, svg
from codemix.studies.palette import Paint

if TYPE_CHECKING:
  import pandas as pd
  from matplotlib.axes import Axes

# Points kept of a line: twice the pixels of a panel would not show more.
POINTS = 500
# The smoothing window as a part of the recipe's steps: calms the noise, still shows the bends.
SMOOTHING = 1 / 50
# The fall of the first steps would flatten all that follows: plots by source cut off its top.
OPENING = 1 / 20


@dataclasses.dataclass(frozen=True)
class Path:
  """A recipe's way through the plane of text and code, one point for each evaluated stage."""

  recipe: str
  paint: Paint
  text: Sequence[Estimate]
  code: Sequence[Estimate]
  finished: bool  # whether the last point is that of the recipe's last stage


@dataclasses.dataclass(frozen=True)
class Dots:
  """A recipe's row in a point plot: the figure after its last stage, and those before it."""

  recipe: str
  paint: Paint
  last: Estimate | None
  earlier: Sequence[float] = ()


@dataclasses.dataclass(frozen=True)
class Curves:
  """A recipe's training, one entry per stage: where it starts (steps) and what was logged."""

  stages: Sequence[str]
  starts: Sequence[int]
  steps: int
  metrics: Sequence[pd.DataFrame]
  rates: Sequence[pd.DataFrame]


def trajectories(paths: Sequence[Path], name: str, alt: str) -> str:
  """Bits per byte on text (across) v on code (up), from stage to stage of each recipe."""
  axes = _plane(paths)
  for path in paths:
    x = [point.value for point in path.text]
    y = [point.value for point in path.code]
    style = {'color': path.paint.light, 'linestyle': _linestyle(path.paint)}
    axes.plot(x, y, linewidth=1.3, alpha=0.75, **style)
    axes.plot(x[:-1], y[:-1], 'o', markersize=3.5, color=path.paint.light)
  _name_ends(axes, paths)
  axes.set_title('From stage to stage')
  return svg.inline(axes.figure, name, alt)


def final_points(paths: Sequence[Path], name: str, alt: str) -> str:
  """The same plane, the last points only, each with its two 95% intervals as a cross."""
  axes = _plane(paths)
  for path in paths:
    text, code = path.text[-1], path.code[-1]
    bar = {'color': path.paint.light, 'linewidth': 1.2, 'alpha': 0.5}
    axes.plot([text.low, text.high], [code.value] * 2, **bar)
    axes.plot([text.value] * 2, [code.low, code.high], **bar)
  _name_ends(axes, paths)
  axes.set_title('The last points, with 95% intervals')
  return svg.inline(axes.figure, name, alt)


def point_plot(
  rows: Sequence[Dots], title: str, label: str, name: str, alt: str, zero: bool = False
) -> str:
  """Recipes down, a figure across: a dot with its interval, earlier stages as small rings.

  Args:
    zero: draw a line at 0, for changes; they are fractions and shown in percent.
  """
  scale = 100 if zero else 1
  drawn = svg.figure(430, 70 + 24 * len(rows))
  axes = drawn.add_subplot()
  for height, row in enumerate(rows):
    colour = row.paint.light
    ring = {'markersize': 4, 'markerfacecolor': 'none', 'markeredgecolor': colour, 'alpha': 0.6}
    axes.plot([scale * v for v in row.earlier], [height] * len(row.earlier), 'o', **ring)
    if row.last is not None:
      ends = [scale * row.last.low, scale * row.last.high]
      axes.plot(ends, [height] * 2, color=colour, linewidth=2.4, alpha=0.5)
      axes.plot([scale * row.last.value], [height], 'o', markersize=6.5, color=colour)
  if zero:
    axes.axvline(0, color=palette.MUTED, linewidth=1)
    axes.xaxis.set_major_formatter(lambda value, _: f'{value:+g}%'.replace('-', '\u2212') if value else '0')
  axes.set_yticks(range(len(rows)), [row.recipe for row in rows])
  axes.tick_params(axis='y', labelcolor=palette.INK)
  axes.set_ylim(len(rows) - 0.4, -0.6)
  axes.spines['left'].set_visible(False)
  axes.grid(axis='y', alpha=0.6)
  axes.locator_params(axis='x', nbins=6)
  axes.set_title(title, loc='left')
  axes.set_xlabel(label)
  return svg.inline(drawn, name, alt)


def source_losses(
  source: str, recipes: Mapping[str, Curves], paints: Mapping[str, Paint], name: str, alt: str
) -> str:
  """Smoothed training loss on one source, every recipe that drew on it."""
  drawn = svg.figure(430, 270)
  axes = drawn.add_subplot()
  for recipe, curves in recipes.items():
    for start, metrics in zip(curves.starts, curves.metrics, strict=True):
      steps, _, smooth = _loss_line(metrics, f'loss/{source}', curves.steps)
      style = {'color': paints[recipe].light, 'linestyle': _linestyle(paints[recipe])}
      axes.plot(start + steps, smooth, linewidth=1.4, **style)
  _cut_opening(axes)
  axes.set_title(source)
  axes.set_xlabel('step')
  axes.set_ylabel('loss, nats per token')
  _step_axis(axes)
  return svg.inline(drawn, name, alt)


def recipe_curves(
  recipe: str, curves: Curves, paint: Paint, sources: Mapping[str, Paint], name: str, alt: str
) -> str:
  """One recipe: its loss (raw faint, smoothed strong), its loss by source, its learning rate."""
  drawn = svg.figure(430, 470)
  loss, by_source, rate = drawn.subplots(3, 1, sharex=True, height_ratios=[3, 3, 1.6])
  for start, metrics in zip(curves.starts, curves.metrics, strict=True):
    steps, raw, smooth = _loss_line(metrics, 'loss', curves.steps)
    loss.plot(start + steps, raw, color=paint.light, linewidth=0.6, alpha=0.3)
    loss.plot(start + steps, smooth, color=paint.light, linewidth=1.7)
    for source, colours in sources.items():
      steps, _, smooth = _loss_line(metrics, f'loss/{source}', curves.steps)
      style = {'color': colours.light, 'linestyle': _linestyle(colours)}
      by_source.plot(start + steps, smooth, linewidth=1.4, **style)
  for start, rates in zip(curves.starts, curves.rates, strict=True):
    keep = _thinned(len(rates))
    rate.plot(start + keep, rates['rate'].to_numpy()[keep], color=palette.INK, linewidth=1.2)
  _cut_opening(by_source)
  for axes in (loss, by_source, rate):
    for start in curves.starts[1:]:
      axes.axvline(start, color=palette.MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
  _name_stages(loss, curves)
  loss.set_title(recipe, pad=20)
  loss.set_ylabel('loss, all')
  by_source.set_ylabel('loss, by source')
  rate.set_ylabel('learning rate')
  rate.set_ylim(bottom=0)
  rate.locator_params(axis='y', nbins=3)
  rate.yaxis.set_major_formatter(lambda value, _: f'{value:g}')
  rate.set_xlabel('step')
  rate.set_xlim(0, max(1, curves.steps))
  _step_axis(rate)
  drawn.align_ylabels()
  return svg.inline(drawn, name, alt)


def _plane(paths: Sequence[Path]) -> Axes:
  """Text across, code up, high enough for a name beside each path."""
  axes = svg.figure(460, max(380, 75 + 16 * len(paths))).add_subplot()
  axes.set_xlabel('bits per byte on text   (← better)')
  axes.set_ylabel('bits per byte on code   (← better)')
  axes.margins(0.07)
  axes.locator_params(nbins=6)
  return axes


def _name_ends(axes: Axes, paths: Sequence[Path]) -> None:
  """The last points (rings where more stages are to come), and their names in a column beside."""
  for path in paths:
    fill = path.paint.light if path.finished else 'none'
    dot = {'markersize': 7, 'markerfacecolor': fill, 'markeredgecolor': path.paint.light}
    axes.plot([path.text[-1].value], [path.code[-1].value], 'o', **dot)
  low, high = axes.get_ylim()
  wanted = [(path.code[-1].value - low) / (high - low) for path in paths]
  gap = min(15 / 310, 1 / len(paths))
  for path, at, height in zip(paths, wanted, _spread(wanted, gap), strict=True):
    end = path.text[-1].value, low + at * (high - low)
    axes.annotate(
      path.recipe, xy=end, xytext=(1.03, height), textcoords='axes fraction', va='center',
      fontsize=10.5, color=path.paint.light, annotation_clip=False,
      arrowprops={
        'arrowstyle': '-', 'color': path.paint.light, 'linewidth': 0.5, 'alpha': 0.5,
        'shrinkA': 1, 'shrinkB': 5, 'relpos': (0, 0.5),
      },
    )  # fmt: skip


def _spread(wanted: Sequence[float], gap: float) -> list[float]:
  """Heights near the wanted ones, in the same order, at least `gap` apart, within [0, 1]."""
  order = sorted(range(len(wanted)), key=lambda index: wanted[index])
  placed = [0.0] * len(wanted)
  floor = 0.0
  for index in order:
    placed[index] = floor = max(wanted[index], floor)
    floor += gap
  ceiling = 1.0
  for index in reversed(order):
    placed[index] = min(placed[index], ceiling)
    ceiling = placed[index] - gap
  return placed


def _loss_line(
  metrics: pd.DataFrame, column: str, recipe_steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """(steps of the stage, raw, smoothed) where the column has a value, thinned for drawing."""
  if column not in metrics:
    return np.array([], int), np.array([]), np.array([])
  values = metrics[column].dropna()
  window = max(1, min(round(recipe_steps * SMOOTHING), len(values) // 3))
  smooth = values.rolling(window, center=True, min_periods=1).mean()
  keep = _thinned(len(values))
  return values.index.to_numpy()[keep], values.to_numpy()[keep], smooth.to_numpy()[keep]


def _cut_opening(axes: Axes) -> None:
  """Sets the height so that lines fit from after the first steps on, and the width to the steps."""
  drawn = [line.get_xydata() for line in axes.lines if len(line.get_xdata())]
  if not drawn:
    return
  points_Px2 = np.concatenate(drawn)
  end = points_Px2[:, 0].max()
  later_P = points_Px2[points_Px2[:, 0] >= OPENING * end, 1]
  low, high = points_Px2[:, 1].min(), later_P.max()
  margin = 0.06 * (high - low)
  axes.set_xlim(0, max(1, end))
  if high > low:
    axes.set_ylim(low - margin, high + margin)


def _thinned(length: int) -> np.ndarray:
  """At most POINTS indices into a line of `length` points, the first and the last among them."""
  return np.unique(np.linspace(0, max(0, length - 1), min(length, POINTS)).astype(int))


def _name_stages(axes: Axes, curves: Curves) -> None:
  """Stage names above the plot, each at its stage's start; its number where the name has no room."""
  pixels_a_letter, pixels = 5.3, 340
  ends = [*curves.starts[1:], curves.steps]
  for index, (stage, start, end) in enumerate(zip(curves.stages, curves.starts, ends, strict=True)):
    room = (end - start) / max(1, curves.steps) * pixels
    last = index == len(ends) - 1
    fits = last or len(stage) * pixels_a_letter < room
    # The last stage is often a short cooldown: its name ends where the stage does.
    x, side = (end, 'right') if last and len(stage) * pixels_a_letter > room else (start, 'left')
    axes.annotate(
      stage if fits else str(index + 1), xy=(x, 1), xycoords=('data', 'axes fraction'),
      xytext=(0, 4), textcoords='offset points', ha=side, fontsize=9.5, color=palette.MUTED,
    )  # fmt: skip


def _step_axis(axes: Axes) -> None:
  axes.xaxis.set_major_formatter(lambda value, _: f'{value / 1000:g}k' if value >= 10_000 else f'{value:g}')
  axes.locator_params(axis='x', nbins=6)


def _linestyle(paint: Paint):
  if not paint.dash:
    return '-'
  return (0, tuple(float(length) for length in paint.dash.split()))
