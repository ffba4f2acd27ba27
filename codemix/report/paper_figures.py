"""Figures 2, 3, 5 and 6 of the paper in its layout: bars of ours and of the paper's models side by side, a panel for each group of tasks.

Models of two sizes are together in Figure 3 alone, which is about size.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Sequence

from codemix import formatting
from codemix.evaluation.statistics import Estimate
from codemix.published.figures import FIGURES, PublishedFigure
from codemix.published.models import HEADINGS, PublishedModel
from codemix.report import palette, svg
from codemix.report.comparison import Row
from codemix.report.content import Content
from codemix.report.paper_models import rows_by_model
from codemix.report.svg import Picture
from codemix.report.table import Cell, Line, Table, once

LEAST_MODELS = 2  # of a figure that the study must have; one compares nothing
COLOUR = palette.ARMS[4][0]
HATCH = '////'
_GAP = 0.22  # between the pairs of bars, in widths of a pair


@dataclasses.dataclass(frozen=True)
class Pair:
  """Bars side by side: one of ours and the paper's.

  Attributes:
    model: the paper's.
    row: ours; None if the study has no arm like it.
    arms: those that `row` is of.
  """

  model: PublishedModel
  row: Row | None
  arms: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Panel:
  """A group of tasks, or held-out data of a kind.

  Attributes:
    column: of the paper's scores; '' for held-out data, of which it prints nothing.
    of: ours, of a row; None if it was not evaluated.
    coverage: '3 of 11 tasks': how many of the group's were scored; '' of held-out data and if none was.
  """

  title: str
  column: str
  of: Callable[[Row], Estimate | None]
  coverage: str = ''

  @property
  def is_score(self) -> bool:
    """In percent; otherwise bits per byte."""
    return bool(self.column)

  def ours(self, pair: Pair) -> Estimate | None:
    return self.of(pair.row) if pair.row else None

  def papers(self, pair: Pair) -> float | None:
    """A fraction; None if it is not printed."""
    return pair.model.score(self.column)


@dataclasses.dataclass(frozen=True)
class Shown:
  """A figure of the paper that the study has arms of."""

  figure: PublishedFigure
  pairs: Sequence[Pair]
  panels: Sequence[Panel]

  @property
  def has_sizes(self) -> bool:
    return len({pair.model.size for pair in self.pairs}) > 1

  def label(self, model: PublishedModel) -> str:
    return f'{model.label}, {model.size}' if self.has_sizes else model.label

  def is_repeated(self, pair: Pair) -> bool:
    """Whether several of ours stand for the pair's model."""
    return sum(other.model is pair.model for other in self.pairs) > 1


@once
def shown(content: Content) -> list[Shown]:
  """The figures of which the study has at least two models, and every size."""
  found = []
  for figure in FIGURES:
    pairs = [pair for model in figure.models for pair in _pairs(content, model)]
    there = {pair.model for pair in pairs if pair.row}
    if len(there) >= LEAST_MODELS and {model.size for model in there} == {model.size for model in figure.models}:
      found.append(Shown(figure, pairs, [*_panels(content, figure)]))
  return found


def draw(content: Content) -> dict[str, list[Picture]]:
  """By the figure's name, a picture of each panel of which the study has something. Call within `svg.drawing()`."""
  return {
    of.figure.name: [_draw(of, panel, f'{of.figure.name}-{number}') for number, panel in enumerate(of.panels) if any(map(panel.ours, of.pairs))]
    for of in shown(content)
  }


@once
def tables(content: Content) -> dict[str, Table]:
  """By the figure's name, a table with a line for each pair of bars."""
  return {of.figure.name: _table(of) for of in shown(content)}


def _pairs(content: Content, model: PublishedModel) -> Iterator[Pair]:
  """One for each stage of the study that stands for a model of the paper; one without a row if there is none."""
  alike: dict[tuple[str, ...], list[Row]] = {}
  for row in rows_by_model(content).get(model, ()):
    alike.setdefault(row.folders, []).append(row)
  for rows in alike.values():
    yield Pair(model, rows[0], [row.name for row in rows])
  if not alike:
    yield Pair(model, None, [])


def _panels(content: Content, figure: PublishedFigure) -> Iterator[Panel]:
  for label, measure in content.outcomes:
    yield Panel(f'Held-out {label}', '', lambda row, name=measure: row.bits.get(name))
  scored = {aggregate.label: aggregate for aggregate in content.suite.aggregates}
  for column in figure.columns:
    if aggregate := scored.get(column):
      yield Panel(HEADINGS[column], column, lambda row, score=aggregate.score: score.mean(row.folders), aggregate.coverage)
    else:
      yield Panel(HEADINGS[column], column, lambda row: None)


def _draw(of: Shown, panel: Panel, name: str) -> Picture:
  form, scale = (formatting.points, 100) if panel.is_score else (formatting.bits, 1)
  room = max(370 / len(of.pairs), 60)  # of a pair, in pixels
  drawn = svg.figure(60 + room * len(of.pairs), 300, margins=(52, 8, 66, 50))
  axes = drawn.add_subplot()
  width = (1 - _GAP) / (2 if panel.is_score else 1)
  ours, papers = [panel.ours(pair) for pair in of.pairs], [panel.papers(pair) for pair in of.pairs]
  places = [number - width / 2 if panel.is_score else number for number in range(len(of.pairs))]
  label = lambda height: form(height / scale)
  tops = [scale * each.high if each and each.has_interval else None for each in ours]
  _bars(axes, places, [scale * each.value if each else None for each in ours], tops, width, form=label, color=COLOUR)
  known = [(place, each) for place, each in zip(places, ours, strict=True) if each and each.has_interval]
  if known:
    ends = [scale * (each.value - each.low) for _, each in known], [scale * (each.high - each.value) for _, each in known]
    axes.errorbar([place for place, _ in known], [scale * each.value for _, each in known], ends, fmt='none', color=palette.INK, ecolor=palette.INK, capsize=3, elinewidth=1)
  if panel.is_score:
    _bars(axes, [place + width for place in places], [None if value is None else scale * value for value in papers], [None] * len(papers), width, form=label, facecolor='none', edgecolor=palette.MUTED, hatch=HATCH)
  axes.set_xlim(-0.5 - _GAP / 2, len(of.pairs) - 0.5 + _GAP / 2)
  axes.set_xticks(range(len(of.pairs)), [_wrapped(of, pair, room) for pair in of.pairs], fontsize=9.5)
  axes.tick_params(axis='x', length=0, labelcolor=palette.INK)
  axes.grid(axis='x', visible=False)
  axes.set_ylabel('score, higher is better (%)' if panel.is_score else 'bits per byte, lower is better')
  axes.margins(y=0.1)
  axes.locator_params(axis='y', nbins=6)
  axes.set_title(svg.short(f'{of.figure.source}: {panel.title}{f" (ours: {panel.coverage})" if panel.coverage else ""}', 60), pad=24)
  _legend(axes, panel)
  lines = [('ours', of.label(pair.model), ', '.join(pair.arms), *_numbers(each)) for pair, each in zip(of.pairs, ours, strict=True)]
  if panel.is_score:
    lines += [('the paper', of.label(pair.model), '', 1, math.nan if value is None else value, math.nan, math.nan) for pair, value in zip(of.pairs, papers, strict=True)]
  return svg.picture(drawn, name, _alt(of, panel, form), ('who', 'model', 'arms', 'seeds', 'value', 'low', 'high'), lines)


def _bars(axes, places: Sequence[float], heights: Sequence[float | None], tops: Sequence[float | None], width: float, form: Callable[[float], str], **style) -> None:
  """Bars with their values above; a dash for one that is missing.

  Args:
    tops: of what is drawn over the bars, where there is something.
  """
  axes.bar(places, [height or 0 for height in heights], width * 0.94, **style)
  for place, height, top in zip(places, heights, tops, strict=True):
    text = formatting.UNKNOWN if height is None else form(height)
    axes.annotate(text, (place, top or height or 0), xytext=(0, 2), textcoords='offset points', ha='center', va='bottom', fontsize=8.5, color=palette.INK)


def _legend(axes, panel: Panel) -> None:
  """What a full and what a hatched bar is, below the title."""
  from matplotlib.patches import Patch

  patches = [Patch(facecolor=COLOUR, label='ours')]
  if panel.is_score:
    patches.append(Patch(facecolor='none', edgecolor=palette.MUTED, hatch=HATCH, label='the paper'))
  axes.legend(handles=patches, loc='lower left', bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=9.5, borderaxespad=0.2, handlelength=1.6)


def _wrapped(of: Shown, pair: Pair, room: float) -> str:
  """The name of a pair below it, in short lines; the arm's own, if several of ours stand for one of the paper's."""
  name = pair.arms[0] if of.is_repeated(pair) else of.label(pair.model)
  letters = int(room / 5.6)  # that are 9.5 pixels high
  lines = ['']
  for word in re.findall(r'[^\s→+_-]*[\s→+_-]?', name):
    if lines[-1] and len(lines[-1]) + len(word.rstrip()) > letters:
      lines.append('')
    lines[-1] += word
  return '\n'.join(svg.short(line.strip(), letters + 2) for line in lines[:4])


def _numbers(each: Estimate | None) -> tuple[float, ...]:
  return (each.seeds, each.value, each.low, each.high) if each else (math.nan,) * 4


def _alt(of: Shown, panel: Panel, form: Callable[[float], str]) -> str:
  def one(pair: Pair) -> str:
    ours = panel.ours(pair)
    interval = f' ({form(ours.low)} to {form(ours.high)})' if ours and ours.has_interval else ''
    named = f'{of.label(pair.model)} ({pair.arms[0]})' if of.is_repeated(pair) else of.label(pair.model)
    said = f'{named}: ours {form(ours.value) + interval if ours else "missing"}'
    return said + (f', the paper {formatting.points(panel.papers(pair))}' if panel.is_score else '')

  coverage = f', ours over {panel.coverage}' if panel.coverage else ''
  what = 'scores in percent' if panel.is_score else 'bits per byte'
  return f'{of.figure.source} of the paper, {of.figure.title}. {panel.title}, {what}{coverage}. ' + '; '.join(map(one, of.pairs)) + '.'


def _table(of: Shown) -> Table:
  sources = list(dict.fromkeys(pair.model.source for pair in of.pairs))
  sizes = ' and '.join(dict.fromkeys(pair.model.size for pair in of.pairs))
  caption = (
    f'{of.figure.source} of the paper: {of.figure.title}. “Paper”: the scores in percent that it prints for its models of {sizes} parameters ({", ".join(sources)}), one seed each. '
    'Ours stand for them by their mixtures, cooldowns and ratios of tokens, with 95% intervals: over items, and over seeds where there are several. “–”: not in this study, not evaluated, or not printed.'
  )
  if any(panel.is_score and panel.coverage for panel in of.panels):
    caption += ' The paper’s averages are of all tasks of a group; below ours stands how many were scored.'
  if of.has_sizes:
    caption += ' The study’s smaller model stands for the smaller one of the paper, and its larger for the larger.'
  header = [Cell('Model of the paper'), Cell('Ours')]
  for panel in of.panels:
    header.append(Cell(panel.title, [panel.coverage] if panel.coverage else []))
    header += [Cell('Paper')] if panel.is_score else []
  return Table(caption, header, [Line([Cell(of.label(pair.model)), _ours(pair), *_cells(of, pair)]) for pair in of.pairs], texts=2)


def _ours(pair: Pair) -> Cell:
  return Cell(', '.join(pair.arms), [f'{pair.row.position} {pair.row.stage.name}']) if pair.row else Cell(formatting.UNKNOWN, ['not in this study'])


def _cells(of: Shown, pair: Pair) -> Iterator[Cell]:
  for panel in of.panels:
    form, ours = formatting.points if panel.is_score else formatting.bits, panel.ours(pair)
    notes = [f'{form(ours.low)} … {form(ours.high)}'] if ours and ours.has_interval else []
    notes += [f'{ours.seeds} seeds'] if ours and ours.seeds > 1 else []
    yield Cell(form(ours.value) if ours else formatting.UNKNOWN, notes)
    if panel.is_score:
      yield Cell(formatting.points(panel.papers(pair)))
