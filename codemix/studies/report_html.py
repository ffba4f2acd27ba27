"""The report as one HTML file that opens offline: style and pictures inside, no scripts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import resources
from typing import Any

from codemix.evaluation import statistics
from codemix.studies import accounts, formatting, palette, report_content, report_figures
from codemix.studies.report_content import Content
from codemix.studies.stage_tree import Node, flat

SECTIONS = (
  ('outcome', 'What the mixture did'),
  ('recipes', 'The recipes'),
  ('reading', 'How to read this'),
  ('results', 'After each stage'),
  ('training', 'Training'),
  ('data', 'Data and ledger'),
  ('tree', 'Tree of stages'),
  ('samples', 'Samples'),
  ('repeat', 'To repeat it'),
)
FORMATS = (
  'bits', 'percent', 'share', 'signed', 'signed_percent', 'tokens', 'integer', 'ledger', 'power', 'duration', 'known',
)  # fmt: skip
CHAINS = {
  'start': 'the chain starts here',
  'linked': 'chain whole',
  'broken': 'CHAIN BROKEN: it does not follow its parent’s ledger',
  'none': 'no ledger yet',
}


def render(content: Content) -> str:
  """The page. Every text of the study is escaped: samples and names may hold < and &."""
  import jinja2

  study = content.study
  names = [*study.training_sources, *study.validation_sources]
  sources = palette.source_paints({name: study.kind(name) for name in names})
  recipes = palette.recipe_paints(list(study.recipes), study.baseline)
  pictures = report_figures.draw(content, recipes, sources)
  here = resources.files('codemix.studies')
  environment = jinja2.Environment(
    autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
  )
  environment.filters |= {
    name: getattr(formatting, name)
    for name in FORMATS
  }
  environment.filters['first_line'] = _first_line
  template = environment.from_string((here / 'report.html.jinja').read_text(encoding='utf-8'))
  nodes = flat(content.tree)
  return template.render(
    content=content,
    study=study,
    style=_colours() + (here / 'report.css').read_text(encoding='utf-8'),
    pictures=pictures,
    recipes=recipes,
    sources=sources,
    shares={name: report_content.shares(study, stage) for name, stage in study.stages.items()},
    widths=_widths(content),
    pooled=report_content.POOLED,
    sections=SECTIONS,
    facts=_facts(content),
    code_sources=', '.join(source for source in sources if study.kind(source) == 'code'),
    resamples=f'{statistics.RESAMPLES:,}',
    nodes=nodes,
    totals=_totals(nodes),
    ledger=_ledger(content),
    ledger_columns=accounts.LEDGER_COLUMNS,
    verdicts={node.stage.folder: report_content.verdict(content, node.stage) for node in nodes},
    chains=CHAINS,
    sharing=report_content.sharing(study),
    samples=report_content.sample_groups(content),
    provenance=report_content.provenance(study),
    model=report_content.model(study),
  )


def _colours() -> str:
  """The palette as CSS variables; screens that ask for dark get the dark values, paper does not."""
  paints = palette.all_paints()
  light = ' '.join(f'--{paint.variable}: {paint.light};' for paint in paints)
  dark = ' '.join(f'--{paint.variable}: {paint.dark};' for paint in paints)
  return (
    f':root {{ {light} }}\n'
    f'@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n'
  )


def _facts(content: Content) -> list[tuple[str, str]]:
  """The line of figures under the title."""
  study = content.study
  done = sum(stage.state == 'evaluated' for stage in study.stages.values())
  longest = max((r.tokens_so_far for r in content.rows if formatting.known(r.tokens_so_far)), default=None)
  facts = [
    ('recipes', str(len(study.recipes))),
    ('stages evaluated', f'{done} of {len(study.stages)}'),
    ('parameters', formatting.tokens(study.model.get('parameters'))),
    ('tokens, longest recipe', formatting.tokens(longest)),
  ]
  date = str(study.provenance.get('date', ''))[:10]
  return facts + ([('date', date)] if date else [])


def _widths(content: Content) -> dict[str, float]:
  """Each recipe's planned tokens as a part of the longest recipe's."""
  totals = {name: 0.0 for name in content.study.recipes}
  for row in content.rows:
    totals[row.recipe] += row.tokens if formatting.known(row.tokens) else 0.0
  longest = max(totals.values()) or 1.0
  return {name: total / longest for name, total in totals.items()}


def _totals(nodes: Sequence[Node]) -> list[str]:
  """The last row of the table of costs: steps, tokens, FLOPs, time and goodput of what is known so far."""

  def total(values) -> float:
    found = [value for value in values if formatting.known(value)]
    return sum(found) if found else math.nan

  return [
    formatting.integer(total((node.stage.plan or {}).get('steps') for node in nodes)),
    formatting.integer(total(node.tokens for node in nodes)),
    formatting.power(total(node.flops for node in nodes)),
    formatting.duration(total(node.seconds for node in nodes)),
    formatting.percent(times.goodput if (times := report_content.times(nodes)) else math.nan, 0),
  ]


def _ledger(content: Content) -> dict[str, dict[str, dict[str, Any]]]:
  """Stage folder to source to the line of `accounts.accounts_frame`."""
  lines = {(line['folder'], line['source']): line for line in content.accounts.to_dict('records')}
  return {
    folder: {s: lines[folder, s] for s in content.study.training_sources if (folder, s) in lines}
    for folder in content.study.stages
  }


def _first_line(text: str) -> str:
  return text.strip().split('\n')[0][:80] or '(empty prompt)'
