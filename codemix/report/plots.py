"""The plots of a report's figures, each a small picture that reads at the width of a telephone.

Every function takes plain numbers and returns a picture with its numbers (see `svg.picture`). Call
them within `svg.drawing()`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from codemix.evaluation.statistics import Estimate
from codemix.report import palette, svg
from codemix.report.palette import Paint
from codemix.report.svg import Picture

if TYPE_CHECKING:
  from matplotlib.axes import Axes

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
  """An arm's row in a point plot: its last figure, that of each seed, and earlier stages'."""

  name: str
  paint: Paint
  last: Estimate
  seeds: Sequence[float] = ()
  earlier: Sequence[float] = ()


def trajectories(paths: Sequence[Path], title: str, name: str, alt: str) -> Picture:
  """Bits per byte on text (across) v on code (up), from stage to stage of each seed of each arm."""
  axes = _plane(paths)
  lines = []
  for path in paths:
    style = {'color': path.paint.light, 'linestyle': path.paint.linestyle}
    axes.plot(*_joined(path.ways), linewidth=1.3 if len(path.ways) == 1 else 0.9, alpha=0.75, **style)
    axes.plot(*_joined([(text[:-1], code[:-1]) for text, code in path.ways]), 'o', markersize=3.5, color=path.paint.light)
    for seed, (text, code) in enumerate(path.ways):
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
  """Arms down, a figure across: a dot with its interval, ticks for seeds, rings for earlier stages.

  Args:
    zero: draw a line at 0, for changes; they are fractions and shown in percent.
  """
  scale = 100 if zero else 1
  drawn = svg.figure(430, 74 + 24 * len(rows))
  axes = drawn.add_subplot()
  colours = [row.paint.light for row in rows]

  def points(of_rows: Sequence[Sequence[float]], size: float, **style) -> None:
    """All rows at once: matplotlib takes as long for a line of one point as for all of them."""
    found = [(scale * value, height, colours[height]) for height, values in enumerate(of_rows) for value in values]
    if found:
      across, heights, paints = zip(*found, strict=True)
      axes.scatter(across, heights, s=size**2, **{name: paints if value is None else value for name, value in style.items()})

  points([row.earlier for row in rows], 4, facecolors='none', edgecolors=None, alpha=0.6)
  lows, highs = ([scale * getattr(row.last, end) for row in rows] for end in ('low', 'high'))
  axes.hlines(range(len(rows)), lows, highs, colors=colours, linewidth=2.4, alpha=0.5, capstyle='round')
  points([row.seeds for row in rows], 11, marker='|', c=None, linewidths=1)
  points([[row.last.value] for row in rows], 6.5, c=None)
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


def _joined(ways: Sequence[tuple[Sequence[float], Sequence[float]]]) -> tuple[list[float], list[float]]:
  """Several lines as one with gaps: matplotlib takes as long for a line of two points as for one of a hundred."""
  across, up = [], []
  for text, code in ways:
    across += [*text, math.nan]
    up += [*code, math.nan]
  return across, up


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
  (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
  axes.set(xlim=(left, right), ylim=(low, high))  # the lines to the names leave them as they are
  wanted = [(path.code.value - low) / (high - low) for path in paths]
  gap = min(15 / 310, 1 / len(paths))
  for path, at, height in zip(paths, wanted, spread_labels(wanted, gap), strict=True):
    # A line and a text: an annotation with an arrow takes many times as long.
    ends = [path.text.value, left + 1.02 * (right - left)], [low + at * (high - low), low + height * (high - low)]
    axes.plot(*ends, linewidth=0.5, alpha=0.5, color=path.paint.light, clip_on=False, zorder=1)
    axes.annotate(
      svg.short(path.name), xy=(1.03, height), xycoords='axes fraction', va='center', fontsize=10.5, color=path.paint.light, annotation_clip=False
    )


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
