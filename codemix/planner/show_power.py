"""The power of a study as a table and verdicts for a terminal, and as plain data."""

from __future__ import annotations

import dataclasses
import math
from typing import TextIO

from rich.markup import escape
from rich.table import Table

from codemix import formatting
from codemix.console import Console
from codemix.evaluation.tasks.registry import GROUPS
from codemix.inference.power import MOST_SEEDS
from codemix.inference.resolution import Resolution, amount
from codemix.planner.group_noise import stated_tasks
from codemix.planner.known_noise import reasons
from codemix.planner.power_plan import Comparison, PowerPlan
from codemix.planner.published_effects import WIN_RATE
from codemix.studies.claim_metric import BITS


def show_power(plan: PowerPlan, stream: TextIO) -> None:
  """Prints a line for each comparison, then a verdict for each task."""
  console = Console(stream, width=180)
  of = plan.settings
  console.print(f'[bold]{escape(plan.study)}[/bold]: what it can show at power {100 * of.power:g}%, corrected for the comparisons of each table ({_corrected(plan)})')
  table = Table(box=None, pad_edge=False, header_style='dim')
  costed = plan.hours_of_a_seed is not None
  priced = costed and plan.price is not None
  units = {each.resolution.unit for each in plan.comparisons}
  effects = {(each.resolution.effect, each.resolution.design.question) for each in plan.comparisons}
  at = f'{plan.comparisons[0].resolution.effect:g}' if len(units) == len(effects) == 1 else 'the wanted effect'
  columns = ['seeds an arm', f'least effect{f", {units.copy().pop()}" if len(units) == 1 else ""}', f'power at {at}', f'seeds needed for {at if at[0].isdigit() else "it"}', *(['chip-hours with these'] if costed else []), *(['price'] if priced else [])]
  for name in ('task', 'comparison'):
    table.add_column(name, no_wrap=True)
  for name in columns:
    table.add_column(name, justify='right')
  for each in plan.comparisons:
    found = each.resolution
    row = [_least(found, with_unit=len(units) > 1), f'{100 * found.power:.0f}%', _needed(found)]
    hours = plan.hours(found.seeds_needed)
    costs = [_amount(hours)] if costed else []
    costs += [_amount(None if hours is None else hours * plan.price)] if priced else []
    table.add_row(escape(found.task), escape(_named(each)), f'{found.design.own:,}', *row, *costs)
  console.print(table)
  if plan.as_if:
    console.print(f'planned as if the study evaluated them, since it evaluates no benchmark: {escape(", ".join(plan.as_if))}')
  if plan.other_tokens:
    console.print(f'not tested, since they end after other numbers of tokens than what they are compared with: {escape(", ".join(plan.other_tokens))}')
  for line in reasons(plan.left_out):
    console.print(escape(line))
  for claim, why in plan.claims_left_out.items():
    console.print(escape(f'claim {claim} is not planned, since {why}'))
  if costed:
    console.print(f'one seed of all arms, stages that they share once: {_amount(plan.hours_of_a_seed)} chip-hours')
  about_items = {each.resolution.task: each.resolution.least_of_items > 0 for each in plan.comparisons}
  if named := ', '.join(task for task, is_random in about_items.items() if not is_random):
    why = "Power.items is 'fixed'" if of.items == 'fixed' else 'Components.arm_item is 0'
    console.print(f'for claims about their items alone: {escape(named)} ({why})')
  for each in plan.comparisons:
    of_claim = f'claim {each.claim}: ' if each.claim else ''
    console.print(f'[{"green" if each.resolution.is_resolved else "red"}]{escape(f"{of_claim}{each.resolution}")}[/]')
  if plan.published:
    _show_published(console, plan)


def _show_published(console: Console, plan: PowerPlan) -> None:
  seeds = plan.seeds
  console.print(f'\nthe effects that the paper reports, at this noise and {formatting.count(seeds, "seed")} an arm, corrected for those that can be judged:')
  table = Table(box=None, pad_edge=False, header_style='dim')
  for name in ('group', 'arm', 'v', 'from'):
    table.add_column(name, no_wrap=True)
  for name in ('effect, points', 'power', 'seeds needed', 'verdict'):
    table.add_column(name, justify='right')
  for effect, found in plan.published:
    known = ['–', '–', 'noise unknown'] if found is None else [
      f'{100 * found.power:.0f}%', _needed(found), 'resolved' if found.is_resolved else 'not resolved'
    ]  # fmt: skip
    table.add_row(effect.label, effect.arm, effect.baseline, effect.source, f'{effect.points:+.4g}', *known)
  console.print(table)
  for group in dict.fromkeys(effect.group for effect, _ in plan.published if effect.group in GROUPS):
    tasks = stated_tasks(plan.scores, group)
    named = f': {", ".join(tasks)}; the others count with the mean variance of these' if tasks else ''
    console.print(f'{GROUPS[group].label}: the noise of {len(tasks)} of {len(GROUPS[group].tasks)} tasks is known{named}')
  console.print(f'{WIN_RATE}: the noise of seeds is not known from the number of prompts')


def describe_power(plan: PowerPlan) -> dict:
  """All figures, unrounded; effects in the `unit` of each comparison. Null: infinite, unknown or no number."""
  return {
    'study': plan.study,
    'effect': plan.settings.effect,
    'effect_bits': plan.settings.effect_bits,
    'power': plan.settings.power,
    'items': plan.settings.items,
    'corrected_for': plan.corrected_for,
    'chip_hours_of_one_seed': plan.hours_of_a_seed,
    'price_per_chip_hour': plan.price,
    'as_if': list(plan.as_if),
    'left_out': dict(plan.left_out),
    'claims_left_out': dict(plan.claims_left_out),
    'other_tokens': list(plan.other_tokens),
    'comparisons': [
      {
        'task': each.resolution.task,
        'unit': each.resolution.unit,
        **({'claim': each.claim} if each.claim else {}),
        'arms': list(each.arms),
        'baseline': each.baseline,
        'question': each.resolution.design.question,
        'effect': each.resolution.effect,
        'seeds': each.resolution.design.own,
        'least_effect': each.resolution.least_effect if math.isfinite(each.resolution.least_effect) else None,
        'least_effect_of_items': each.resolution.least_of_items,
        'power_at_effect': each.resolution.power,
        'seeds_needed': each.resolution.seeds_needed,
        'chip_hours_needed': plan.hours(each.resolution.seeds_needed),
        'verdict': str(each.resolution),
      }
      for each in plan.comparisons
    ],
    'published': [
      {
        **dataclasses.asdict(effect),
        'seeds': plan.seeds,
        'power': found and found.power,
        'seeds_needed': found and found.seeds_needed,
      }
      for effect, found in plan.published
    ],
  }


def _named(comparison: Comparison) -> str:
  names = comparison.arms
  shown = ', '.join(names) if len(names) < 4 else f'{", ".join(names[:2])} and {len(names) - 2} more'
  found = comparison.resolution
  equal = f', equal within {amount(found.effect, found.unit)}' if found.design.question == 'equal' else ''
  return f'{f"claim {comparison.claim}: " if comparison.claim else ""}{shown} v {comparison.baseline}{equal}'


def _needed(found: Resolution) -> str:
  if found.seeds_needed is None:
    return 'no number' if found.is_hidden_by_items else f'over {MOST_SEEDS:,}'
  return f'{found.seeds_needed:,}'


def _amount(value: float | None) -> str:
  return f'{value:.2g}' if formatting.known(value) and value < 10 else formatting.integer(value)


def _corrected(plan: PowerPlan) -> str:
  """'nl_reasoning: 4; bits per byte: 2', by table of changes; claims have a number of their own."""
  counts = dict(plan.corrected_for)
  if claims := {each.resolution.design.comparisons for each in plan.comparisons if each.claim}:
    counts['claims'] = max(claims)
  return '; '.join(f'{table}: {count:,}' for table, count in counts.items())


def _least(found: Resolution, with_unit: bool) -> str:
  if not math.isfinite(found.least_effect):
    return formatting.UNKNOWN
  value = f'{found.least_effect:.4f}' if found.unit == BITS else f'{found.least_effect:.2f}'
  return f'{value} {found.unit}' if with_unit else value
