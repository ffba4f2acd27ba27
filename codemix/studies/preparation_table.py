"""The tables of `codemix prepare`: what each store read, dropped by each filter, and kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TextIO

from rich.markup import escape
from rich.table import Table

from codemix import formatting
from codemix.console import Console
from codemix.data.corpus.bad_share import merged
from codemix.data.store.token_store import TokenStore

MOST_ROWS = 12  # languages or sets shown of a store
MOST_DAMAGED = 5  # files shown of a store


def describe(store: TokenStore) -> dict:
  """A store and its accounts as plain data."""
  return {
    'folder': str(store.folder),
    'documents': store.documents,
    'bytes': store.bytes,
    'tokens': store.tokens,
    'digest': store.digest,
    'accounts': store.manifest['accounts'],
  }


def show(stores: Mapping[tuple[str, str], TokenStore], stream: TextIO | None = None) -> None:
  """Prints, for each (source, split), a table of its accounts and where it lies."""
  stream = stream or sys.stdout
  console = Console(stream, width=160, soft_wrap=False)
  for (source, split), store in stores.items():
    per_token = store.bytes / store.tokens
    console.print(
      f'[bold]{escape(source)} {split}[/bold]: {store.documents:,} documents, {store.bytes:,} bytes, {store.tokens:,} tokens ({per_token:.2f} bytes a token)'
    )
    console.print(f'  in {escape(str(store.folder))}', soft_wrap=True)
    accounts = store.manifest['accounts']
    if accounts:
      _show_accounts(console, accounts)


def _show_accounts(console: Console, accounts: dict) -> None:
  for line in _damaged(accounts):
    console.print(f'  [yellow]{escape(line)}[/yellow]', soft_wrap=True)
  if aside := _set_aside(accounts):
    console.print(f'  [yellow]{accounts["records"]:,} records read: {escape(aside)}[/yellow]')
  if accounts['filters']:
    console.print(_filters(accounts['filters']))
  for kind, header in (('languages', 'language'), ('sources', 'set')):
    if len(accounts[kind]) > 1:
      console.print(_parts(header, accounts[kind]))


def _damaged(accounts: dict) -> Iterator[str]:
  """A line for each file that lost records: where it is damaged, and about how many were lost."""
  if 'read' not in accounts:
    return
  read = merged([accounts['read']])
  for bad in read.damaged[:MOST_DAMAGED]:
    lost = read.lost_of(bad)
    cost = f'about {lost:,} records are lost' if lost > 1 else 'a record is lost at most'
    yield f'{bad.place}: {bad.reason} ({bad.detail}): {cost}'
  if len(read.damaged) > MOST_DAMAGED:
    yield f'and {len(read.damaged) - MOST_DAMAGED} more of that kind, listed in bad-*.jsonl'
  if read.damaged:
    yield f'in all about {read.broken:,} of {read.total:,} records are broken or lost ({formatting.percent(read.broken / read.total)})'


def _set_aside(accounts: dict) -> str:
  """'3 not JSON, 1 empty' ..., or nothing."""
  counts = {**accounts['bad'], **accounts['passed_over'], 'without text': accounts['empty'], 'with NUL bytes': accounts['with_nul']}
  return ', '.join(f'{count:,} {name}' for name, count in counts.items() if count)


def _filters(filters: list[dict]) -> Table:
  table = _table('filter', 'documents', 'bytes', 'tokens', 'dropped')
  table.columns[-1].justify = 'left'
  table.add_row('as read', *_amount(filters[0]['before']), '')
  for line in filters:
    reasons = ', '.join(f'{amount["documents"]:,} {reason}' for reason, amount in line['dropped'].items())
    table.add_row(escape(line['name']), *_amount(line['after']), escape(reasons))
  return table


def _parts(header: str, parts: dict[str, dict]) -> Table:
  table = _table(header, 'documents', 'bytes', 'tokens', 'of the tokens')
  whole = sum(part['tokens'] for part in parts.values()) or 1
  ranked = sorted(parts.items(), key=lambda item: -item[1]['tokens'])
  for name, part in ranked[:MOST_ROWS]:
    table.add_row(escape(name or '(not known)'), *_amount(part), formatting.percent(part['tokens'] / whole))
  if rest := ranked[MOST_ROWS:]:
    summed = {key: sum(part[key] for _, part in rest) for key in ('documents', 'bytes', 'tokens')}
    table.add_row(f'{len(rest)} more', *_amount(summed), formatting.percent(summed['tokens'] / whole))
  return table


def _table(first: str, *numbers: str) -> Table:
  table = Table(box=None, padding=(0, 2), header_style='dim')
  table.add_column(first, overflow='fold')
  for header in numbers:
    table.add_column(header, justify='right')
  return table


def _amount(amount: dict) -> tuple[str, str, str]:
  return f'{amount["documents"]:,}', f'{amount["bytes"]:,}', formatting.integer(amount['tokens'])
