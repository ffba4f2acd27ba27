"""The report of a swarm in short, as Markdown."""

from __future__ import annotations

from codemix.report.markdown_parts import plain, table
from codemix.report.swarm import tables, words
from codemix.report.swarm.content import Content


def render(content: Content) -> str:
  """The page; texts of the files are escaped."""
  parts = [
    f'# {content.title}',
    plain(content.lead),
    '; '.join(f'{value} {label}' for label, value in content.facts) + '.',
    '> **{}** {}'.format(*words.caveat(content)),
    '\n'.join(['> **Not everything in the files is in this report.**', '>', *(f'> - {plain(line)}' for line in content.left_out)]) if content.left_out else '',
    '## What code does',
    table(tables.groups(content)),
    *map(plain, content.notes),
    '## The shape',
    table(tables.shapes(content)),
    table(tables.influence(content)),
    '## Task by task',
    table(tables.tasks(content)),
    '## How to read this',
    *(f'**{term}.** {meaning}' for term, meaning in words.terms(content)),
    '## The mixtures',
    table(tables.domains(content)),
    '## To repeat it',
    f'    {content.command}',
    *(f'{plain(source.name)}: SHA-256 `{source.sha256}`' for source in content.swarm.sources),
    '`swarm.html` has the plots; `swarm.csv` every number.',
  ]
  return '\n\n'.join(part for part in parts if part) + '\n'
