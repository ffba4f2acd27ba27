"""Training curves by step: loss, loss by source, rate, gradient norm and throughput.

Call the functions within `svg.drawing()`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from codemix.report import palette, svg
from codemix.report.palette import Paint
from codemix.report.results import StageResults
from codemix.report.svg import Picture

if TYPE_CHECKING:
  from matplotlib.axes import Axes

# Points kept of a line over a recipe's steps: as many as a panel has pixels.
POINTS = 360
# Lines of one panel from which on they share a number of points: hundreds lie over each other anyway.
MANY_LINES = 64
# The smoothing window as a part of the recipe's steps: less noise, and the bends stay visible.
SMOOTHING = 1 / 50
# Plots by source cut off the top of the first steps' fall, which would flatten the rest.
OPENING = 1 / 20


@dataclasses.dataclass(frozen=True)
class Curves:
  """A recipe's training: its stages, the step at which each starts, and the steps of all."""

  stages: Sequence[StageResults]
  starts: Sequence[int]
  steps: int

  def lines(self, frame: str, column: str, points: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields (steps before, raw, smoothed) of each stage that has the column, thinned for drawing.

    Args:
      frame: 'metrics', 'timing' or 'rates' of the stage.
      points: kept over all the recipe's steps.
    """
    for start, stage in zip(self.starts, self.stages, strict=True):
      values = getattr(stage, frame).get(column)
      if values is None:
        continue
      values = values.dropna()
      window = max(1, min(round(self.steps * SMOOTHING), len(values) // 3))
      smooth = values.rolling(window, center=True, min_periods=1).mean()
      keep = _thinned(len(values), math.ceil(points * len(values) / max(1, self.steps)))
      yield start + values.index.to_numpy()[keep], values.to_numpy()[keep], smooth.to_numpy()[keep]


def source_losses(
  source: str, arms: Mapping[str, Sequence[Curves]], paints: Mapping[str, Paint], title: str, name: str, alt: str
) -> Picture:
  """Smoothed training loss on one source, every run of every arm that drew on it."""
  drawn = svg.figure(430, 270)
  axes = drawn.add_subplot()
  lines = []
  points = _points_of_a_line(sum(len(runs) for runs in arms.values()))
  for arm, runs in arms.items():
    style = {'color': paints[arm].light, 'linestyle': paints[arm].linestyle}
    drawn_on = []
    for run, curves in enumerate(runs, 1):
      for steps, _, smooth in curves.lines('metrics', f'loss/{source}', points):
        drawn_on += [(steps, smooth), ([math.nan], [math.nan])]  # one line with gaps is drawn faster than many
        lines += [(arm, run, step, value) for step, value in zip(steps + 1, smooth, strict=True)]
    if drawn_on:
      axes.plot(*(np.concatenate(part) for part in zip(*drawn_on, strict=True)), linewidth=1.4 if len(runs) == 1 else 0.9, **style)
  _cut_opening(axes)
  axes.set_title(svg.short(title, 52))
  axes.set_ylabel('loss, nats per token')
  step_axis(axes)
  return svg.picture(drawn, name, alt, ('arm', 'run', 'step', 'loss_smoothed'), lines)


def training_curves(
  arm: str, runs: Sequence[Curves], paint: Paint, sources: Mapping[str, Paint], name: str, alt: str
) -> Picture:
  """One arm: loss (raw faint, smoothed strong), loss by source, rate, gradient norm, throughput.

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

  width = 1.7 if len(runs) == 1 else 1.0
  smoothed = [(loss, 'metrics', 'loss', {'color': paint.light, 'linewidth': width})]
  for source, own in sources.items():
    style = {'color': own.light, 'linestyle': own.linestyle, 'linewidth': min(width, 1.4)}
    smoothed.append((by_source, 'metrics', f'loss/{source}', style))
  ink = {'color': palette.INK, 'linewidth': min(width, 1.2)}
  smoothed += [(norm, 'metrics', 'grad_norm', ink), (speed, 'timing', 'tokens_per_second', ink)]
  for run, curves in enumerate(runs, 1):
    for axes, frame, column, style in smoothed:
      head, *of_source = column.split('/', 1)
      for steps, raw, smooth in curves.lines(frame, column, points):
        if axes is loss and len(runs) == 1:
          plot(loss, 'loss', run, steps, raw, color=paint.light, linewidth=0.6, alpha=0.3)
        plot(axes, '/'.join([f'{head}_smoothed', *of_source]), run, steps, smooth, **style)
  for steps, rates, _ in runs[0].lines('rates', 'rate', points):
    plot(rate, 'rate', 1, steps, rates, color=palette.INK, linewidth=1.2)
  _cut_opening(by_source)
  for axes in panels:
    for start in runs[0].starts[1:]:
      axes.axvline(start, color=palette.MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
  _name_stages(loss, runs[0])
  loss.set_title(svg.short(arm, 44), pad=20)
  for axes, label in zip(panels, ('loss, all', 'loss, by source', 'rate', 'gradient norm', 'tokens/s'), strict=True):
    axes.set_ylabel(label)
  for axes in (rate, norm, speed):
    axes.set_ylim(bottom=0)
    axes.locator_params(axis='y', nbins=3)
  rate.yaxis.set_major_formatter(lambda value, _: f'{value:g}')
  speed.yaxis.set_major_formatter(EngFormatter(sep=''))
  speed.set_xlim(0, max(1, runs[0].steps))
  step_axis(speed)
  drawn.align_ylabels()
  return svg.picture(drawn, name, alt, ('what', 'run', 'step', 'value'), lines)


def _cut_opening(axes: Axes) -> None:
  """Sets the height so that lines fit from after the first steps on, and the width to the steps."""
  drawn = [line.get_xydata() for line in axes.lines if len(line.get_xdata())]
  if not drawn:
    return
  points_Px2 = np.concatenate(drawn)
  end = np.nanmax(points_Px2[:, 0])
  later_P = points_Px2[points_Px2[:, 0] >= OPENING * end, 1]
  low, high = np.nanmin(points_Px2[:, 1]), np.nanmax(later_P)
  margin = 0.06 * (high - low)
  axes.set_xlim(0, max(1, end))
  if high > low:
    axes.set_ylim(low - margin, high + margin)


def _points_of_a_line(lines: int) -> int:
  """Points kept of each of so many lines in one panel: a page of many runs stays small."""
  lines = max(1, lines)
  return max(90, POINTS // ((lines + 1) // 2)) if lines <= MANY_LINES else max(16, 90 * MANY_LINES // lines)


def _thinned(length: int, points: int = POINTS) -> np.ndarray:
  """At most `points` indices into a line of `length` points, the first and the last among them."""
  return np.unique(np.linspace(0, max(0, length - 1), min(length, points)).astype(int))


def _name_stages(axes: Axes, curves: Curves) -> None:
  """Stage names above the plot, each at its stage's start; its number if the name has no room."""
  pixels_a_letter, pixels = 5.3, 340
  ends = [*curves.starts[1:], curves.steps]
  for number, (stage, start, end) in enumerate(zip(curves.stages, curves.starts, ends, strict=True), 1):
    fits = len(stage.name) * pixels_a_letter < (end - start) / max(1, curves.steps) * pixels
    last = number == len(ends)
    # The last stage is often a short cooldown: its name ends where the stage does.
    x, side = (end, 'right') if last and not fits else (start, 'left')
    axes.annotate(
      stage.name if last or fits else str(number), xy=(x, 1), xycoords=('data', 'axes fraction'),
      xytext=(0, 4), textcoords='offset points', ha=side, fontsize=9.5, color=palette.MUTED,
    )  # fmt: skip


def step_axis(axes: Axes) -> None:
  axes.set_xlabel('step')
  axes.xaxis.set_major_formatter(lambda value, _: f'{value / 1000:g}k' if value >= 10_000 else f'{value:g}')
  axes.locator_params(axis='x', nbins=6)
