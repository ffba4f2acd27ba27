"""The shape of the effect over the share of code: studies whose arms differ in the share of code of one stage (`sweep`)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from codemix import formatting
from codemix.evaluation.statistics import Estimate
from codemix.published.models import by_share
from codemix.report import palette, svg
from codemix.report.comparison import Row
from codemix.report.content import Content, Model
from codemix.report.paper_size import paper_size
from codemix.report.svg import Picture
from codemix.report.table import Cell, Line, Table, once
from codemix.report.trained_on import code_share
from codemix.studies.arms import Arm
from codemix.studies.counterpart import SAME_TOKENS

LEAST_SHARES = 3  # of a shape; two are a difference
_COLOUR = palette.ARMS[4][0]
PAPER = 'the paper, 470M, Figure 4'
CONTROL = 'baseline of as many tokens'


@dataclasses.dataclass(frozen=True)
class Sweep:
  """Arms of one model that differ in the share of code of one stage.

  Attributes:
    label: of the model and of what else the arms have in common; '' if the study has no other sweep.
    stage: whose share differs.
    is_papers: whether it stands for the paper's sweep: its stage is the only one, all spend the same tokens, and the model is not that of 2.8B parameters.
    rows: by the share of code, ascending: the arm after its last stage.
    others: arms that are left out, since `rows` has another arm of their share.
    controls: if the arms spend other numbers of tokens, the baseline of as many tokens that each is compared with, by its share;
      else {}.
  """

  label: str
  stage: str
  is_papers: bool
  rows: Mapping[float, Row]
  others: Sequence[str]
  controls: Mapping[float, Row]


@dataclasses.dataclass(frozen=True)
class Figure:
  """What is shown over the share of code.

  Attributes:
    name: of a held-out source or kind, or of a group of tasks.
    is_score: in percent and higher is better; otherwise bits per byte.
    of: its value of an arm; None if there is none.
    change: against the baseline; None if there is none.
    paper: the paper's figures by share.
    coverage: '3 of 11 tasks' if not all of the group's were scored, so that the average is another one than the paper's.
  """

  name: str
  is_score: bool
  of: Callable[[Row], Estimate | None]
  change: Callable[[Row], Estimate | None]
  paper: Mapping[float, float]
  coverage: str = ''

  @property
  def title(self) -> str:
    return f'{self.name} ({self.coverage})' if self.coverage else self.name


@once
def sweeps(content: Content) -> list[Sweep]:
  """The sweeps of the study, of each model. Arms are of one sweep if they have as many stages, differ in one share of code, and spend the same tokens.

  Of those that spend other tokens than any sweep, arms that each name a baseline of as many tokens (`Recipe.baseline`) are one sweep
  too: additive designs. Of arms with one share, those that `codemix.studies.sweep` made come first, then those that the study names first.
  """
  found = [(model, family) for model in content.models for family in _families(content, model)]
  several_models, several = len({id(model) for model, _ in found}) > 1, len(found) > 1
  return [
    Sweep(
      label=', '.join(filter(None, [model.label if several_models else '', _in_common(content, arms, index) if several else ''])),
      stage=content.rows_of(arms[0])[index].stage.name,
      is_papers=len(content.rows_of(arms[0])) == 1 and _spend_alike(content, arms) and paper_size(content, model) == '470M',
      rows=dict(sorted((_shares(content, arm)[index], content.rows_of(arm)[-1]) for arm in arms)),
      others=others,
      controls={} if _spend_alike(content, arms) else {_shares(content, arm)[index]: _baseline_row(content, arm) for arm in arms},
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
      by_share(group.label) if sweep.is_papers else {},
      '' if len(group.scored) == group.declared else f'{len(group.scored)} of {group.declared} tasks',
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
  known.sort(key=lambda arm: 'design' not in content.study.recipes[arm.recipes[0]].fields)  # stable: made by `sweep` first
  taken: set[str] = set()
  for index in range(max((len(_shares(content, arm)) for arm in known), default=0)):
    families: dict[tuple, list[Arm]] = {}
    for arm in known:
      shares = _shares(content, arm)
      if index < len(shares) and arm.name not in taken:
        families.setdefault((*shares[:index], None, *shares[index + 1 :]), []).append(arm)
    for family in families.values():
      groups = [(arms, _of_each_share(content, arms, index)) for arms in _by_tokens(content, family)]
      apart = [arm for arms, shown in groups if len(shown) < LEAST_SHARES for arm in arms if _baseline_row(content, arm)]
      for arms, shown in (*groups, (apart, _of_each_share(content, apart, index))):
        if len(shown) >= LEAST_SHARES:
          taken.update(arm.name for arm in shown)
          controls = {content.baseline_of(arm) for arm in shown} if arms is apart else set()
          yield index, shown, [arm.name for arm in arms if arm not in shown and arm.name not in controls]


def _of_each_share(content: Content, arms: Sequence[Arm], index: int) -> list[Arm]:
  """The first arm of each share of a stage."""
  of_share: dict[float, Arm] = {}
  for arm in arms:
    of_share.setdefault(_shares(content, arm)[index], arm)
  return list(of_share.values())


def _baseline_row(content: Content, arm: Arm) -> Row | None:
  """The baseline that an arm itself names, after its last stage; None if it names none, or one of other tokens."""
  if not content.study.recipes[arm.recipes[0]].baseline or not content.rows_of(arm)[-1].contrast.same_tokens:
    return None
  return content.rows_of(next(base for base in content.arms if base.name == content.baseline_of(arm)))[-1]


def _spend_alike(content: Content, arms: Sequence[Arm]) -> bool:
  return len(_by_tokens(content, arms)) == 1


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
  """The share of code of each stage; None if it is not known (`code_share`)."""
  return [code_share(row.stage, content.study.kinds) for row in content.rows_of(arm)]


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
  form, scale = (formatting.points, 100) if figure.is_score else (formatting.bits, 1)
  found = {share: estimate for share, row in sweep.rows.items() if (estimate := figure.of(row))}
  drawn = svg.figure(430, 270, margins=(58, 12, 44, 28))
  axes = drawn.add_subplot()
  axes.plot([100 * share for share in found], [scale * each.value for each in found.values()], color=_COLOUR, linewidth=1.2)
  if known := {share: each for share, each in found.items() if each.has_interval}:
    ends = [scale * (each.value - each.low) for each in known.values()], [scale * (each.high - each.value) for each in known.values()]
    axes.errorbar([100 * share for share in known], [scale * each.value for each in known.values()], ends, fmt='none', ecolor=_COLOUR, capsize=3, elinewidth=1.2)
  axes.plot([100 * share for share in found], [scale * each.value for each in found.values()], 'o', color=_COLOUR, markersize=6, label='with code')
  controls = {share: estimate for share, row in sweep.controls.items() if (estimate := figure.of(row))}
  if controls:
    axes.plot([100 * share for share in controls], [scale * each.value for each in controls.values()], 'o', color=palette.BASELINE[0], markerfacecolor='none', linestyle=(0, (5, 2)), linewidth=1, label=CONTROL)
    axes.legend(frameon=False, fontsize=9)
  if figure.paper:
    axes.plot([100 * share for share in figure.paper], [100 * value for value in figure.paper.values()], 's', color=palette.MUTED, markerfacecolor='none', linestyle=(0, (3, 2)), linewidth=1)
  axes.set_xlabel(f'code in {svg.short(sweep.stage, 24)} (%)')
  axes.set_ylabel('score, higher is better (%)' if figure.is_score else 'bits per byte, lower is better')
  axes.locator_params(nbins=6)
  axes.set_title(svg.short(f'{figure.title}{f" – {sweep.label}" if sweep.label else ""}', 52))
  lines = [('study', share, each.seeds, each.value, each.low, each.high) for share, each in found.items()]
  lines += [(CONTROL, share, each.seeds, each.value, each.low, each.high) for share, each in controls.items()]
  lines += [(PAPER, share, 1, value, math.nan, math.nan) for share, value in figure.paper.items()]
  told = '; '.join(f'{form(each.value)}{f" ({form(each.low)} to {form(each.high)})" if each.has_interval else ""} at {formatting.share(share)}' for share, each in found.items())
  beside = f' {CONTROL.capitalize()}: ' + '; '.join(f'{form(each.value)} at {formatting.share(share)}' for share, each in controls.items()) + '.' if controls else ''
  paper = f' {PAPER}: ' + '; '.join(f'{form(value)} at {formatting.share(share)}' for share, value in figure.paper.items()) + '.' if figure.paper else ''
  alt = f'{figure.title} by the share of code in {sweep.stage}{f", {sweep.label}" if sweep.label else ""}, with 95% intervals{_noise(found.values())}: {told}.{beside}{paper}'
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
  if sweep.controls:
    caption += f' Each share spends other tokens, and is compared with a {CONTROL}, whose figure is shown as “baseline”.'
  if any(figure.paper for figure in figures):
    caption += f' “Paper”: {PAPER}, whose plot was read to about 0.05 points.'
    caption += ' Its averages are of all tasks of a group.' if any(figure.coverage for figure in figures) else ''
  if sweep.others:
    caption += f' Left out, since a line has their share: {", ".join(sweep.others)}.'
  first = lambda share, row: Cell(formatting.share(share), [f'{formatting.tokens(row.tokens_so_far)} tokens'] if sweep.controls else [])
  lines = [Line([first(share, row), *(_cell(figure, share, row, sweep.controls.get(share)) for figure in figures)]) for share, row in sweep.rows.items()]
  return Table(caption, [Cell('Code'), *(Cell(figure.name, [figure.coverage] if figure.coverage else []) for figure in figures)], lines)


def _cell(figure: Figure, share: float, row: Row, control: Row | None) -> Cell:
  form = formatting.points if figure.is_score else formatting.bits
  estimate, change = figure.of(row), figure.change(row)
  if not estimate:
    return Cell(formatting.UNKNOWN)
  notes = [f'{form(estimate.low)} … {form(estimate.high)}'] if estimate.has_interval else []
  notes += [f'{estimate.seeds} seeds' if estimate.seeds > 1 else 'items only'] if estimate.has_interval else []
  if change and not row.is_compared_with_itself:
    ends = f' ({formatting.signed(change.low)} … {formatting.signed(change.high)})' if change.has_interval else ''
    other = '' if row.contrast.same_tokens else ', other tokens'
    notes.append(f'change {formatting.signed(change.value)}{"" if figure.is_score else "%"}{ends}{other}')
    if control and (base := figure.of(control)):
      notes.append(f'baseline {form(base.value)}')
  notes += [f'paper {formatting.points(figure.paper[share])}'] if share in figure.paper else []
  return Cell(form(estimate.value), notes)
