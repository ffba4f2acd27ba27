"""Judged pairs of generations, and what the paper prints of the pair of its models that they stand for: Figures 7 to 9."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

from codemix import formatting
from codemix.evaluation.judge.names import compared_with
from codemix.published.models import PublishedModel
from codemix.published.win_rates import TITLES, WIN_RATES, WinRates
from codemix.report import palette, svg
from codemix.report.content import Content
from codemix.report.paper_models import rows_by_model
from codemix.report.svg import Picture
from codemix.report.table import Cell, Line, Table, once

PARTS = ('first wins', 'tie', 'second wins')


@dataclasses.dataclass(frozen=True)
class Verdicts:
  """Shares of the prompts, as fractions; NaN if they are not known.

  Attributes:
    judged: how many comparisons they are the mean of; 0 if there are none.
  """

  first_wins: float
  tie: float
  second_wins: float
  judged: int = 1

  def __iter__(self) -> Iterator[float]:
    return iter((self.first_wins, self.tie, self.second_wins))

  def turned(self) -> Verdicts:
    """The same with the models exchanged."""
    return dataclasses.replace(self, first_wins=self.second_wins, second_wins=self.first_wins)


def papers(content: Content, folder: str, name: str) -> tuple[WinRates, Verdicts] | None:
  """The paper's comparison that a judged one stands for, and its verdicts, with the judged stage's model first; None if it has none.

  Args:
    folder: of the stage whose answers were judged.
    name: of the judge's results, which ends with the folder of the other stage.
  """
  own, other = _models(content).get(folder, ()), _models(content).get(compared_with(name), ())
  for each in WIN_RATES:
    printed = Verdicts(each.first_wins / 100, each.tie / 100, each.second_wins / 100)
    if each.first in own and each.second in other:
      return each, printed
    if each.second in own and each.first in other:
      return each, printed.turned()
  return None


@once
def ours(content: Content) -> Mapping[WinRates, Verdicts]:
  """Our verdicts on the pairs of the paper that some judge compared: the mean over tasks and seeds."""
  found: dict[WinRates, list[Verdicts]] = {}
  for name, stored in content.suite.judges.items():
    for folder, results in stored.items():
      if match := papers(content, folder, name):
        verdicts = Verdicts(*(results.scores.get(key, math.nan) for key in ('win', 'tie', 'loss')))
        is_first = match[0].first in _models(content)[folder]
        found.setdefault(match[0], []).append(verdicts if is_first else verdicts.turned())
  return {each: Verdicts(*(sum(part) / len(of) for part in zip(*of, strict=True)), judged=len(of)) for each, of in found.items()}


def draw(content: Content) -> dict[str, list[Picture]]:
  """By its name, a picture of each of the figures of which a judge compared a pair. Call within `svg.drawing()`."""
  return {_name(source): [_draw(content, source, pairs)] for source, pairs in _shown(content).items()}


@once
def tables(content: Content) -> dict[str, Table]:
  """By the figure's name, a table of each of them."""
  return {_name(source): _table(content, source, pairs) for source, pairs in _shown(content).items()}


def _shown(content: Content) -> dict[str, list[WinRates]]:
  """The pairs of each figure of which one was judged."""
  figures = dict.fromkeys(each.source for each in WIN_RATES if each in ours(content))
  return {source: [each for each in WIN_RATES if each.source == source] for source in sorted(figures)}


@once
def _models(content: Content) -> dict[str, list[PublishedModel]]:
  """The paper's models that a stage's folder stands for."""
  found: dict[str, list[PublishedModel]] = {}
  for model, rows in rows_by_model(content).items():
    for folder in dict.fromkeys(folder for row in rows for folder in row.folders):
      found.setdefault(folder, []).append(model)
  return found


def _bars(content: Content, pairs: Sequence[WinRates]) -> Iterator[tuple[WinRates, str, Verdicts]]:
  """(pair, who judged, verdicts): of each pair ours, then the paper's."""
  for each in pairs:
    yield each, 'ours', ours(content).get(each, Verdicts(math.nan, math.nan, math.nan, judged=0))
    yield each, 'the paper', Verdicts(each.first_wins / 100, each.tie / 100, each.second_wins / 100)


def _draw(content: Content, source: str, pairs: Sequence[WinRates]) -> Picture:
  bars = list(_bars(content, pairs))
  drawn = svg.figure(430, 78 + 58 * len(pairs), margins=(66, 12, 40, 46))
  axes = drawn.add_subplot()
  looks = {'facecolor': palette.ARMS[4][0]}, {'facecolor': 'none'}, {'facecolor': 'none', 'hatch': '////'}
  heights = [2.9 * (number // 2) + number % 2 for number in range(len(bars))]
  for height, (_, _, verdicts) in zip(heights, bars, strict=True):
    if not formatting.known(sum(verdicts)):
      axes.annotate(f'{formatting.UNKNOWN} not judged', (1, height), va='center', fontsize=9.5, color=palette.INK)
      continue
    left = 0.0
    for part, look in zip(verdicts, looks, strict=True):
      axes.barh(height, 100 * part, left=left, height=0.8, edgecolor=palette.MUTED, linewidth=0.8, **look)
      text = {'fontsize': 9.5, 'color': palette.INK, 'bbox': {'boxstyle': 'square,pad=0.15', 'facecolor': palette.RULE, 'edgecolor': 'none'}}
      axes.annotate(formatting.points(part), (left + 50 * part, height), ha='center', va='center', **text)
      left += 100 * part
  for number, each in enumerate(pairs):
    axes.annotate(svg.short(f'{each.first.label} v {each.second.label}', 62), (0, 2.9 * number - 0.55), va='bottom', fontsize=9.5, color=palette.INK)
  axes.set_xlim(0, 100)
  axes.set_ylim(heights[-1] + 0.6, -1.3)
  axes.set_yticks(heights, [who for _, who, _ in bars])
  axes.tick_params(axis='y', labelcolor=palette.INK)
  axes.grid(axis='y', visible=False)
  axes.set_xlabel('percent of the prompts: first wins (full), tie, second wins (hatched)')
  axes.set_title(f'{source}: win rates, {TITLES[source]}')
  lines = [(who, each.first.label, each.second.label, *verdicts) for each, who, verdicts in bars]
  told = '; '.join(f'{each.first.label} v {each.second.label}, {who} {_said(verdicts)}' for each, who, verdicts in bars)
  alt = f'{source} of the paper, win rates, {TITLES[source]}, in percent of the prompts, first wins / tie / second wins: {told}.'
  return svg.picture(drawn, _name(source), alt, ('who', 'first', 'second', 'first_wins', 'tie', 'second_wins'), lines)


def _name(source: str) -> str:
  """'figure-7'."""
  return source.lower().replace(' ', '-')


def _said(verdicts: Verdicts) -> str:
  return ' / '.join(map(formatting.points, verdicts)) if verdicts.judged else 'not judged'


def _table(content: Content, source: str, pairs: Sequence[WinRates]) -> Table:
  caption = (
    f'{source} of the paper: win rates, {TITLES[source]}, in percent of the prompts. “The paper”: the labels of its bars, of models of 470M parameters, judged by Command-R+ on prompts of Dolly-200. '
    'Ours: what our judge decided on the stages that stand for them, the mean over tasks and seeds if there are several. “–”: not judged.'
  )
  header = [Cell('First v second'), Cell('By'), *(Cell(part.capitalize()) for part in PARTS)]
  lines = []
  for each, who, verdicts in _bars(content, pairs):
    notes = [formatting.count(verdicts.judged, 'comparison')] if verdicts.judged > 1 else []
    lines.append(Line([Cell(f'{each.first.label} v {each.second.label}'), Cell(who, notes), *(Cell(formatting.points(part)) for part in verdicts)]))
  return Table(caption, header, lines, texts=2)
