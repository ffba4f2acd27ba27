"""The report in short, as Markdown: for a terminal, a pull request or an issue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from codemix import formatting
from codemix.report import (
  judge_table,
  judged_pairs,
  paper_figures,
  provenance,
  shares,
  suite_tables,
  tables,
  tree,
)
from codemix.report.claim_table import claim_table
from codemix.report.content import Content
from codemix.report.markdown_parts import plain, table
from codemix.report.table import Cell, Line, Table
from codemix.report.tree import Node


def render(content: Content) -> str:
  """The page; texts of the study are escaped, or fenced if they are samples."""
  study = content.study
  parts = [
    f'# {plain(study.name)}',
    plain(study.note),
    *_boxes(content),
    *(['## Claims', table(claim_table(content.claims))] if content.claims else []),
    '## What the mixture did',
    table(tables.summary(content)),
    *map(plain, content.notes),
    *map(table, shares.tables(content)),
    '## What the recipes are',
    _recipes(content),
    '## After each stage',
    table(tables.bits_by_stage(content)),
    table(tables.changes_by_stage(content)) if study.baseline else '',
    *_benchmarks(content),
    *_paper(content),
    '## Data, planned and realised',
    table(tables.shares(content)),
    table(tables.ledger(content, content.shown_ledgers)) if content.shown_ledgers else '',
    '## The tree of stages',
    plain(tree.savings(study)),
    '\n'.join(_branches(content.tree)),
    table(tables.costs(content)),
    f'Where the time went: {content.times}.' if content.times else '',
    '## Samples',
    *(_samples(content) or ['No samples have been written.']),
    '## To repeat it',
    _fence(provenance.command(study)),
    _pairs(provenance.facts(study)),
    *(part for model in content.models for part in (
      f'The model of {plain(", ".join(arm.name for arm in model.arms))}: {plain(model.label)}.', _pairs(model.properties)
    )),
    '`report.html` has the curves and the plots; `results.csv` and `scores.csv` every number.',
  ]  # fmt: skip
  return '\n\n'.join(part for part in parts if part) + '\n'


def _benchmarks(content: Content) -> Iterable[str]:
  suite = content.suite
  if not suite.groups and not suite.judges:
    return
  yield '## Benchmarks'
  yield from map(plain, suite.notes)
  if suite.aggregates:
    yield table(suite_tables.aggregates(content))
    if content.study.baseline:
      yield table(suite_tables.aggregate_changes(content))
  for group in suite.groups:
    yield f'### {plain(group.label)}'
    if group.scored:
      yield table(suite_tables.scores(content, group))
    yield from (table(each) for _, each in suite_tables.details(content, group))
  if suite.judges:
    yield '### Judged pairs'
    yield table(judge_table.judged(content))


def _paper(content: Content) -> list[str]:
  found = paper_figures.tables(content) | judged_pairs.tables(content)
  return ['## Beside the paper', *map(table, found.values())] if found else []


def _boxes(content: Content) -> list[str]:
  boxes = [f'> **{content.caveat[0]}** {content.caveat[1]}']
  if content.missing:
    lines = '\n'.join(f'> - {plain(line)}' for line in content.missing)
    boxes.append(f'> **This study is not complete.**\n>\n{lines}')
  return boxes


def _recipes(content: Content) -> str:
  lines = []
  for model in content.models:
    for arm in model.arms:
      after = content.rows_of(arm)
      stages = [f'{row.stage.name} {formatting.tokens(row.tokens)} ({content.mixture(row.stage)})' for row in after]
      what = content.study.recipes[arm.recipes[0]].description
      seeds = f'seeds: {", ".join(arm.recipes)}' if len(arm.recipes) > 1 else ''
      size = model.label if len(content.models) > 1 else ''
      name = f'{arm.name} (baseline)' if after[-1].is_baseline else arm.name
      own = content.own_baseline_of(arm)
      cells = name, '; '.join(part for part in (what, size, seeds, own and f'compared with {own}') if part), ' → '.join(stages)
      lines.append(Line([*map(Cell, cells)]))
  return table(Table('', [Cell('Arm'), Cell('What'), Cell('Stages')], lines, texts=3))


def _branches(nodes: Sequence[Node], depth: int = 0) -> Iterable[str]:
  for node in nodes:
    ends = f' → **{plain(", ".join(node.ends))}**' if node.ends else ''
    shared = f', shared by {len(node.recipes)} recipes' if len(node.recipes) > 1 else ''
    state = '' if node.stage.state == 'evaluated' else f', {node.stage.state}'
    begins = f', begins with {plain(node.begins_with)}' if node.begins_with else ''
    yield f'{"  " * depth}- `{node.stage.folder}` {formatting.tokens(node.tokens)} tokens{begins}{shared}{state}{ends}'
    yield from _branches(node.children, depth + 1)


def _samples(content: Content) -> list[str]:
  parts = []
  for (prompt, method), answers in content.samples().items():
    parts.append(f'After the same prompt ({plain(method)}):')
    parts += [f'{plain(recipe)}:\n\n{_fence(prompt + text[:600])}' for recipe, text in answers]
  return parts


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
  return table(Table('', [Cell('What'), Cell('Value')], [Line([*map(Cell, pair)]) for pair in pairs], texts=2))


def _fence(text: str) -> str:
  """A code block whose fence is longer than any run of back-ticks in the text."""
  longest = max((len(run) for run in re.findall('`+', text)), default=0)
  fence = '`' * max(3, longest + 1)
  return f'{fence}text\n{text}\n{fence}'
