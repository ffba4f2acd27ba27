"""The shape of the effect over the share of code: studies whose arms differ in the share of code of one stage (`sweep`)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from codemix import formatting
from codemix.evaluation.statistics import Estimate
from codemix.report import palette, svg
from codemix.report.comparison import Row
from codemix.report.content import Content, Model
from codemix.report.published import published_by_share
from codemix.report.suite_tables import points
from codemix.report.svg import Picture
from codemix.report.table import Cell, Line, Table
from codemix.studies.arms import Arm
from codemix.studies.counterpart import SAME_TOKENS

LEAST_SHARES = 3  # of a shape; two are a difference
_COLOUR = palette.ARMS[4][0]
PAPER = 'the paper, 470M, Figure 4'


@dataclasses.dataclass(frozen=True)
class Sweep:
  """Arms of one model that differ in the share of code of one stage.

  Attributes:
    label: of the model and of what else the arms have in common; '' if the study has no other sweep.
    stage: whose share differs.
    alone: whether it is the only stage, as in the paper's sweep.
    rows: by the share of code, ascending: the arm after its last stage.
    others: arms that are left out, since `rows` has another arm of their share.
  """

  label: str
  stage: str
  alone: bool
  rows: Mapping[float, Row]
  others: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Figure:
  """What is shown over the share of code.

  Attributes:
    name: of a held-out source or kind, or of a group of tasks.
    is_score: in percent and higher is better; otherwise bits per byte.
    of: its value of an arm; None if there is none.
    change: against the baseline; None if there is none.
    paper: the paper's figures by share.
  """

  name: str
  is_score: bool
  of: Callable[[Row], Estimate | None]
  change: Callable[[Row], Estimate | None]
  paper: Mapping[float, float]


def sweeps(content: Content) -> list[Sweep]:
  """The sweeps of the study, of each model. Arms are of one sweep if they spend the same tokens on as many stages, and differ in one share of code.

  Of arms with one share, those that `codemix.studies.sweep` made come first, then those that the study names first.
  """
  found = [(model, family) for model in content.models for family in _families(content, model)]
  several_models, several = len({id(model) for model, _ in found}) > 1, len(found) > 1
  return [
    Sweep(
      label=', '.join(filter(None, [model.label if several_models else '', _in_common(content, arms, index) if several else ''])),
      stage=content.rows_of(arms[0])[index].stage.name,
      alone=len(content.rows_of(arms[0])) == 1,
      rows=dict(sorted((_shares(content, arm)[index], content.rows_of(arm)[-1]) for arm in arms)),
      others=others,
    )
    for model, (index, arms, others) in found
  ]


def shown(content: Content, sweep: Sweep) -> list[Figure]:
  """The held-out kinds, then the groups of tasks, that some arm of the sweep has been evaluated on."""
  bits = [
    Figure(label, False, lambda row, name=measure: row.bits.get(name), lambda row, name=measure: row.changes.get(name), {})
    for label, measure in content.outcomes
  ]
  scores = [
    Figure(
      group.label, True, lambda row, score=group.average: score.mean(row.folders),
      lambda row, score=group.average: score.change(row.contrast),
      # An average of some of the group's tasks is another figure than the paper's.
      published_by_share(group.label) if sweep.alone and len(group.scored) == group.declared else {},
    )
    for group in content.suite.groups if group.scored
  ]  # fmt: skip
  return [figure for figure in (*bits, *scores) if any(figure.of(row) for row in sweep.rows.values())]


def draw(content: Content) -> list[Picture]:
  """A picture of each figure of each sweep. Call within `svg.drawing()`."""
  return [
    _draw(sweep, figure, f'share{index}-{number}')
    for number, sweep in enumerate(sweeps(content)) for index, figure in enumerate(shown(content, sweep))
  ]  # fmt: skip


def tables(content: Content) -> list[Table]:
  """A table of each sweep: a line for each share."""
  return [_table(content, sweep) for sweep in sweeps(content)]


def _families(content: Content, model: Model) -> Iterator[tuple[int, list[Arm], list[str]]]:
  """(index of the stage, an arm of each share, names of the others) of each sweep of a model."""
  known = [arm for arm in model.arms if None not in _shares(content, arm)]
  known.sort(key=lambda arm: 'share' not in content.study.recipes[arm.recipes[0]].fields)  # stable: made by `sweep` first
  taken: set[str] = set()
  for index in range(max((len(_shares(content, arm)) for arm in known), default=0)):
    families: dict[tuple, list[Arm]] = {}
    for arm in known:
      shares = _shares(content, arm)
      if index < len(shares) and arm.name not in taken:
        families.setdefault((*shares[:index], None, *shares[index + 1 :]), []).append(arm)
    for arms in (of_tokens for family in families.values() for of_tokens in _by_tokens(content, family)):
      of_share: dict[float, Arm] = {}
      for arm in arms:
        of_share.setdefault(_shares(content, arm)[index], arm)
      shown = list(of_share.values())
      if len(shown) >= LEAST_SHARES:
        taken.update(arm.name for arm in shown)
        yield index, shown, [arm.name for arm in arms if arm not in shown]


def _by_tokens(content: Content, arms: Sequence[Arm]) -> list[list[Arm]]:
  """The arms, apart where they spend other tokens."""
  groups: list[list[Arm]] = []
  for arm in arms:
    alike = next((group for group in groups if _same_tokens(content, arm, group[0])), None)
    if alike is None:
      groups.append([arm])
    else:
      alike.append(arm)
  return groups


def _shares(content: Content, arm: Arm) -> list[float | None]:
  """The share of code of each stage; None where the kind of a source is not declared, or the stage is not planned yet."""
  shares = []
  for row in content.rows_of(arm):
    of = content.shares(row.stage)
    is_known = of and all(source in content.study.kinds for source, _ in of)
    shares.append(round(math.fsum(share for source, share in of if content.study.kinds[source] == 'code'), 6) if is_known else None)
  return shares


def _same_tokens(content: Content, arm: Arm, other: Arm) -> bool:
  pairs = zip(content.rows_of(arm), content.rows_of(other), strict=True)
  return all(math.isclose(row.tokens, base.tokens, rel_tol=SAME_TOKENS) for row, base in pairs)


def _in_common(content: Content, arms: Sequence[Arm], index: int) -> str:
  shares = _shares(content, arms[0])
  return ', '.join(
    f'{row.stage.name} {formatting.share(share)} code'
    for number, (row, share) in enumerate(zip(content.rows_of(arms[0]), shares, strict=True)) if number != index
  )  # fmt: skip


def _draw(sweep: Sweep, figure: Figure, name: str) -> Picture:
  form, scale = (points, 100) if figure.is_score else (formatting.bits, 1)
  found = {share: estimate for share, row in sweep.rows.items() if (estimate := figure.of(row))}
  drawn = svg.figure(430, 270, margins=(58, 12, 44, 28))
  axes = drawn.add_subplot()
  axes.plot([100 * share for share in found], [scale * each.value for each in found.values()], color=_COLOUR, linewidth=1.2)
  if known := {share: each for share, each in found.items() if each.has_interval}:
    ends = [scale * (each.value - each.low) for each in known.values()], [scale * (each.high - each.value) for each in known.values()]
    axes.errorbar([100 * share for share in known], [scale * each.value for each in known.values()], ends, fmt='none', ecolor=_COLOUR, capsize=3, elinewidth=1.2)
  axes.plot([100 * share for share in found], [scale * each.value for each in found.values()], 'o', color=_COLOUR, markersize=6)
  if figure.paper:
    axes.plot([100 * share for share in figure.paper], [100 * value for value in figure.paper.values()], 's', color=palette.MUTED, markerfacecolor='none', linestyle=(0, (3, 2)), linewidth=1)
  axes.set_xlabel(f'code in {svg.short(sweep.stage, 24)} (%)')
  axes.set_ylabel('score, higher is better (%)' if figure.is_score else 'bits per byte, lower is better')
  axes.locator_params(nbins=6)
  axes.set_title(svg.short(f'{figure.name}{f" – {sweep.label}" if sweep.label else ""}', 52))
  lines = [('study', share, each.seeds, each.value, each.low, each.high) for share, each in found.items()]
  lines += [(PAPER, share, 1, value, math.nan, math.nan) for share, value in figure.paper.items()]
  told = '; '.join(f'{form(each.value)}{f" ({form(each.low)} to {form(each.high)})" if each.has_interval else ""} at {formatting.share(share)}' for share, each in found.items())
  paper = f' {PAPER}: ' + '; '.join(f'{form(value)} at {formatting.share(share)}' for share, value in figure.paper.items()) + '.' if figure.paper else ''
  alt = f'{figure.name} by the share of code in {sweep.stage}{f", {sweep.label}" if sweep.label else ""}, with 95% intervals{_noise(found.values())}: {told}.{paper}'
  return svg.picture(drawn, name, alt, ('what', 'code', 'seeds', 'value', 'low', 'high'), lines)


def _noise(estimates) -> str:
  return ' over items only, since there is one seed' if all(each.seeds == 1 for each in estimates) else ' over items and seeds'


def _table(content: Content, sweep: Sweep) -> Table:
  figures = shown(content, sweep)
  of = f' ({sweep.label})' if sweep.label else ''
  caption = (
    f'By the share of code in {sweep.stage}{of}, after the last stage, with 95% intervals: bits per byte of held-out data, and scores of groups of tasks in percent. '
    'An interval is over items (“items only” at one seed), and over seeds where there are several. Below: the change against the baseline, with the interval of the difference.'
  )
  if any(figure.paper for figure in figures):
    caption += f' “Paper”: {PAPER}.'
  if sweep.others:
    caption += f' Left out, since a line has their share: {", ".join(sweep.others)}.'
  lines = [Line([Cell(formatting.share(share)), *(_cell(figure, share, row) for figure in figures)]) for share, row in sweep.rows.items()]
  return Table(caption, [Cell('Code'), *(Cell(figure.name) for figure in figures)], lines)


def _cell(figure: Figure, share: float, row: Row) -> Cell:
  form = points if figure.is_score else formatting.bits
  estimate, change = figure.of(row), figure.change(row)
  if not estimate:
    return Cell(formatting.UNKNOWN)
  notes = [f'{form(estimate.low)} … {form(estimate.high)}'] if estimate.has_interval else []
  notes += [f'{estimate.seeds} seeds' if estimate.seeds > 1 else 'items only'] if estimate.has_interval else []
  if change and not row.is_compared_with_itself:
    ends = f' ({formatting.signed(change.low)} … {formatting.signed(change.high)})' if change.has_interval else ''
    notes.append(f'change {formatting.signed(change.value)}{"" if figure.is_score else "%"}{ends}')
  notes += [f'paper {points(figure.paper[share])}'] if share in figure.paper else []
  return Cell(form(estimate.value), notes)
