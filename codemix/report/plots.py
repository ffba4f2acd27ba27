"""The plots of a report, each a small picture that reads at the width of a telephone.

Every function takes plain numbers and returns a picture with its numbers (see `svg.picture`). Call
them within `svg.drawing()`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from codemix.evaluation.statistics import Estimate
from codemix.report import palette, svg
from codemix.report.palette import Paint
from codemix.report.svg import Picture

if TYPE_CHECKING:
  import pandas as pd
  from matplotlib.axes import Axes

  from codemix.report.results import StageResults

# Points kept of a line over a recipe's steps: as many as a panel has pixels.
POINTS = 360
# The smoothing window as a part of the recipe's steps: calms the noise, still shows the bends.
SMOOTHING = 1 / 50
# The fall of the first steps would flatten all that follows: plots by source cut off its top.
OPENING = 1 / 20


@dataclasses.dataclass(frozen=True)
class Path:
  """An arm in the plane of text and code.

  Attributes:
    ways: of each seed, (bits per byte on text, on code) after each evaluated stage.
    text, code: after the last evaluated stage, over the seeds.
    finished: whether that is the arm's last stage.
  """

  name: str
  paint: Paint
  ways: Sequence[tuple[Sequence[float], Sequence[float]]]
  text: Estimate
  code: Estimate
  finished: bool


@dataclasses.dataclass(frozen=True)
class Dots:
  """An arm's row in a point plot: the figure after its last stage, of each seed, and after earlier stages."""

  name: str
  paint: Paint
  last: Estimate
  seeds: Sequence[float] = ()
  earlier: Sequence[float] = ()


@dataclasses.dataclass(frozen=True)
class Curves:
  """A recipe's training: its stages, the step at which each starts, and the steps of all."""

  stages: Sequence[StageResults]
  starts: Sequence[int]
  steps: int


def trajectories(paths: Sequence[Path], title: str, name: str, alt: str) -> Picture:
  """Bits per byte on text (across) v on code (up), from stage to stage of each seed of each arm."""
  axes = _plane(paths)
  lines = []
  for path in paths:
    style = {'color': path.paint.light, 'linestyle': _linestyle(path.paint)}
    for seed, (text, code) in enumerate(path.ways):
      axes.plot(text, code, linewidth=1.3 if len(path.ways) == 1 else 0.9, alpha=0.75, **style)
      axes.plot(text[:-1], code[:-1], 'o', markersize=3.5, color=path.paint.light)
      lines += [(path.name, seed + 1, stage + 1, *point) for stage, point in enumerate(zip(text, code, strict=True))]
  _name_ends(axes, paths)
  axes.set_title(svg.short(title, 52))
  return svg.picture(axes.figure, name, alt, ('arm', 'run', 'stage', 'text', 'code'), lines)


def final_points(paths: Sequence[Path], title: str, name: str, alt: str) -> Picture:
  """The same plane, the last points only, each with its two 95% intervals as a cross."""
  axes = _plane(paths)
  lines = []
  for path in paths:
    text, code = path.text, path.code
    bar = {'color': path.paint.light, 'linewidth': 1.2, 'alpha': 0.5}
    axes.plot([text.low, text.high], [code.value] * 2, **bar)
    axes.plot([text.value] * 2, [code.low, code.high], **bar)
    lines.append((path.name, text.seeds, text.value, text.low, text.high, code.value, code.low, code.high))
  _name_ends(axes, paths)
  axes.set_title(svg.short(title, 52))
  header = ('arm', 'seeds', 'text', 'text_low', 'text_high', 'code', 'code_low', 'code_high')
  return svg.picture(axes.figure, name, alt, header, lines)


def point_plot(
  rows: Sequence[Dots], title: str, label: str, name: str, alt: str, zero: bool = False
) -> Picture:
  """Arms down, a figure across: a dot with its interval, seeds as ticks, earlier stages as small rings.

  Args:
    zero: draw a line at 0, for changes; they are fractions and shown in percent.
  """
  scale = 100 if zero else 1
  drawn = svg.figure(430, 74 + 24 * len(rows))
  axes = drawn.add_subplot()
  for height, row in enumerate(rows):
    colour = row.paint.light
    ring = {'markersize': 4, 'markerfacecolor': 'none', 'markeredgecolor': colour, 'alpha': 0.6}
    axes.plot([scale * v for v in row.earlier], [height] * len(row.earlier), 'o', **ring)
    ends = [scale * row.last.low, scale * row.last.high]
    axes.plot(ends, [height] * 2, color=colour, linewidth=2.4, alpha=0.5)
    axes.plot([scale * v for v in row.seeds], [height] * len(row.seeds), '|', markersize=11, color=colour)
    axes.plot([scale * row.last.value], [height], 'o', markersize=6.5, color=colour)
  if zero:
    axes.axvline(0, color=palette.MUTED, linewidth=1)
    axes.xaxis.set_major_formatter(lambda value, _: f'{value:+g}%'.replace('-', '\u2212') if value else '0')
  axes.set_yticks(range(len(rows)), [svg.short(row.name) for row in rows])
  axes.tick_params(axis='y', labelcolor=palette.INK)
  axes.set_ylim(len(rows) - 0.4, -0.6)
  axes.spines['left'].set_visible(False)
  axes.grid(axis='y', alpha=0.6)
  axes.locator_params(axis='x', nbins=5)
  # From the left edge of the picture on: the names beside the axes take a third of its width.
  drawn.suptitle(svg.short(title, 56), x=0.01, ha='left', fontsize=12, fontweight='bold')
  axes.set_xlabel(label)
  lines = [(r.name, r.last.seeds, r.last.value, r.last.low, r.last.high, r.last.spread) for r in rows]
  return svg.picture(drawn, name, alt, ('arm', 'seeds', 'value', 'low', 'high', 'spread'), lines)


def source_losses(
  source: str, arms: Mapping[str, Sequence[Curves]], paints: Mapping[str, Paint], title: str, name: str, alt: str
) -> Picture:
  """Smoothed training loss on one source, every run of every arm that drew on it."""
  drawn = svg.figure(430, 270)
  axes = drawn.add_subplot()
  lines = []
  points = _points_of_a_line(sum(len(runs) for runs in arms.values()))
  for arm, runs in arms.items():
    style = {'color': paints[arm].light, 'linestyle': _linestyle(paints[arm])}
    for run, curves in enumerate(runs, 1):
      for start, stage in zip(curves.starts, curves.stages, strict=True):
        steps, _, smooth = _line(stage.metrics, f'loss/{source}', curves.steps, points)
        axes.plot(start + steps, smooth, linewidth=1.4 if len(runs) == 1 else 0.9, **style)
        lines += [(arm, run, step, value) for step, value in zip(start + steps + 1, smooth, strict=True)]
  _cut_opening(axes)
  axes.set_title(svg.short(title, 52))
  axes.set_xlabel('step')
  axes.set_ylabel('loss, nats per token')
  _step_axis(axes)
  return svg.picture(drawn, name, alt, ('arm', 'run', 'step', 'loss_smoothed'), lines)


def training_curves(
  arm: str, runs: Sequence[Curves], paint: Paint, sources: Mapping[str, Paint], name: str, alt: str
) -> Picture:
  """One arm: its loss (raw faint, smoothed strong), its loss by source, learning rate, norm of the gradient, throughput.

  Runs of other seeds lie over each other. Their rates are the same.
  """
  from matplotlib.ticker import EngFormatter

  drawn = svg.figure(430, 680)
  panels = drawn.subplots(5, 1, sharex=True, height_ratios=[3, 3, 1.5, 1.5, 1.5])
  loss, by_source, rate, norm, speed = panels
  lines = []
  points = _points_of_a_line(len(runs))

  def plot(axes: Axes, what: str, run: int, steps: np.ndarray, values: np.ndarray, **style) -> None:
    axes.plot(steps, values, **style)
    lines.extend((what, run, step, value) for step, value in zip(steps + 1, values, strict=True))

  strong = 1.7 if len(runs) == 1 else 1.0
  for run, curves in enumerate(runs, 1):
    for start, stage in zip(curves.starts, curves.stages, strict=True):
      steps, raw, smooth = _line(stage.metrics, 'loss', curves.steps, points)
      if len(runs) == 1:
        plot(loss, 'loss', run, start + steps, raw, color=paint.light, linewidth=0.6, alpha=0.3)
      plot(loss, 'loss_smoothed', run, start + steps, smooth, color=paint.light, linewidth=strong)
      for source, colours in sources.items():
        steps, _, smooth = _line(stage.metrics, f'loss/{source}', curves.steps, points)
        style = {'color': colours.light, 'linestyle': _linestyle(colours), 'linewidth': min(strong, 1.4)}
        plot(by_source, f'loss_smoothed/{source}', run, start + steps, smooth, **style)
      for axes, frame, column in ((norm, stage.metrics, 'grad_norm'), (speed, stage.timing, 'tokens_per_second')):
        steps, _, smooth = _line(frame, column, curves.steps, points)
        plot(axes, f'{column}_smoothed', run, start + steps, smooth, color=palette.INK, linewidth=min(strong, 1.2))
  for start, stage in zip(runs[0].starts, runs[0].stages, strict=True):
    keep = _thinned(len(stage.rates), math.ceil(points * len(stage.rates) / max(1, runs[0].steps)))
    plot(rate, 'rate', 1, start + keep, stage.rates['rate'].to_numpy()[keep], color=palette.INK, linewidth=1.2)
  _cut_opening(by_source)
  for axes in panels:
    for start in runs[0].starts[1:]:
      axes.axvline(start, color=palette.MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
  _name_stages(loss, runs[0])
  loss.set_title(svg.short(arm, 44), pad=20)
  loss.set_ylabel('loss, all')
  by_source.set_ylabel('loss, by source')
  for axes, label in ((rate, 'rate'), (norm, 'gradient norm'), (speed, 'tokens/s')):
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    axes.locator_params(axis='y', nbins=3)
  rate.yaxis.set_major_formatter(lambda value, _: f'{value:g}')
  speed.yaxis.set_major_formatter(EngFormatter(sep=''))
  speed.set_xlabel('step')
  speed.set_xlim(0, max(1, runs[0].steps))
  _step_axis(speed)
  drawn.align_ylabels()
  return svg.picture(drawn, name, alt, ('what', 'run', 'step', 'value'), lines)


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
    axes.plot([path.text.value], [path.code.value], 'o', **dot)
  low, high = axes.get_ylim()
  wanted = [(path.code.value - low) / (high - low) for path in paths]
  gap = min(15 / 310, 1 / len(paths))
  for path, at, height in zip(paths, wanted, spread_labels(wanted, gap), strict=True):
    end = path.text.value, low + at * (high - low)
    axes.annotate(
      svg.short(path.name), xy=end, xytext=(1.03, height), textcoords='axes fraction', va='center',
      fontsize=10.5, color=path.paint.light, annotation_clip=False,
      arrowprops={
        'arrowstyle': '-', 'color': path.paint.light, 'linewidth': 0.5, 'alpha': 0.5,
        'shrinkA': 1, 'shrinkB': 5, 'relpos': (0, 0.5),
      },
    )  # fmt: skip


def spread_labels(wanted: Sequence[float], gap: float) -> list[float]:
  """Heights near the wanted ones, in the same order, at least `gap` apart, within [0, 1].

  Args:
    gap: at most 1 / the number of labels.
  """
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


def _line(
  metrics: pd.DataFrame, column: str, recipe_steps: int, points: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """(steps of the stage, raw, smoothed) where the column has a value, thinned for drawing."""
  if column not in metrics:
    return np.array([], int), np.array([]), np.array([])
  values = metrics[column].dropna()
  window = max(1, min(round(recipe_steps * SMOOTHING), len(values) // 3))
  smooth = values.rolling(window, center=True, min_periods=1).mean()
  keep = _thinned(len(values), math.ceil(points * len(values) / max(1, recipe_steps)))
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


def _points_of_a_line(lines: int) -> int:
  """Points kept of each of so many lines in one panel: a page of many runs stays small."""
  return max(90, POINTS // max(1, (lines + 1) // 2))


def _thinned(length: int, points: int = POINTS) -> np.ndarray:
  """At most `points` indices into a line of `length` points, the first and the last among them."""
  return np.unique(np.linspace(0, max(0, length - 1), min(length, points)).astype(int))


def _name_stages(axes: Axes, curves: Curves) -> None:
  """Stage names above the plot, each at its stage's start; its number where the name has no room."""
  pixels_a_letter, pixels = 5.3, 340
  ends = [*curves.starts[1:], curves.steps]
  names = [stage.name for stage in curves.stages]
  for index, (name, start, end) in enumerate(zip(names, curves.starts, ends, strict=True)):
    room = (end - start) / max(1, curves.steps) * pixels
    last = index == len(ends) - 1
    fits = last or len(name) * pixels_a_letter < room
    # The last stage is often a short cooldown: its name ends where the stage does.
    x, side = (end, 'right') if last and len(name) * pixels_a_letter > room else (start, 'left')
    axes.annotate(
      name if fits else str(index + 1), xy=(x, 1), xycoords=('data', 'axes fraction'),
      xytext=(0, 4), textcoords='offset points', ha=side, fontsize=9.5, color=palette.MUTED,
    )  # fmt: skip


def _step_axis(axes: Axes) -> None:
  axes.xaxis.set_major_formatter(lambda value, _: f'{value / 1000:g}k' if value >= 10_000 else f'{value:g}')
  axes.locator_params(axis='x', nbins=6)


def _linestyle(paint: Paint):
  if not paint.dash:
    return '-'
  return (0, tuple(float(length) for length in paint.dash.split()))
