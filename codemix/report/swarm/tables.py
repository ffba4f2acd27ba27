"""The tables of a swarm's report, each made once; `page` and `text` render them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from codemix import formatting
from codemix.inference.regression import Slope
from codemix.report.swarm.columns import domain_groups, few
from codemix.report.swarm.content import Content
from codemix.report.swarm.designs import ALONE
from codemix.report.swarm.effects import Effect
from codemix.report.table import Cell, Line, Table

_LABELS = {ALONE: 'By itself', 'groups': 'Groups adjusted', 'domains': 'Each domain adjusted'}


def groups(content: Content) -> Table:
  """The effect on every group of tasks."""
  caption = (
    f'Change of the mean {content.figure} of each group for 10 points more code, all other domains in proportion, with 95% intervals; '
    f'adjusted for {content.designs.main.label}. Coloured, with a verdict: what remains after Holm’s correction for the {len(content.groups)} groups of this table.'
  )
  return Table(caption, _header(content, 'Group'), [_line(content, effect, _size(effect)) for effect in content.groups], texts=2)


def tasks(content: Content) -> Table:
  """The effect on every task, under its group."""
  caption = (
    f'The same for each of the {len(content.tasks)} tasks, with Holm’s correction for all of them: change of the {content.figure} for 10 points more code.'
  )
  lines, in_group = [], set()
  for name, members in content.swarm.groups.items():
    found = [effect for effect in content.tasks if effect.name in members]
    in_group.update(members)
    if found:
      lines += [Line([Cell(name)], 'group'), *(_line(content, effect) for effect in found)]
  if rest := [effect for effect in content.tasks if effect.name not in in_group]:
    lines += [Line([Cell('in no group')], 'group'), *(_line(content, effect) for effect in rest)]
  return Table(caption, _header(content, 'Task'), lines, texts=2)


def shapes(content: Content) -> Table:
  """Line or curve of every group, and the two halves of the range of code."""
  designs = content.designs
  low, middle, high = (formatting.share(round(share, 3)) for share in (designs.low, (designs.low + designs.high) / 2, designs.high))
  what = 'a restricted cubic spline with knots at ' + ', '.join(formatting.share(round(knot, 3)) for knot in designs.knots) if designs.knots else 'a quadratic curve'
  caption = (
    f'The shape. A curve ({what}, chosen before the figures were seen) is taken only if it is better than the line: p by Holm’s method over the groups. '
    f'The changes are read off the shape that is taken, with 95% intervals. From {low} to {high} of code are four fifths of the mixtures.'
  )
  header = [Cell('Group'), Cell('Shape'), Cell('p of a line'), Cell(f'{low} to {middle} of code'), Cell(f'{middle} to {high} of code')]
  lines = [
    Line([Cell(e.name), Cell('curve' if e.shape.curved else 'line'), Cell(p_value(e.bend_p)), *(Cell(signed(h.value), ends(h)) for h in e.shape.halves)])
    for e in content.groups
  ]  # fmt: skip
  return Table(caption, header, lines, texts=2)


def influence(content: Content) -> Table:
  """What single runs do to the slope of every group."""
  caption = 'The change for 10 points more code without each run in turn: the least and the largest, and the run that moves it most. A run is left out of a result only for a reason other than its figure.'
  header = [Cell(name) for name in ('Group', 'All runs', 'Least', 'Largest', 'Most moved without', 'To')]
  lines = [
    Line([Cell(e.name), *map(Cell, (signed(e.slope.value), signed(e.influence.low), signed(e.influence.high), e.influence.run, signed(e.influence.without)))])
    for e in content.groups
  ]
  return Table(caption, header, lines)


def domains(content: Content) -> Table:
  """What the mixtures are of: code, and the groups of other domains with what they have to do with code."""
  swarm = content.swarm
  code_N = swarm.code_N
  caption = (
    'The mixtures. Share: over all runs; in brackets from the least to the largest. Correlation: of the group’s part of what is not code with the share of code. '
    'If it is far from 0, the effect of the group is taken for that of code unless it is adjusted for.'
  )
  header = [Cell('Domains'), Cell('Columns'), Cell('Mean share', ['least to largest']), Cell('Correlation with code')]
  lines = [Line([Cell('code', [few(swarm.code, 20)]), Cell(f'{len(swarm.code)}'), _shares(code_N), Cell()], 'total')]
  rest_N = np.maximum(1 - code_N, 1e-12)
  for name, members in domain_groups(swarm.others).items():
    share_N = swarm.shares_NxD[:, [swarm.domains.index(member) for member in members]].sum(axis=1)
    part_N = share_N / rest_N
    varies = np.ptp(part_N) > 1e-9 and np.ptp(code_N) > 0
    correlation = float(np.corrcoef(part_N, code_N)[0, 1]) if varies else float('nan')
    lines.append(Line([Cell(name), Cell(f'{len(members)}'), _shares(share_N), Cell(signed(correlation, 2))]))
  return Table(caption, header, lines)


def signed(value: float, digits: int = 3) -> str:
  """-0.0312 -> '\u22120.031', with a true minus; what rounds to zero has no sign."""
  if not formatting.known(value):
    return formatting.UNKNOWN
  rounded = round(value, digits)
  return f'{formatting.MINUS if rounded < 0 else "+" if rounded > 0 else ""}{abs(rounded):.{digits}f}'


def ends(slope: Slope) -> list[str]:
  low, high = slope.interval()
  return [f'{signed(low)} … {signed(high)}'] if formatting.known(low) else ['no noise to be seen: fitted exactly']


def p_value(p: float) -> str:
  if not formatting.known(p):
    return formatting.UNKNOWN
  return '<0.001' if p < 0.001 else f'{p:.3f}'


def _header(content: Content, first: str) -> list[Cell]:
  others = [name for name in content.designs.names if name != content.designs.main.name]
  cells = [Cell(first), Cell('As code rises'), Cell('Mean'), Cell('Change', [_LABELS[content.designs.main.name].lower()])]
  return [*cells, *(Cell(_LABELS[name]) for name in others), Cell('p', ['Holm']), Cell('p', ['permutations'])]


def _line(content: Content, effect: Effect, notes: Sequence[str] = ()) -> Line:
  others = [name for name in content.designs.names if name != content.designs.main.name]
  verdict = effect.verdict if effect.permutations_agree or effect.verdict == 'not told apart' else f'{effect.verdict}, but not by permutations'
  short: Callable[[str], Cell] = lambda name: Cell(signed(effect.slopes[name].value), ends(effect.slopes[name])) if name in effect.slopes else Cell(formatting.UNKNOWN)
  main = short(effect.main)
  mark = '' if effect.verdict == 'not told apart' else 'better' if (effect.verdict == 'falls') == content.lower_is_better else 'worse'
  cells = [
    Cell(effect.name, notes), Cell(verdict), Cell(f'{effect.mean:.3f}', [f'{effect.runs:,} runs']), Cell(main.text, main.notes, mark),
    *map(short, others), Cell(p_value(effect.p)), Cell(p_value(effect.permuted)),
  ]  # fmt: skip
  return Line(cells)


def _size(effect: Effect) -> list[str]:
  return [formatting.count(len(effect.tasks), 'task')]


def _shares(share_N: np.ndarray) -> Cell:
  return Cell(formatting.percent(float(share_N.mean())), [f'{formatting.percent(float(share_N.min()))} … {formatting.percent(float(share_N.max()))}'])
