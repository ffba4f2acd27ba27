"""The report as one HTML file that opens offline: style, pictures and the script that sorts tables inside."""

from __future__ import annotations

import functools

from codemix import formatting
from codemix.evaluation import statistics
from codemix.report import (
  figures,
  judge_table,
  judged_pairs,
  page,
  paper_figures,
  provenance,
  shares,
  suite_tables,
  tables,
  tree,
)
from codemix.report.claim_table import claim_table
from codemix.report.content import Content

SECTIONS = {
  'claims': 'Claims',
  'outcome': 'What the mixture did',
  'recipes': 'What the recipes are',
  'reading': 'How to read this',
  'results': 'After each stage',
  'benchmarks': 'Benchmarks',
  'paper': 'Beside the paper',
  'training': 'Training',
  'data': 'Data, planned and realised',
  'tree': 'The tree of stages',
  'samples': 'Samples',
  'repeat': 'To repeat it',
}


def render(content: Content) -> str:
  """The page. Every text of the study is escaped: samples and names may hold < and &."""
  paper = paper_figures.tables(content) | judged_pairs.tables(content)
  there = {'claims': bool(content.claims), 'benchmarks': _has_benchmarks(content), 'paper': bool(paper)}
  return page.render(
    'report.html.jinja',
    content=content,
    study=content.study,
    pictures=figures.draw(content, pixels=not content.is_large),
    # The files of a large study's pictures would be most of its page.
    downloads=(lambda picture: []) if content.is_large else functools.partial(page.downloads, content.study.name),
    few_documents=statistics.FEW_DOCUMENTS,
    widths=_widths(content),
    sections={anchor: title for anchor, title in SECTIONS.items() if there.get(anchor, True)},
    claims=claim_table(content.claims),
    facts=_facts(content),
    tables=tables,
    suite_tables=suite_tables,
    judge_table=judge_table,
    share_tables=shares.tables(content),
    paper_tables=paper,
    savings=tree.savings(content.study),
    provenance=provenance.facts(content.study),
    command=provenance.command(content.study),
  )


def _has_benchmarks(content: Content) -> bool:
  return bool(content.suite.groups or content.suite.judges or content.has_steps)


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


def _widths(content: Content) -> dict[str, float]:
  """Each arm's planned tokens as a part of the longest one's."""
  totals = {arm.name: 0.0 for arm in content.arms}
  for row in content.arm_rows:
    totals[row.name] += row.tokens if formatting.known(row.tokens) else 0.0
  longest = max(totals.values()) or 1.0
  return {name: total / longest for name, total in totals.items()}
