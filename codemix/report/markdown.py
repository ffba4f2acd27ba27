"""The report in short, as Markdown: for a terminal, a pull request or an issue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from codemix import formatting
from codemix.report import provenance, shares, suite_tables, tables, tree
from codemix.report.claim_table import claim_table
from codemix.report.content import Content
from codemix.report.markdown_parts import plain as _plain
from codemix.report.markdown_parts import table as _table
from codemix.report.table import Cell, Line, Table
from codemix.report.tree import Node


def render(content: Content) -> str:
  """The page; texts of the study are escaped, or fenced if they are samples."""
  study = content.study
  parts = [
    f'# {_plain(study.name)}',
    _plain(study.note),
    *_boxes(content),
    *(['## Claims', _table(claim_table(content.claims))] if content.claims else []),
    '## What the mixture did',
    _table(tables.summary(content)),
    *map(_plain, content.notes),
    *map(_table, shares.tables(content)),
    '## What the recipes are',
    _recipes(content),
    '## After each stage',
    _table(tables.bits_by_stage(content)),
    _table(tables.changes_by_stage(content)) if study.baseline else '',
    *_benchmarks(content),
    '## Data, planned and realised',
    _table(tables.shares(content)),
    _table(tables.ledger(content, content.nodes)),
    '## The tree of stages',
    _plain(tree.savings(study)),
    '\n'.join(_branches(content.tree)),
    _table(tables.costs(content)),
    f'Where the time went: {content.times}.' if content.times else '',
    '## Samples',
    *(_samples(content) or ['No samples have been written.']),
    '## To repeat it',
    _fence(provenance.command(study)),
    _pairs(provenance.facts(study)),
    *(part for model in content.models for part in (
      f'The model of {_plain(", ".join(arm.name for arm in model.arms))}: {_plain(model.label)}.', _pairs(model.properties)
    )),
    '`report.html` has the curves and the plots; `results.csv` and `scores.csv` every number.',
  ]  # fmt: skip
  return '\n\n'.join(part for part in parts if part) + '\n'


def _benchmarks(content: Content) -> Iterable[str]:
  suite = content.suite
  if not suite.groups and not suite.judges:
    return
  yield '## Benchmarks'
  yield from map(_plain, suite.notes)
  if suite.aggregates:
    yield _table(suite_tables.aggregates(content))
    if content.study.baseline:
      yield _table(suite_tables.aggregate_changes(content))
  for group in suite.groups:
    yield f'### {_plain(group.label)}'
    if group.scored:
      yield _table(suite_tables.scores(content, group))
    yield from (_table(table) for _, table in suite_tables.details(content, group))
  if suite.judges:
    yield '### Judged pairs'
    yield _table(suite_tables.judged(content))


def _boxes(content: Content) -> list[str]:
  boxes = [f'> **{content.caveat[0]}** {content.caveat[1]}']
  if content.missing:
    lines = '\n'.join(f'> - {_plain(line)}' for line in content.missing)
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
      cells = name, '; '.join(part for part in (what, size, seeds) if part), ' → '.join(stages)
      lines.append(Line([*map(Cell, cells)]))
  return _table(Table('', [Cell('Arm'), Cell('What'), Cell('Stages')], lines, texts=3))


def _branches(nodes: Sequence[Node], depth: int = 0) -> Iterable[str]:
  for node in nodes:
    ends = f' → **{_plain(", ".join(node.ends))}**' if node.ends else ''
    shared = f', shared by {len(node.recipes)} recipes' if len(node.recipes) > 1 else ''
    state = '' if node.stage.state == 'evaluated' else f', {node.stage.state}'
    begins = f', begins with {_plain(node.begins_with)}' if node.begins_with else ''
    yield f'{"  " * depth}- `{node.stage.folder}` {formatting.tokens(node.tokens)} tokens{begins}{shared}{state}{ends}'
    yield from _branches(node.children, depth + 1)


def _samples(content: Content) -> list[str]:
  parts = []
  for (prompt, method), answers in content.samples().items():
    parts.append(f'After the same prompt ({_plain(method)}):')
    parts += [f'{_plain(recipe)}:\n\n{_fence(prompt + text[:600])}' for recipe, text in answers]
  return parts


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
  return _table(Table('', [Cell('What'), Cell('Value')], [Line([*map(Cell, pair)]) for pair in pairs], texts=2))


def _fence(text: str) -> str:
  """A code block whose fence is longer than any run of back-ticks in the text."""
  longest = max((len(run) for run in re.findall('`+', text)), default=0)
  fence = '`' * max(3, longest + 1)
  return f'{fence}text\n{text}\n{fence}'
