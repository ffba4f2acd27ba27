"""The costs of a study as a tree for a terminal, and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.markup import escape
from rich.table import Table

from codemix import formatting
from codemix.console import Console
from codemix.planner.costs import CHIP, Costs, StageCost, Total
from codemix.planner.published import PUBLISHED


def show_costs(costs: Costs, stream: TextIO) -> None:
  """Prints the tree of one seed's stages, then the totals with and without sharing."""
  console = Console(stream, width=180)
  seeds = f' of {costs.seeds} seeds; the tree is that of the first' if costs.seeds > 1 else ''
  console.print(
    f'[bold]{escape(costs.study.name)}[/bold]: {formatting.count(len(costs.study.recipes), "recipe")}, {formatting.count(costs.arms, "arm")}{seeds}. Chip-hours of {CHIP} '
    f'at MFU {costs.prices.mfu:g}, computed and not measured'
  )
  for model in dict.fromkeys(cost.stage.recipe.model for cost in costs.first_seed):
    own = [cost for cost in costs.first_seed if cost.stage.recipe.model == model]
    console.print(f'\n[bold]{model.parameter_count()["total"]:,} parameters[/bold]')
    console.print(_tree(costs, own))
  console.print()
  console.print(_totals(costs))
  if costs.shared.published:
    runs = '; '.join(f'{run.what}: {run.chip_hours:,.0f}' for run in PUBLISHED)
    console.print(f'the paper: chip-hours of v5e that its runs took ({runs}), in proportion to the tokens')


def describe_costs(costs: Costs) -> dict:
  """All figures, unrounded. Null: the paper has no such run, or there is no price."""
  price = costs.prices.chip_hour
  return {
    'study': costs.study.name,
    'chip': CHIP,
    'assumed_mfu': costs.prices.mfu,
    'price_per_chip_hour': price,
    'recipes': len(costs.study.recipes),
    'arms': costs.arms,
    'stages': [
      {
        'path': list(cost.stage.path),
        'recipes': cost.stage.recipes,
        'parameters': cost.stage.recipe.model.parameter_count()['total'],
        'seed': cost.stage.recipe.seed,
        'tokens': cost.stage.tokens,
        'steps': cost.stage.steps,
        'model_flops': cost.flops,
        'chip_hours': cost.hours,
        'published_chip_hours': cost.published,
      }
      for cost in costs.stages
    ],
    'shared': _described(costs.shared, price),
    'alone': _described(costs.alone, price),
  }


def _described(total: Total, price: float | None) -> dict:
  return {
    'stages': total.stages,
    'tokens': total.tokens,
    'chip_hours': total.hours,
    'published_chip_hours': total.published,
    'stages_without_published': total.without,
    'price': None if price is None else total.hours * price,
  }


def _tree(costs: Costs, own: Sequence[StageCost]) -> Table:
  table = Table(box=None, pad_edge=False, header_style='dim')
  table.add_column('stage', no_wrap=True)
  for column in ('tokens', 'steps', 'chip-hours', 'the paper', *(['price'] if costs.prices.chip_hour is not None else [])):
    table.add_column(column, justify='right')
  table.add_column('of', no_wrap=True)

  def add(cost: StageCost, depth: int) -> None:
    stage = cost.stage
    priced = [_amount(cost.hours * costs.prices.chip_hour)] if costs.prices.chip_hour is not None else []
    table.add_row(
      f'{"  " * depth}{escape(stage.path[-1])}', formatting.tokens(stage.tokens), f'{stage.steps:,}', _amount(cost.hours), _amount(cost.published), *priced, _named(stage.recipes)
    )
    for child in own:
      if child.stage.parent is stage:
        add(child, depth + 1)

  for cost in own:
    if cost.stage.parent is None:
      add(cost, 0)
  return table


def _totals(costs: Costs) -> Table:
  table = Table(box=None, pad_edge=False, header_style='dim')
  table.add_column('', no_wrap=True)
  price = costs.prices.chip_hour
  for column in ('stages', 'tokens', 'chip-hours', 'the paper', *(['price'] if price is not None else [])):
    table.add_column(column, justify='right')
  for name, total in (('each stage once', costs.shared), ('each recipe alone', costs.alone)):
    published = _amount(total.published or None) + (f' ({total.without} unknown)' if total.published and total.without else '')
    row = [f'{total.stages:,}', formatting.tokens(total.tokens), _amount(total.hours), published]
    table.add_row(name, *row, *([_amount(total.hours * price)] if price is not None else []))
  shared, alone = costs.shared, costs.alone
  saved = [formatting.percent(1 - ours / theirs) for ours, theirs in ((shared.tokens, alone.tokens), (shared.hours, alone.hours))]
  table.add_row('saved', '', *saved, formatting.percent(1 - shared.published / alone.published) if alone.published else '')
  return table


def _named(recipes: Sequence[str]) -> str:
  return escape(', '.join(recipes) if len(recipes) < 4 else f'{", ".join(recipes[:2])} and {len(recipes) - 2} more')


def _amount(value: float | None) -> str:
  return f'{value:.2g}' if formatting.known(value) and value < 10 else formatting.integer(value)
