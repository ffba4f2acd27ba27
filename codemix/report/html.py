"""The report as one HTML file that opens offline: style and pictures inside, no scripts."""

from __future__ import annotations

import base64
import functools
import re
from importlib import resources
from urllib.parse import quote

from codemix import formatting
from codemix.evaluation import statistics
from codemix.report import figures, palette, provenance, suite_tables, tables, tree
from codemix.report.claim_table import claim_table
from codemix.report.content import Content
from codemix.report.svg import Picture

SECTIONS = {
  'claims': 'Claims',
  'outcome': 'What the mixture did',
  'recipes': 'What the recipes are',
  'reading': 'How to read this',
  'results': 'After each stage',
  'benchmarks': 'Benchmarks',
  'training': 'Training',
  'data': 'Data, planned and realised',
  'tree': 'The tree of stages',
  'samples': 'Samples',
  'repeat': 'To repeat it',
}
# Needs no escape in an address between double quotes; escapes make the page large.
SAFE = ' !$()*+,-./:;=?@[]_{}~'


def render(content: Content) -> str:
  """The page. Every text of the study is escaped: samples and names may hold < and &."""
  import jinja2

  here = resources.files('codemix.report')
  environment = jinja2.Environment(
    autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
  )
  environment.filters |= {name: getattr(formatting, name) for name in ('tokens', 'integer', 'percent', 'known')}
  template = environment.from_string((here / 'report.html.jinja').read_text(encoding='utf-8'))
  there = {'claims': bool(content.claims), 'benchmarks': _has_benchmarks(content)}
  return template.render(
    content=content,
    study=content.study,
    style=_colours() + (here / 'report.css').read_text(encoding='utf-8'),
    pictures=figures.draw(content),
    downloads=functools.partial(_downloads, _slug(content.study.name)),
    few_documents=statistics.FEW_DOCUMENTS,
    widths=_widths(content),
    sections={anchor: title for anchor, title in SECTIONS.items() if there.get(anchor, True)},
    claims=claim_table(content.claims),
    facts=_facts(content),
    tables=tables,
    suite_tables=suite_tables,
    savings=tree.savings(content.study),
    provenance=provenance.facts(content.study),
    command=provenance.command(content.study),
  )


def _has_benchmarks(content: Content) -> bool:
  return bool(content.suite.groups or content.suite.judges or content.has_steps)


def _colours() -> str:
  """The palette as CSS variables, with the dark values for dark screens, also in pictures."""
  paints = palette.all_paints()
  light = ' '.join(f'--{paint.variable}: {paint.light};' for paint in paints)
  dark = ' '.join(f'--{paint.variable}: {paint.dark};' for paint in paints)
  drawn = '\n'.join(
    f"figure svg [style*='{what}: {paint.light}'] {{ {what}: {paint.dark} !important }}"
    for paint in paints for what in ('stroke', 'fill')
  )  # fmt: skip
  return f':root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{\n:root {{ {dark} }}\n{drawn}\n}}\n'


def _facts(content: Content) -> list[tuple[str, str]]:
  """The line of figures under the title."""
  study = content.study
  done = sum(stage.state == 'evaluated' for stage in study.stages.values())
  longest = max((r.tokens_so_far for r in content.rows if formatting.known(r.tokens_so_far)), default=None)
  sizes = sorted({recipe.model['parameters'] for recipe in study.recipes.values() if 'parameters' in recipe.model})
  parameters = dict.fromkeys(formatting.tokens(size) for size in (*sizes[:1], *sizes[-1:]))
  facts = {
    'recipes': str(len(study.recipes)),
    'arms': str(len(content.arms)) if len(content.arms) < len(study.recipes) else '',
    'stages evaluated': f'{done} of {len(study.stages)}',
    'parameters': ' to '.join(parameters) or formatting.UNKNOWN,
    'tokens, longest recipe': formatting.tokens(longest),
    'date': str(study.provenance.get('date', ''))[:10],
  }
  return [(name, fact) for name, fact in facts.items() if fact]


def _downloads(study: str, picture: Picture) -> list[tuple[str, str, str]]:
  """(kind, file name, data: address) of the files of a picture."""
  name = f'{study}-{picture.name}'
  return [
    ('SVG', f'{name}.svg', f'data:image/svg+xml,{quote(picture.svg, safe=SAFE)}'),
    ('PNG', f'{name}.png', f'data:image/png;base64,{base64.b64encode(picture.png).decode()}'),
    ('CSV', f'{name}.csv', f'data:text/csv;charset=utf-8,{quote(picture.csv, safe=SAFE)}'),
  ]


def _slug(name: str) -> str:
  """What a file name may hold on any system."""
  return re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')[:40] or 'study'


def _widths(content: Content) -> dict[str, float]:
  """Each arm's planned tokens as a part of the longest one's."""
  totals = {arm.name: 0.0 for arm in content.arms}
  for row in content.arm_rows:
    totals[row.name] += row.tokens if formatting.known(row.tokens) else 0.0
  longest = max(totals.values()) or 1.0
  return {name: total / longest for name, total in totals.items()}
