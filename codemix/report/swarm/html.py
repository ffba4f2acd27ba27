"""The report of a swarm as one HTML file that opens offline: style and pictures inside, no scripts."""

from __future__ import annotations

import functools

from codemix.report import page
from codemix.report.swarm import plots, tables, words
from codemix.report.swarm.content import Content

SECTIONS = {
  'outcome': 'What code does',
  'shapes': 'The shape',
  'tasks': 'Task by task',
  'reading': 'How to read this',
  'mixtures': 'The mixtures',
  'repeat': 'To repeat it',
}


def render(content: Content) -> str:
  """The page. Every text of the files is escaped."""
  return page.render(
    'swarm.html.jinja',
    content=content,
    pictures=plots.draw(content),
    downloads=functools.partial(page.downloads, content.title),
    sections=SECTIONS,
    tables=tables,
    caveat=words.caveat(content),
    terms=words.terms(content),
  )
