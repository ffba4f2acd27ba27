"""The report in short, as Markdown: for a terminal, a pull request or an issue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from codemix import formatting
from codemix.evaluation.statistics import Estimate
from codemix.report import gather
from codemix.report.comparison import Row
from codemix.report.gather import POOLED, Content, Model
from codemix.report.tree import Node, flat


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
    'Bits per byte, lower is better, with 95% intervals: with one seed over the validation documents alone, '
    'with several over documents and seeds. In brackets, the change against the baseline with the same seed and '
    'model after the same number of tokens, with its paired interval.',
    _results(content),
    '## Data, planned and realised',
    _shares(content),
    '## The tree of stages',
    _plain(gather.sharing(study)),
    '\n'.join(_branches(content.tree)),
    _times(content),
    '## Samples',
    *(_samples(content) or ['No samples have been written.']),
    '## To repeat it',
    _fence(gather.command(study)),
    _table(['what', 'value'], gather.provenance(study)),
    *(part for model in content.models for part in _model(model)),
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
  kinds = {kind: name for kind, name in POOLED.items() if content.measures[name].totals}
  header = ['arm', 'after', 'tokens', 'code', 'seeds']
  header += [title for kind in kinds for title in (f'on {kind}', 'change')]
  rows = []
  for model in content.models:
    if len(content.models) > 1:
      rows.append([f'of {model.label}', *[''] * (len(header) - 1)])
    for arm in model.arms:
      row = content.latest(arm)
      if row is None:
        rows.append([arm.name, 'not evaluated yet', *[formatting.UNKNOWN] * (len(header) - 2)])
        continue
      figures = [row.bits[name] for name in kinds.values() if name in row.bits]
      seeds = str(max((figure.seeds for figure in figures), default=0))
      rows.append([arm.name, row.stage.name, *_progress(row), seeds, *_cells(row, kinds.values())])
      for label, seed in content.seed_rows(arm, row.position):
        rows.append([f'{arm.name}, {label}', '', '', '', '', *_cells(seed, kinds.values())])
  return _table(header, rows, numbers=2)


def _cells(row: Row, measures: Iterable[str]) -> list[str]:
  return [cell for name in measures for cell in (_bits(row, name), _change(row, name))]


def _model(model: Model) -> list[str]:
  names = ', '.join(arm.name for arm in model.arms)
  return [f'The model of {_plain(names)}: {_plain(model.label)}.', _table(['what', 'value'], model.properties)]


def _recipes(content: Content) -> str:
  rows = []
  for model in content.models:
    for arm in model.arms:
      after = content.rows_of(arm)
      stages = [
        f'{row.stage.name} {formatting.tokens(row.tokens)} ({_mixture(content, row)})' for row in after
      ]
      name = f'{arm.name} (baseline)' if after[-1].is_baseline else arm.name
      what = content.study.recipes[arm.recipes[0]].description
      seeds = [f'seeds: {", ".join(arm.recipes)}'] if len(arm.recipes) > 1 else []
      size = [model.label] if len(content.models) > 1 else []
      rows.append([name, '; '.join(part for part in (what, *size, *seeds) if part), ' → '.join(stages)])
  return _table(['arm', 'what', 'stages'], rows)


def _results(content: Content) -> str:
  sources = content.study.validation_sources
  rows = []
  for arm in content.arms:
    for row in content.rows_of(arm):
      stage = f'{row.position} {row.stage.name}' + ('' if row.bits else f' ({row.stage.state})')
      rows.append([arm.name, stage, *_progress(row), *_both(row, sources)])
      for label, seed in content.seed_rows(arm, row.position):
        rows.append([f'{arm.name}, {label}', stage, '', '', *_both(seed, sources)])
  return _table(['arm', 'after', 'tokens', 'code so far', *sources], rows, numbers=2)


def _both(row: Row, sources: Iterable[str]) -> list[str]:
  pairs = [(_bits(row, source), _change(row, source)) for source in sources]
  return [f'{cell} [{change}]' if change else cell for cell, change in pairs]


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
  times = gather.times(flat(content.tree))
  return f'Where the time went: {times}.' if times else ''


def _samples(content: Content) -> list[str]:
  parts = []
  for (prompt, method), answers in gather.sample_groups(content).items():
    parts.append(f'After the same prompt ({_plain(method)}):')
    parts += [f'{_plain(recipe)}:\n\n{_fence(prompt + text[:600])}' for recipe, text in answers]
  return parts


def _progress(row: Row) -> list[str]:
  return [formatting.tokens(row.tokens_so_far), formatting.percent(row.code_share)]


def _mixture(content: Content, row: Row) -> str:
  shares = gather.shares(content.study, row.stage)
  return ', '.join(f'{formatting.share(share)} {source}' for source, share in shares) or 'not planned yet'


def _bits(row: Row, measure: str) -> str:
  figure = row.bits.get(measure)
  if figure is None:
    return formatting.UNKNOWN
  spread = f', SD {formatting.spread(figure.spread)}' if figure.seeds > 1 else ''
  return f'{formatting.bits(figure.value)}{_between(figure, formatting.bits)}{spread}'


def _change(row: Row, measure: str) -> str:
  figure = row.changes.get(measure)
  if figure is None:
    return ''
  if row.is_baseline:
    return 'baseline'
  if row.is_compared_with_itself:
    return 'same model'
  spread = f', SD {formatting.spread_percent(figure.spread)} of {figure.seeds} seeds' if figure.seeds > 1 else ''
  effect = ', beyond noise' if figure.is_effect else ''
  return f'{formatting.signed_percent(figure.value)}{_between(figure, formatting.signed)}{spread}{effect}'


def _between(figure: Estimate, form) -> str:
  return f' ({form(figure.low)} … {form(figure.high)}{" †" if figure.rests_on_few else ""})' if figure.has_interval else ''


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
