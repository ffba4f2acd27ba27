"""The noise that a pilot has measured, as a table for a terminal, and as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TextIO

from rich.markup import escape
from rich.table import Table

from codemix import formatting
from codemix.console import Console
from codemix.inference.components import Components
from codemix.inference.spread import spread_factors
from codemix.studies.pilot import ENOUGH, PilotPlan


def show_components(components: Mapping[str, Components], units: Mapping[str, str], seeds: int, stream: TextIO) -> None:
  """Prints a line for each task: the SD of its score over seeds with its interval, and what that is made of."""
  low, high = spread_factors(seeds - 1)
  console = Console(stream, width=180)
  table = Table(box=None, pad_edge=False, header_style='dim')
  table.add_column('task', no_wrap=True)
  for name in ('unit', 'SD over seeds', '95% interval', 'of the seed', 'of an item', 'of an answer', 'items'):
    table.add_column(name, justify='right')
  for task, of in components.items():
    whole = of.figure_variance() ** 0.5
    amounts = (f'{value:.3g}' for value in (whole, of.seed, of.residual, of.sampling))
    shown, seed, residual, sampling = amounts
    table.add_row(
      escape(task), units[task], shown, f'{whole * low:.3g} to {whole * high:.3g}', seed,
      residual if of.items else formatting.UNKNOWN, sampling if of.sampling else formatting.UNKNOWN, formatting.integer(of.items),
    )  # fmt: skip
  console.print(table)


def warnings(plan: PilotPlan) -> Iterator[str]:
  """What to mind before the pilot is paid for."""
  if (count := len(plan.seeds)) < ENOUGH:
    low, high = spread_factors(count - 1)
    yield f'warning: {count} seeds know a standard deviation to a factor of {low:.2g} to {high:.2g} only: give {ENOUGH} or more, with --gin.Pilot.seeds={ENOUGH}.'


def describe_components(components: Mapping[str, Components], units: Mapping[str, str]) -> dict:
  """All figures, unrounded."""
  return {task: {'unit': units[task], **dataclasses.asdict(of)} for task, of in components.items()}
