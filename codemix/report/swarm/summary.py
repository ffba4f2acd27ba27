"""The effects of code on the groups of tasks, on a terminal."""

from __future__ import annotations

import sys
from typing import TextIO

from rich.markup import escape
from rich.table import Table

from codemix.console import Console
from codemix.report.swarm.columns import few
from codemix.report.swarm.content import Content
from codemix.report.swarm.tables import p_value, signed

WIDTH = 160


def print_summary(content: Content, stream: TextIO | None = None) -> None:
  """Prints what is of code, and a line for each group."""
  table = Table(box=None, pad_edge=False, header_style='dim')
  for heading in ('group', 'tasks', 'runs', 'for 10 points more code', '95% interval', 'p (Holm)', 'as code rises'):
    table.add_column(heading, justify='left' if heading in ('group', 'as code rises') else 'right')
  for effect in content.groups:
    low, high = effect.slope.interval()
    figures = signed(effect.slope.value), f'{signed(low)} … {signed(high)}', p_value(effect.p)
    table.add_row(escape(effect.name), str(len(effect.tasks)), f'{effect.runs:,}', *figures, effect.verdict)
  console = Console(stream or sys.stdout, WIDTH)
  swarm = content.swarm
  console.print(escape(f'{len(swarm.runs):,} models; {len(swarm.code)} of {len(swarm.domains)} domains are of code: {few(swarm.code, 20)}.'))
  console.print(f'Change of the {content.figure}, adjusted for {content.designs.main.label}:')
  console.print(table)
