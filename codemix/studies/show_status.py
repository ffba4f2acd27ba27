"""The status of a study as a table for a terminal, and as plain data."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from rich.markup import escape
from rich.table import Table

from codemix import formatting
from codemix.console import Console
from codemix.studies.status import STATES, UnitStatus

WIDTH = 200  # where there is no terminal
_ARM = 24  # characters of the column of arms
_COLOURS = {'done': 'green', 'running': 'cyan', 'failed': 'red', 'stopped': 'yellow', 'waiting': 'dim', 'not begun': 'dim'}


def show_status(name: str, units: Sequence[UnitStatus], price: float | None, stream: TextIO) -> None:
  """Prints a line for each unit, and what is left of the study.

  Args:
    price: of a device-hour; None if it is not given.
  """
  console = Console(stream, WIDTH)
  counts = Counter(unit.state for unit in units)
  console.print(f'[bold]{escape(name)}[/bold]: {counts["done"]} of {formatting.count(len(units), "unit")} done' + ''.join(f', {counts[state]} {state}' for state in STATES[1:] if counts[state]))
  table = Table(box=None, pad_edge=False, header_style='dim')
  has_seeds = len({seed for unit in units for seed in unit.seeds}) > 1
  for column in ('unit', 'arm', *(['seed'] if has_seeds else []), 'state', 'progress'):
    table.add_column(column, no_wrap=True)
  for column in ('left', 'tokens', 'device-hours', *(['price'] if price is not None else [])):
    table.add_column(column, justify='right', no_wrap=True)
  table.add_column('')
  for unit in units:
    hours = _hours(unit.device_seconds)
    cost = [_amount(hours), *([_amount(None if hours is None else hours * price)] if price is not None else [])]
    left = '' if unit.state == 'done' else formatting.duration(unit.left.seconds)
    tokens = '' if unit.tokens is None else formatting.tokens(unit.tokens)
    seeds = [', '.join(map(str, unit.seeds))] if has_seeds else []
    table.add_row(escape(unit.key), escape(_arms(unit)), *seeds, f'[{_COLOURS[unit.state]}]{unit.state}[/]', _progress(unit), left, tokens, *cost, escape(_more(unit)))
  console.print(table)
  for unit in units:
    if unit.failure:
      console.print(f'[red]{escape(unit.key)}[/] failed: {escape(str(unit.failure))}')
  console.print(_left(units, price))


def describe_status(name: str, units: Sequence[UnitStatus], price: float | None) -> dict[str, Any]:
  """All figures, unrounded; times in seconds. Null: not known."""
  return {
    'study': name,
    'units': [_described(unit, price) for unit in units],
    'left_seconds': _sum(unit.left.seconds for unit in units),
    'left_device_hours': _hours(_sum(unit.left.device_seconds for unit in units)),
    'device_hours': _hours(sum(unit.device_seconds or 0.0 for unit in units)),
    'price_per_device_hour': price,
  }


def _described(unit: UnitStatus, price: float | None) -> dict[str, Any]:
  hours = _hours(unit.device_seconds)
  return {
    'unit': unit.key,
    'arms': list(unit.arms),
    'seeds': list(unit.seeds),
    'needs': list(unit.needs),
    'state': unit.state,
    'waits_for': list(unit.waits_for),
    'by': unit.holder and {'process': unit.holder.name, 'doing': unit.holder.doing, 'silent_seconds': unit.holder.silent_s},
    'progress': {'of': unit.noun, 'done': unit.done, 'total': unit.total},
    'tokens': unit.tokens,
    'seconds': unit.seconds,
    'left_seconds': unit.left.seconds,
    'device_hours': hours,
    'left_device_hours': _hours(unit.left.device_seconds),
    'price': None if price is None or hours is None else price * hours,
    'failure': unit.failure and dataclasses.asdict(unit.failure),
  }


def _arms(unit: UnitStatus) -> str:
  """'text_only', or 'text_only +2' of three arms that share a stage."""
  if not unit.arms:
    return ''
  name, more = unit.arms[0], f' +{len(unit.arms) - 1}' if unit.arms[1:] else ''
  return name + more if len(name + more) <= _ARM else f'{name[: _ARM - len(more) - 1]}…{more}'


def _progress(unit: UnitStatus) -> str:
  if unit.noun == 'splits':
    return ''
  return f'{unit.done:,} of {formatting.integer(unit.total)} {unit.noun}' if unit.done or unit.total is not None else ''


def _more(unit: UnitStatus) -> str:
  """Who works on it, or what it waits for."""
  if unit.state == 'running':
    who = unit.holder.name or 'another process'
    silent = unit.holder.silent_s
    return who if silent is None else f'{who}, last sign of life {formatting.duration(silent)} ago'
  return f'needs {unit.waits_for[0]}{f" and {len(unit.waits_for) - 1} more" if unit.waits_for[1:] else ""}' if unit.waits_for else ''


def _left(units: Sequence[UnitStatus], price: float | None) -> str:
  seconds, hours = _sum(unit.left.seconds for unit in units), _hours(_sum(unit.left.device_seconds for unit in units))
  if seconds == 0:
    return 'nothing is left'
  if seconds is None:
    return 'left: not known before a step of each kind of stage was measured; --topology predicts it' if any(unit.left.seconds is None and unit.noun == 'steps' for unit in units) else 'left: not known before a stage was evaluated'
  money = f', {_amount(hours * price)} at {price:g} an hour' if price is not None and hours is not None else ''
  cost = '' if hours is None else f', {_amount(hours)} device-hours{money}'
  return f'left: {formatting.duration(seconds)} one after another{cost}'


def _sum(values: Iterable[float | None]) -> float | None:
  values = list(values)
  return None if None in values else sum(values)


def _hours(seconds: float | None) -> float | None:
  return None if seconds is None else seconds / 3600


def _amount(value: float | None) -> str:
  return '' if value is None else f'{value:,.0f}' if value >= 100 else f'{value:,.3g}'
