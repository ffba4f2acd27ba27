"""The tables of a report, each made once; `html` and `markdown` render them."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from codemix import formatting
from codemix.evaluation.statistics import Estimate
from codemix.report import frames
from codemix.report.comparison import Row
from codemix.report.content import Content
from codemix.report.correction import corrected
from codemix.report.margins import p_of_equality
from codemix.report.noise import CAPTION, floor_lines
from codemix.report.table import Cell, Line, Table, once
from codemix.report.tree import Node
from codemix.studies.arms import Arm

CHAINS = {
  'start': 'the chain starts here',
  'continued': 'the chain continues that of the start',
  'linked': 'chain whole',
  'broken': 'CHAIN BROKEN: it does not follow its parent’s ledger',
  'none': 'no ledger yet',
}
AS_PLANNED = {True: 'yes', False: 'NO', None: 'not known yet'}


@once
def summary(content: Content) -> Table:
  """Every arm after its last evaluated stage, by kind."""
  study, outcomes = content.study, content.outcomes
  caption = 'Every arm after its last evaluated stage: bits per byte with 95% intervals'
  if study.baseline:
    of_model = ' of the same model' if len(content.models) > 1 else ''
    caption += f', and the change against {content.compared_with}{of_model}: of each seed against the same seed, of several against all seeds'
  caption += (
    '. An arm is all recipes that differ in their seed alone. With one seed, an interval covers the choice of '
    'validation documents only; with several, documents and seeds, and SD is the spread of the seeds.'
  )
  header = [Cell(name) for name in ('Arm', 'After', 'Seeds', 'Tokens', 'Code')]
  for label, measure in outcomes:
    count = len(content.measures[measure].sources)
    header.append(Cell(f'On {label}', [f'{count} sources'] if count > 1 else []))
    header += [Cell('Change')] if study.baseline else []

  def figures(row: Row | None, of_seed: bool) -> Iterable[Cell]:
    for _, measure in outcomes:
      yield _bits(row, measure)
      if study.baseline:
        yield _change(content, row, measure, of_seed)

  lines = []
  for model in content.models:
    lines += _model_line(content, model.label)
    for arm in model.arms:
      row = content.latest(arm)
      after = row.stage.name if row else 'not evaluated yet'
      progress = _progress(row) if row else [Cell(formatting.UNKNOWN)] * 2
      lines.append(Line([_arm(content, arm, _against(content, arm)), Cell(after), Cell(_seeds(arm, row)), *progress, *figures(row, False)], 'final'))
      for label, seed in content.seed_lines(arm, row.position) if row else []:
        lines.append(Line([_seed(label, seed), *[Cell()] * 4, *figures(seed, True)], 'seed'))
  return corrected(Table(caption, header, lines, texts=2), percent_margin(content))


@once
def bits_by_stage(content: Content) -> Table:
  """Bits per byte of every arm after every stage, by source."""
  caption = 'Bits per byte on each validation source, with 95% intervals: over documents, and over seeds where there are several.'
  return _by_source(content, caption, content.arms, lambda row, source, of_seed: _bits(row, source))


@once
def changes_by_stage(content: Content) -> Table:
  """The change of every arm against its baseline after every stage, by source."""
  caption = (
    f'Change against {content.compared_with} after the same number of tokens, with 95% paired intervals: over '
    'documents, and over seeds where there are several.'
  ) + CAPTION
  table = _by_source(content, caption, compared_arms(content), functools.partial(_change, content))
  measures = [content.measures[source] for source in content.study.validation_sources]
  columns = [lambda folder, of=measure: of.figure(folder)[0] if folder in of.totals else math.nan for measure in measures]
  table = dataclasses.replace(table, lines=[*table.lines, *floor_lines(content, columns, True, formatting.percent, blank=2)])
  return corrected(table, percent_margin(content))


def percent_margin(content: Content) -> str:
  """Of changes of bits per byte, in words; '' if there is none."""
  return f'{content.margins.percent:g}%' if content.margins.percent is not None else ''


def compared_arms(content: Content) -> list[Arm]:
  """The arms that are compared with another."""
  return [arm for arm in content.arms if not content.rows_of(arm)[-1].is_baseline]


def _by_source(content: Content, caption: str, shown: Sequence[Arm], cell: Callable[[Row, str, bool], Cell]) -> Table:
  sources = content.study.validation_sources
  header = [*(Cell(name) for name in ('After stage', 'Tokens', 'Code so far')), *(_source(content, s) for s in sources)]

  def cells(row: Row, of_seed: bool) -> list[Cell]:
    progress = [Cell(), Cell()] if of_seed else _progress(row)
    return [*progress, *(cell(row, source, of_seed) for source in sources)]

  return Table(caption, header, by_stage(content, shown, cells))


def by_stage(
  content: Content,
  shown: Sequence[Arm],
  cells: Callable[[Row, bool], Sequence[Cell]],
  below: Callable[[Row], Sequence[Line]] = lambda row: (),
) -> list[Line]:
  """A line for every arm after every stage, and for each of its seeds.

  Args:
    cells: of a row, after its first; the second argument says whether the row is that of one seed of several.
    below: more lines, after the seeds.
  """
  lines = []
  for model in content.models:
    lines += _model_line(content, model.label)
    for arm in model.arms:
      if arm not in shown:
        continue
      seeds = [f'{len(arm.recipes)} seeds'] if len(arm.recipes) > 1 else []
      lines.append(Line([_arm(content, arm, [*seeds, *_against(content, arm)])], 'group'))
      for row in content.rows_of(arm):
        stage = Cell(f'{row.position} {row.stage.name}', [] if row.bits else [row.stage.state])
        lines.append(Line([stage, *cells(row, False)], 'final' if row.last else ''))
        for label, seed in content.seed_lines(arm, row.position):
          lines.append(Line([_seed(label, seed), *cells(seed, True)], 'seed'))
        lines += below(row)
  return lines


@once
def shares(content: Content) -> Table:
  """The share of each source in each stage: asked for, and realised."""
  sources = content.study.training_sources
  caption = 'For each stage: the share asked for, and beside it the share of the tokens that the model was trained on.'
  header = [Cell('Stage'), Cell('Plan = realised'), Cell('Tokens'), *(_source(content, s) for s in sources)]
  lines = []
  for node in content.nodes:
    ledger = frames.ledger_of(node.stage)
    cells = [
      Cell(formatting.percent(ledger[s]['share'], 2), [formatting.percent(ledger[s]['realised_share'], 2)]) if s in ledger else Cell()
      for s in sources
    ]
    lines.append(Line([_stage(node), Cell(AS_PLANNED[node.as_planned]), Cell(formatting.integer(node.tokens)), *cells]))
  return Table(caption, header, lines, texts=2)


def ledger(content: Content, nodes: Sequence[Node]) -> Table:
  """The ledgers of stages, planned beside realised; each below its folder if there are several."""
  names = [column.replace('_cumulative', ', run').replace('_', ' ') for column in frames.LEDGER_COLUMNS]
  lines = []
  for node in nodes:
    if len(nodes) > 1:
      lines.append(Line([Cell(node.stage.folder, [CHAINS[node.chain]])], 'group'))
    of = frames.ledger_of(node.stage)
    for source in content.study.training_sources:
      if source in of:
        lines.append(Line([_source(content, source), Cell('planned'), *_side(of[source], 'planned')]))
        lines.append(Line([Cell(), Cell('realised'), *_side(of[source], 'realised')]))
  return Table('The ledger', [Cell('Source'), Cell(), *map(Cell, names)], lines, texts=2, ordered=True)


def _side(line: Mapping[str, float], side: str) -> Iterable[Cell]:
  for column in frames.LEDGER_COLUMNS:
    value = line[f'{side}_{column}']
    if side == 'realised' and not formatting.known(value):
      yield Cell()  # only some columns are counted during training
    else:
      yield Cell(formatting.ledger(value, column), mark='' if value == line[f'planned_{column}'] or side == 'planned' else 'unlike')


@once
def costs(content: Content) -> Table:
  """What each stage cost, and all together."""
  caption = (
    'What each stage cost. FLOPs are counted from the model. Time is measured by the clock, over all processes that '
    'worked on the stage. Goodput is the share of it that went into the steps that made the model.'
  )
  header = [Cell(name) for name in ('Stage', 'Steps', 'Tokens', 'FLOPs', 'Time', 'Goodput', 'Tokens/s')]

  def line(name: Cell, figures: Sequence[float], kind: str = '') -> Line:
    steps, tokens, flops, seconds, goodput, speed = figures
    texts = [formatting.integer(steps), formatting.integer(tokens), formatting.power(flops), formatting.duration(seconds)]
    texts += [formatting.percent(goodput, 0), formatting.integer(speed)]
    cells = [Cell(text, value=figure if formatting.known(figure) else None) for text, figure in zip(texts, figures, strict=True)]
    return Line([name, *cells], kind)

  figures = [(n.steps, n.tokens, n.flops, n.seconds, n.goodput, n.tokens_per_second) for n in content.nodes]
  sums = [_total(column) for column in zip(*figures, strict=True)]
  whole = [*sums[:4], content.times.goodput if content.times else math.nan, math.nan]
  lines = [line(_stage(node), of) for node, of in zip(content.nodes, figures, strict=True)]
  return Table(caption, header, [*lines, line(Cell('All stages'), whole, 'total')])


def _total(values: Iterable[float]) -> float:
  """The sum of what is known so far; NaN if nothing is."""
  known = [value for value in values if formatting.known(value)]
  return sum(known) if known else math.nan


def _bits(row: Row | None, measure: str) -> Cell:
  figure = row and row.bits.get(measure)
  if not figure:
    return Cell(formatting.UNKNOWN)
  spread = [f'SD {figure.spread:.2g}'] if figure.seeds > 1 else []
  return Cell(formatting.bits(figure.value), [*interval(figure, formatting.bits), *spread])


def _change(content: Content, row: Row | None, measure: str, of_seed: bool) -> Cell:
  figure = row and row.changes.get(measure)
  if not figure:
    return Cell(formatting.UNKNOWN)
  if row.is_baseline:
    return Cell(notes=['baseline'])
  if row.is_compared_with_itself:
    return Cell(notes=['same model'])
  notes = interval(figure, formatting.signed)
  if figure.seeds > 1:
    notes.append(f'SD {100 * figure.spread:.2g}%, {figure.in_seeds}')
  elif figure.has_interval and not of_seed:
    notes.append('documents only')
  return change_cell(
    formatting.signed_percent(figure.value), notes, row, figure, of_seed, 'better' if figure.value < 0 else 'worse', p_of_equality(figure, content.margins.percent)
  )


def change_cell(text: str, notes: Sequence[str], row: Row, figure: Estimate, of_seed: bool, mark: str, equal_p: float | None) -> Cell:
  """A change, coloured and tested if it is of several seeds, at equal tokens.

  Args:
    mark: of an effect. equal_p: the p-value of equality within a margin; None if it is not tested.
  """
  if not row.contrast.same_tokens:
    return Cell(text, [*notes, 'other tokens'])
  p, equal_p = (None, None) if of_seed else (figure.p, equal_p)
  return Cell(text, notes, mark if figure.is_effect else '', p=p, equal_p=equal_p)


def interval(figure: Estimate, form: Callable[[float], str]) -> list[str]:
  few = ' †' if figure.rests_on_few else ''
  return [f'{form(figure.low)} … {form(figure.high)}{few}'] if figure.has_interval else []


def _model_line(content: Content, label: str) -> list[Line]:
  return [Line([Cell(label)], 'model')] if len(content.models) > 1 else []


def _arm(content: Content, arm: Arm, notes: Sequence[str] = ()) -> Cell:
  return Cell(arm.name, notes, paint=content.arm_paints[arm.name])


def _against(content: Content, arm: Arm) -> list[str]:
  own = content.own_baseline_of(arm)
  return [f'against {own}'] if own else []


def _source(content: Content, source: str) -> Cell:
  return Cell(source, paint=content.source_paints[source])


def _stage(node: Node) -> Cell:
  return Cell(node.stage.name, [node.users])


def _seed(label: str, row: Row) -> Cell:
  return Cell(label, [] if row.bits else [row.stage.state])


def _progress(row: Row) -> list[Cell]:
  tokens = row.tokens_so_far if formatting.known(row.tokens_so_far) else None
  return [Cell(formatting.tokens(row.tokens_so_far), value=tokens), Cell(formatting.percent(row.code_share))]


def _seeds(arm: Arm, row: Row | None) -> str:
  """How many seeds stand behind an arm's figures: '3', or '2 of 3' while one is not evaluated."""
  evaluated = max((figure.seeds for figure in row.bits.values()), default=0) if row else 0
  return str(evaluated) if evaluated == len(arm.recipes) else f'{evaluated} of {len(arm.recipes)}'
