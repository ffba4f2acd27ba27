"""What became of every record: how many were read, set aside, dropped by which filter, and kept.

Accounts are plain data, kept in each shard's file and summed in the manifest:

    records      rows that were read, broken ones included
    bad          {reason: records} that were broken
    passed_over  {reason: records} with nothing in them to train on, such as images
    empty        records without text
    with_nul     documents that hold NUL bytes, kept or not
    filters      [{'name', 'before': amount, 'after': amount, 'dropped': {reason: amount}}], in order
    kept         amount in the store
    languages    {language: amount} of what is kept
    sources      {set or repository: amount} of what is kept
    read         what of the files was read and lost, of whichever split: `bad_share.BadShare.summary`

An amount is {'documents', 'bytes', 'tokens'}; bytes are those of the text in
UTF-8, tokens have the EOS of each document, also where a filter dropped it.
Tokens are None where dropped documents were not counted, and in all sums of which
such an amount is part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from codemix.data.corpus.bad_share import merged

Amount = dict[str, int | None]

OTHERS = '(others)'
MOST_NAMES = 1000  # languages or sets counted by name: there may be as many sources as repositories


def amount(documents: int = 0, bytes: int = 0, tokens: int | None = 0) -> Amount:
  return {'documents': int(documents), 'bytes': int(bytes), 'tokens': None if tokens is None else int(tokens)}


class Accounts:
  """The accounts of a shard that is being written."""

  def __init__(self, filters: Sequence[str]):
    """`filters` are their names, in order."""
    self.records = 0
    self.empty = 0
    self.with_nul = 0
    self.bad: dict[str, int] = {}
    self.passed_over: dict[str, int] = {}
    self._filters = tuple(filters)
    self._dropped: list[dict[str, Amount]] = [{} for _ in filters]
    self._kept = amount()
    self._languages: dict[str, Amount] = {}
    self._sources: dict[str, Amount] = {}

  @property
  def documents(self) -> int:
    """Documents seen, kept or not."""
    return self._kept['documents'] + sum(_total(reasons)['documents'] for reasons in self._dropped)

  @property
  def bytes(self) -> int:
    return self._kept['bytes'] + sum(_total(reasons)['bytes'] for reasons in self._dropped)

  def drop(self, index: int, reason: str, documents: Amount) -> None:
    """Books documents that filter number `index` dropped."""
    _book(self._dropped[index], reason, documents)

  def keep(self, language: str, source: str, documents: Amount) -> None:
    self._kept = plus(self._kept, documents)
    _book(self._languages, language, documents)
    _book(self._sources, source, documents)

  def summary(self) -> dict:
    return {
      'records': self.records,
      'bad': dict(sorted(self.bad.items())),
      'passed_over': dict(sorted(self.passed_over.items())),
      'empty': self.empty,
      'with_nul': self.with_nul,
      'filters': filter_accounts(self._filters, self._dropped, self._kept),
      'kept': self._kept,
      'languages': dict(sorted(self._languages.items())),
      'sources': dict(sorted(self._sources.items())),
    }


def filter_accounts(names: Sequence[str], dropped: Sequence[dict[str, Amount]], kept: Amount) -> list[dict]:
  """What each filter saw and left, from what each dropped and what came through all."""
  lines: list[dict] = []
  after = kept
  for name, reasons in zip(reversed(names), reversed(dropped), strict=True):
    before = plus(after, _total(reasons))
    lines.append({'name': name, 'before': before, 'after': after, 'dropped': dict(sorted(reasons.items()))})
    after = before
  return lines[::-1]


def total(parts: Iterable[dict]) -> dict:
  """The sum of the shards' accounts."""
  result: dict = {}
  read = []
  for part in parts:
    read += [part['read']] if 'read' in part else []
    result = plus(result, {name: value for name, value in part.items() if name != 'read'})
  if read:
    result['read'] = merged(read).summary()
  return {**result, **{names: _largest(result[names]) for names in ('languages', 'sources') if names in result}}


def _total(amounts: dict[str, Amount]) -> Amount:
  result = amount()
  for each in amounts.values():
    result = plus(result, each)
  return result


def _book(amounts: dict[str, Amount], name: str, documents: Amount) -> None:
  if name not in amounts and len(amounts) >= MOST_NAMES:
    name = OTHERS
  amounts[name] = plus(amounts.get(name, amount()), documents)


def _largest(amounts: dict[str, Amount]) -> dict[str, Amount]:
  """The names with most tokens, in order of name; the rest are summed."""
  ranked = sorted(amounts, key=lambda name: (name == OTHERS, -amounts[name]['tokens'], name))
  result = {name: amounts[name] for name in sorted(ranked[:MOST_NAMES]) if name != OTHERS}
  rest = [name for name in amounts if name not in result]
  return {**result, **({OTHERS: _total({name: amounts[name] for name in rest})} if rest else {})}


def plus(a, b):
  """Sums numbers at the same place of two structures; names that only one has are kept, what one does not know no sum knows."""
  if a is None or b is None:
    return None
  if isinstance(a, dict):
    return {key: plus(a[key], b[key]) if key in a and key in b else (a if key in a else b)[key] for key in {**a, **b}}
  if isinstance(a, list):
    return [plus(x, y) for x, y in zip(a, b, strict=True)]
  return a if isinstance(a, str) else a + b
