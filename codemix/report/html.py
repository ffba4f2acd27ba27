"""The report as one HTML file that opens offline: style and pictures inside, no scripts."""

from __future__ import annotations

import base64
import functools
import math
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any
from urllib.parse import quote

from codemix import formatting
from codemix.evaluation import statistics
from codemix.report import figures, gather, ledger_frames, palette
from codemix.report.arms import Arm
from codemix.report.gather import Content
from codemix.report.svg import Picture
from codemix.report.tree import Node, flat

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
  'bits', 'spread', 'spread_percent', 'percent', 'share', 'signed', 'signed_percent', 'tokens', 'integer', 'ledger', 'power', 'duration', 'known',
)  # fmt: skip
# Characters that need no escape in an address between double quotes: escapes make pages large.
SAFE = " !$()*+,-./:;=?@[]_{}~"
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
  arms = {arm.name: arm for arm in content.arms}
  grounds = {name for name, arm in arms.items() if content.rows_of(arm)[-1].is_baseline}
  paints = palette.arm_paints(list(arms), grounds)
  pictures = figures.draw(content, paints, sources)
  here = resources.files('codemix.report')
  environment = jinja2.Environment(
    autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
  )
  environment.filters |= {
    name: getattr(formatting, name)
    for name in FORMATS
  }
  environment.filters |= {'first_line': _first_line, 'breakable': _breakable}
  template = environment.from_string((here / 'report.html.jinja').read_text(encoding='utf-8'))
  nodes = flat(content.tree)
  return template.render(
    content=content,
    study=study,
    style=_colours() + (here / 'report.css').read_text(encoding='utf-8'),
    pictures=pictures,
    # A recipe has the colour of its arm; the two may have one name.
    paints={recipe: paints[name] for name, arm in arms.items() for recipe in arm.recipes} | paints,
    baseline_arm=next((name for name, arm in arms.items() if study.baseline in arm.recipes), None),
    seeds={name: _seeds(content, arm) for name, arm in arms.items()},
    downloads=functools.partial(_downloads, _slug(study.name)),
    format=formatting,
    few_documents=statistics.FEW_DOCUMENTS,
    sources=sources,
    shares={name: gather.shares(study, stage) for name, stage in study.stages.items()},
    widths=_widths(content),
    pooled=gather.POOLED,
    sections=SECTIONS,
    facts=_facts(content),
    code_sources=', '.join(source for source in sources if study.kind(source) == 'code'),
    nodes=nodes,
    totals=_totals(nodes),
    ledger=_ledger(content),
    ledger_columns=ledger_frames.LEDGER_COLUMNS,
    verdicts={node.stage.folder: gather.verdict(content, node.stage) for node in nodes},
    chains=CHAINS,
    sharing=gather.sharing(study),
    samples=gather.sample_groups(content),
    provenance=gather.provenance(study),
    command=gather.command(study),
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
    *([('arms', str(len(content.arms)))] if len(content.arms) < len(study.recipes) else []),
    ('stages evaluated', f'{done} of {len(study.stages)}'),
    ('parameters', _parameters(content)),
    ('tokens, longest recipe', formatting.tokens(longest)),
  ]
  date = str(study.provenance.get('date', ''))[:10]
  return facts + ([('date', date)] if date else [])


def _parameters(content: Content) -> str:
  """Of the model, or of the smallest and the largest."""
  sizes = [recipe.model.get('parameters') for recipe in content.study.recipes.values()]
  known = sorted({size for size in sizes if size is not None})
  if not known:
    return formatting.UNKNOWN
  return ' to '.join(dict.fromkeys(formatting.tokens(size) for size in (known[0], known[-1])))


def _seeds(content: Content, arm: Arm) -> str:
  """How many seeds stand behind an arm's figures: '3', or '2 of 3' while one is not evaluated."""
  seeds = len(arm.recipes)
  row = content.latest(arm)
  evaluated = max((figure.seeds for figure in row.bits.values()), default=0) if row else 0
  return str(seeds) if evaluated == seeds else f'{evaluated} of {seeds}'


def _downloads(study: str, picture: Picture) -> list[tuple[str, str, str]]:
  """(kind, name of the file, its address) of what can be kept of a picture; the page itself holds it."""
  name = f'{study}-{picture.name}'
  png = base64.b64encode(picture.png).decode()
  return [
    ('SVG', f'{name}.svg', f'data:image/svg+xml,{quote(picture.svg, safe=SAFE)}'),
    ('PNG', f'{name}.png', f'data:image/png;base64,{png}'),
    ('CSV', f'{name}.csv', f'data:text/csv;charset=utf-8,{quote(picture.csv, safe=SAFE)}'),
  ]


def _slug(name: str) -> str:
  """What may stand in the name of a file of any system."""
  return re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')[:40] or 'study'


def _widths(content: Content) -> dict[str, float]:
  """Each arm's planned tokens as a part of the longest one's."""
  totals = {arm.name: 0.0 for arm in content.arms}
  for row in content.arm_rows:
    totals[row.name] += row.tokens if formatting.known(row.tokens) else 0.0
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
    formatting.percent(times.goodput if (times := gather.times(nodes)) else math.nan, 0),
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


def _breakable(name: str) -> str:
  """A long_name_of_many_words that a line may be broken in, after each underscore."""
  from markupsafe import Markup, escape

  return escape(name).replace('_', Markup('_<wbr>'))
