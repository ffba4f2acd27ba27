"""The tables of benchmarks: aggregates, scores and changes by group, bits per byte of the answers, clean items."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from codemix import formatting
from codemix.evaluation.statistics import Estimate
from codemix.report.comparison import Row
from codemix.report.content import Content
from codemix.report.correction import corrected
from codemix.report.margins import p_of_equality
from codemix.report.noise import CAPTION, floor_lines
from codemix.report.paper_models import of_row
from codemix.report.scores import Score
from codemix.report.suite import Benchmark, Group
from codemix.report.table import Cell, Line, Table, once
from codemix.report.tables import by_stage, change_cell, compared_arms, interval, percent_margin

SYNTHETIC = (
  ' Table 2 does not say so, but its balanced→text has the scores of balanced+synthetic→text in Figure 5, and its code→text begins with those of code+synthetic: '
  'both probably have synthetic code.'
)
_BASELINES = (('chance', 'Chance'), ('majority', 'Majority answer'))


@once
def aggregates(content: Content) -> Table:
  """The paper's aggregates of every arm after every stage, with the paper's own figures below its arms."""
  columns = content.suite.aggregates
  caption = (
    'Macro-averages of the scores in percent, at no examples, with 95% intervals over items, and over seeds where there are several. '
    'NL Avg weighs reasoning and knowledge alike, Total the three categories.'
  )

  def of_paper(row: Row) -> Iterator[Line]:
    for model in of_row(content, row):
      yield Line([Cell(f'the paper, {model.size}', [f'{model.label}, {model.source}']), *(Cell(formatting.points(model.score(column.label))) for column in columns)], 'seed')

  lines = by_stage(content, content.arms, lambda row, _: [_score(row, column.score, _ends) for column in columns], of_paper)
  sources = dict.fromkeys(model.source for row in content.arm_rows for model in of_row(content, row))
  if sources:
    caption += (
      f' “the paper”: what it prints for the model that is trained alike, in the ratios of its tokens ({", ".join(sorted(sources))}); its averages are of all tasks of a group, and “–” is not printed.'
    )
    caption += SYNTHETIC if any('→text' in model.arm and model.source == 'Table 2' for row in content.arm_rows for model in of_row(content, row)) else ''
  header = [Cell('After stage'), *(Cell(column.label, [column.coverage]) for column in columns)]
  return Table(caption, header, [*lines, *_guesses(lambda kind: [column.baseline(kind) for column in columns])])


@once
def aggregate_changes(content: Content) -> Table:
  """The change of the aggregates against the baseline."""
  columns = content.suite.aggregates
  header = [Cell('After stage'), *(Cell(column.label, [column.coverage]) for column in columns)]
  return _changes(content, 'the aggregates', header, [column.score for column in columns])


def details(content: Content, group: Group) -> Iterator[tuple[str, Table]]:
  """(title, table) of what a group has besides its scores."""
  if group.scored and content.study.baseline:
    yield 'Change of the scores against the baseline', score_changes(content, group)
  if _with_gold(group):
    yield 'Bits per byte of the right answers', gold_bits(content, group)
    if content.study.baseline:
      yield 'Change of the bits per byte against the baseline', gold_changes(content, group)
  if table := gold_probability(content, group):
    yield 'Probability of the right choice', table
  if table := clean(content, group):
    yield 'Scores on clean items', table


@once
def scores(content: Content, group: Group) -> Table:
  """The headline scores of a group and their macro-average."""
  metrics: dict[str, list[str]] = {}
  for benchmark in group.scored:
    metrics.setdefault(benchmark.metric or 'score', []).append(benchmark.name)
  named = '; '.join(f'{metric} of {", ".join(names)}' for metric, names in metrics.items())
  caption = f'{group.label}: {named}; in percent, ± the standard error over items.'

  def cells(row: Row, _: bool) -> Iterator[Cell]:
    for benchmark in group.scored:
      yield _score(row, benchmark.score, _error) if not _is_apart(row, benchmark) else Cell(formatting.points(_apart_score(row, benchmark)), ['other settings'])
    yield _score(row, group.average, _error)

  lines = by_stage(content, content.arms, lambda row, of_seed: list(cells(row, of_seed)))
  items = Line([Cell('Items'), *(Cell(formatting.integer(benchmark.items)) for benchmark in group.scored), Cell()])
  return Table(caption, _header(group), [*lines, *_guesses(lambda kind: _of_group(group, kind)), items])


@once
def score_changes(content: Content, group: Group) -> Table:
  """The changes of a group's scores and of their average against the baseline."""
  return _changes(content, group.label, _header(group), [*(benchmark.score for benchmark in group.scored), group.average])


@once
def gold_bits(content: Content, group: Group) -> Table:
  """Bits per byte of the right answers of a group."""
  shown = _with_gold(group)
  caption = f'{group.label}: bits per byte of the right answers, lower is better, with 95% intervals over items.'

  def cells(row: Row, _: bool) -> list[Cell]:
    figures = [benchmark.gold.bits(row.folders) for benchmark in shown]
    return [_figure(figure, formatting.bits, _ends_of(formatting.bits)) for figure in figures]

  return Table(caption, [Cell('After stage'), *(Cell(b.name) for b in shown)], by_stage(content, content.arms, cells))


@once
def gold_changes(content: Content, group: Group) -> Table:
  """The changes of the bits per byte of the right answers against the baseline, in percent of them."""
  shown = _with_gold(group)
  caption = f'{group.label}: change of the bits per byte of the right answers against {content.compared_with}, in percent, with 95% paired intervals over items.' + CAPTION

  def cells(row: Row, of_seed: bool) -> list[Cell]:
    figures = [benchmark.gold.change(row.contrast) for benchmark in shown]
    return [_change(row, figure, of_seed, formatting.signed_percent, content.margins.percent, lower_is_better=True) for figure in figures]

  columns = [lambda folder, of=b.gold: of.figure(folder)[0] if folder in of.totals else math.nan for b in shown]
  lines = [*by_stage(content, compared_arms(content), cells), *floor_lines(content, columns, True, formatting.percent)]
  return corrected(Table(caption, [Cell('After stage'), *(Cell(b.name) for b in shown)], lines), percent_margin(content))


@once
def gold_probability(content: Content, group: Group) -> Table | None:
  """The mean normalised probability of the right choice; None if no benchmark of the group has it."""
  shown = [(benchmark, found) for benchmark in group.benchmarks if (found := benchmark.other('gold_probability'))]
  if not shown:
    return None
  caption = f'{group.label}: probability of the right choice among the choices, in percent, mean over items.'
  cells = lambda row, _: [Cell(formatting.points(_mean_known(row, found))) for _, found in shown]
  return Table(caption, [Cell('After stage'), *(Cell(b.name) for b, _ in shown)], by_stage(content, content.arms, cells))


@once
def clean(content: Content, group: Group) -> Table | None:
  """The scores on the items that the scan found clean; None if no benchmark of the group was searched for."""
  names = [benchmark.name for benchmark in group.scored if any(benchmark.name in of for of in content.clean.values())]
  if not names:
    return None
  caption = (
    f'{group.label}: scores in percent on the items that contamination.json has as clean for the stage. Below: on all items, and how many are clean. '
    'Stages differ in their clean items, so these figures are not compared with each other.'
  )
  all_items = {benchmark.name: benchmark.score for benchmark in group.scored}

  def cell(row: Row, name: str) -> Cell:
    known = [(folder, content.clean[folder][name]) for folder in dict.fromkeys(row.folders) if name in content.clean.get(folder, {})]
    known = [(folder, found) for folder, found in known if 'score' in found]
    if not known:
      return Cell(formatting.UNKNOWN)
    value = sum(found['score'] for _, found in known) / len(known)
    counts = ', '.join(dict.fromkeys(f'{found["items"]:,} of {found["items"] + found["left_out"]:,}' for _, found in known))
    whole = all_items[name].mean(folder for folder, _ in known)
    return Cell(formatting.points(value), [f'{formatting.points(whole.value)} on all' if whole else '', counts])

  lines = by_stage(content, content.arms, lambda row, _: [cell(row, name) for name in names])
  guesses = _guesses(lambda kind: [getattr(benchmark, kind) for benchmark in group.scored if benchmark.name in names])
  return Table(caption, [Cell('After stage'), *map(Cell, names)], [*lines, *guesses])


def _changes(content: Content, what: str, header: Sequence[Cell], columns: Sequence[Score]) -> Table:
  caption = (
    f'Change of {what} against {content.compared_with} after the same number of tokens, in points (hundredths), with 95% paired '
    'intervals: over items, and over seeds where there are several.'
  ) + CAPTION

  def cells(row: Row, of_seed: bool) -> list[Cell]:
    return [_change(row, score.change(row.contrast), of_seed, formatting.signed, content.margins.points, lower_is_better=False) for score in columns]

  lines = [*by_stage(content, compared_arms(content), cells), *floor_lines(content, [score.value for score in columns], False, formatting.points)]
  return corrected(Table(caption, header, lines), f'{content.margins.points:g} points' if content.margins.points is not None else '')


def _header(group: Group) -> list[Cell]:
  count = len(group.scored)
  return [Cell('After stage'), *(Cell(b.name) for b in group.scored), Cell('Average', [f'{count} of {group.declared} tasks'])]


def _guesses(of_kind: Callable[[str], Sequence[float]]) -> Iterator[Line]:
  """What guessing gives, in every table of scores."""
  for number, (kind, label) in enumerate(_BASELINES):
    yield Line([Cell(label), *(Cell(formatting.points(value)) for value in of_kind(kind))], '' if number else 'total')


def _of_group(group: Group, kind: str) -> list[float]:
  values = [getattr(benchmark, kind) for benchmark in group.scored]
  return [*values, sum(values) / len(values)]


def _with_gold(group: Group) -> list[Benchmark]:
  return [benchmark for benchmark in group.benchmarks if benchmark.gold.totals]


def _is_apart(row: Row, benchmark: Benchmark) -> bool:
  return any(folder in benchmark.apart for folder in row.folders) and not any(folder in benchmark.task.values for folder in row.folders)


def _apart_score(row: Row, benchmark: Benchmark) -> float:
  return _mean_known(row, benchmark.other('score'))


def _mean_known(row: Row, values: Mapping[str, float]) -> float:
  known = [values[folder] for folder in dict.fromkeys(row.folders) if folder in values]
  return sum(known) / len(known) if known else math.nan


def _score(row: Row, score: Score, small: Callable[[Estimate], list[str]]) -> Cell:
  return _figure(score.mean(row.folders), formatting.points, small)


def _figure(figure: Estimate | None, form: Callable[[float], str], small: Callable[[Estimate], list[str]]) -> Cell:
  if not figure:
    return Cell(formatting.UNKNOWN)
  spread = [f'{figure.seeds} seeds'] if figure.seeds > 1 else []
  return Cell(form(figure.value), [*small(figure), *spread])


def _error(figure: Estimate) -> list[str]:
  return [f'±{formatting.points(figure.error)}'] if formatting.known(figure.error) else []


def _ends_of(form: Callable[[float], str]) -> Callable[[Estimate], list[str]]:
  return lambda figure: interval(figure, form)


def _ends(figure: Estimate) -> list[str]:
  return interval(figure, formatting.points)


def _change(row: Row, figure: Estimate | None, of_seed: bool, form: Callable[[float], str], margin: float | None, lower_is_better: bool) -> Cell:
  if not figure:
    return Cell(formatting.UNKNOWN)
  if row.is_compared_with_itself:
    return Cell(notes=['same model'])
  notes: list[str] = interval(figure, formatting.signed)
  if figure.seeds > 1:
    notes.append(f'SD {100 * figure.spread:.2g}, {figure.in_seeds}')
  elif figure.has_interval and not of_seed:
    notes.append('items only')
  better = (figure.value < 0) == lower_is_better
  return change_cell(form(figure.value), notes, row, figure, of_seed, 'better' if better else 'worse', p_of_equality(figure, margin))

