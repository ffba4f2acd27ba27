"""The report in short, as Markdown: for a terminal, a pull request or an issue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from codemix.evaluation import statistics
from codemix.evaluation.statistics import Estimate
from codemix.studies import formatting, report_content
from codemix.studies.comparison import Row
from codemix.studies.report_content import POOLED, Content
from codemix.studies.stage_tree import Node, flat


def render(content: Content) -> str:
  """The page; texts of the study are escaped, or fenced where they are samples."""
  study = content.study
  parts = [
    f'# {_plain(study.name)}',
    _plain(study.note),
    *_boxes(content),
    '## What the mixture did',
    _summary(content),
    *map(_plain, content.notes),
    '## What the recipes are',
    _recipes(content),
    '## After each stage',
    f'Bits per byte, lower is better, with 95% intervals from {statistics.RESAMPLES:,} resamples of the '
    'validation documents (not over training seeds). In brackets, the change against the baseline after '
    'the same number of tokens with its paired interval.',
    _results(content),
    '## Data, planned and realised',
    _shares(content),
    '## The tree of stages',
    _plain(report_content.sharing(study)),
    '\n'.join(_branches(content.tree)),
    _times(content),
    '## Samples',
    *(_samples(content) or ['No samples have been written.']),
    '## To repeat it',
    _fence(study.provenance.get('command') or 'the command was not recorded'),
    _table(['what', 'value'], [*report_content.provenance(study), *report_content.model(study)]),
    '`report.html` has the curves, the plots and the ledger; `results.csv` every number.',
  ]
  return '\n\n'.join(part for part in parts if part) + '\n'


def _boxes(content: Content) -> list[str]:
  boxes = [f'> **{content.caveat[0]}** {content.caveat[1]}']
  if content.missing:
    lines = '\n'.join(f'> - {_plain(line)}' for line in content.missing)
    boxes.append(f'> **This study is not complete.**\n>\n{lines}')
  return boxes


def _summary(content: Content) -> str:
  kinds = {kind: name for kind, name in POOLED.items() if content.measures[name].bits}
  header = ['recipe', 'after', 'tokens', 'code']
  header += [title for kind in kinds for title in (f'on {kind}', 'change')]
  rows = []
  for recipe in content.study.recipes:
    row = content.latest(recipe)
    if row is None:
      rows.append([recipe, 'not evaluated yet', *[formatting.UNKNOWN] * (len(header) - 2)])
      continue
    cells = [cell for name in kinds.values() for cell in (_bits(row, name), _change(row, name))]
    rows.append([recipe, row.stage.name, *_progress(row), *cells])
  return _table(header, rows, numbers=2)


def _recipes(content: Content) -> str:
  rows = []
  for recipe in content.study.recipes.values():
    stages = [
      f'{row.stage.name} {formatting.tokens(row.tokens)} ({_mixture(content, row)})'
      for row in content.recipe_rows(recipe.name)
    ]
    name = f'{recipe.name} (baseline)' if recipe.name == content.study.baseline else recipe.name
    rows.append([name, recipe.description, ' → '.join(stages)])
  return _table(['recipe', 'what', 'stages'], rows)


def _results(content: Content) -> str:
  sources = content.study.validation_sources
  rows = []
  for row in content.rows:
    cells = [_bits(row, source) for source in sources]
    changes = [_change(row, source) for source in sources]
    both = [f'{cell} [{change}]' if change else cell for cell, change in zip(cells, changes, strict=True)]
    stage = f'{row.position} {row.stage.name}' + ('' if row.bits else f' ({row.stage.state})')
    rows.append([row.recipe, stage, *_progress(row), *both])
  return _table(['recipe', 'after', 'tokens', 'code so far', *sources], rows, numbers=2)


def _shares(content: Content) -> str:
  rows = []
  for node in flat(content.tree):
    lines = content.accounts[content.accounts.folder == node.stage.folder]
    for line in lines.itertuples():
      rows.append([
        node.stage.folder, line.source, formatting.percent(line.share, 2),
        formatting.percent(line.realised_share, 2), formatting.integer(line.planned_loss_tokens),
        formatting.integer(line.realised_loss_tokens),
        formatting.ledger(line.planned_epochs_cumulative, 'epochs'),
      ])  # fmt: skip
  header = ['stage', 'source', 'asked', 'realised', 'tokens planned', 'tokens realised', 'epochs, run']
  return _table(header, rows, numbers=2)


def _branches(nodes: Sequence[Node], depth: int = 0) -> Iterable[str]:
  for node in nodes:
    ends = f' → **{_plain(", ".join(node.ends))}**' if node.ends else ''
    shared = f', shared by {len(node.recipes)} recipes' if len(node.recipes) > 1 else ''
    state = '' if node.stage.state == 'evaluated' else f', {node.stage.state}'
    tokens = formatting.tokens(node.tokens)
    yield f'{"  " * depth}- `{node.stage.folder}` {tokens} tokens{shared}{state}{ends}'
    yield from _branches(node.children, depth + 1)


def _times(content: Content) -> str:
  times = report_content.times(flat(content.tree))
  return f'Where the time went: {times}.' if times else ''


def _samples(content: Content) -> list[str]:
  parts = []
  for (prompt, method), answers in report_content.sample_groups(content).items():
    parts.append(f'After the same prompt ({_plain(method)}):')
    parts += [f'{_plain(recipe)}:\n\n{_fence(prompt + text[:600])}' for recipe, text in answers]
  return parts


def _progress(row: Row) -> list[str]:
  return [formatting.tokens(row.tokens_so_far), formatting.percent(row.code_share)]


def _mixture(content: Content, row: Row) -> str:
  shares = report_content.shares(content.study, row.stage)
  return ', '.join(f'{formatting.share(share)} {source}' for source, share in shares) or 'not planned yet'


def _bits(row: Row, measure: str) -> str:
  figure = row.bits.get(measure)
  return f'{formatting.bits(figure.value)}{_between(figure, formatting.bits)}' if figure else formatting.UNKNOWN


def _change(row: Row, measure: str) -> str:
  figure = row.changes.get(measure)
  if figure is None:
    return ''
  if row.is_baseline:
    return 'baseline'
  return f'{formatting.signed_percent(figure.value)}{_between(figure, formatting.signed)}'


def _between(figure: Estimate, form) -> str:
  return f' ({form(figure.low)} … {form(figure.high)})' if figure.has_interval else ''


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: int | None = None) -> str:
  """A table; columns from the index `numbers` on are aligned to the right."""
  first = len(header) if numbers is None else numbers
  rule = ['---' if index < first else '---:' for index in range(len(header))]
  lines = [map(_plain, header), rule, *(map(_plain, row) for row in rows)]
  return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)


def _plain(text: str) -> str:
  """Text that Markdown shows as it is, on one line."""
  # An underscore within a word is no emphasis.
  special = r'([\\`*|\[\]<>&#]|(?<!\w)_|_(?!\w))'
  return re.sub(special, r'\\\1', ' '.join(str(text).split()))


def _fence(text: str) -> str:
  """A code block whose fence is longer than any run of back-ticks in the text."""
  longest = max((len(run) for run in re.findall('`+', text)), default=0)
  fence = '`' * max(3, longest + 1)
  return f'{fence}text\n{text}\n{fence}'
