"""How many records were read, set aside, dropped by which filter, and kept.

The counts are plain data, stored in each shard's file and summed in the manifest under the key
'accounts':

    records      rows that were read, broken ones included
    bad          {reason: records} that were broken
    passed_over  {reason: records} with nothing in them to train on, such as images
    empty        records without text
    with_nul     documents that hold NUL bytes, kept or not
    filters      [{'name', 'before': amount, 'after': amount, 'dropped': {reason: amount}}], in order; transformations,
                 which come after the filters, too
    kept         amount in the store
    languages    {language: amount} of what is kept
    sources      {set or repository: amount} of what is kept
    read         what of the files was read and lost, of whichever split: `bad_share.BadShare.summary`

An amount is {'documents', 'bytes', 'tokens'}. Bytes are those of the text in UTF-8. Tokens include
the EOS of each document, also where a filter dropped it; they are None where dropped documents were
not tokenized, and before a transformation, whose result alone is. None plus anything is None.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence

from codemix.data.corpus.bad_share import merged

Amount = dict[str, int | None]

OTHERS = '(others)'
MOST_NAMES = 1000  # languages or sets counted by name: there may be as many sources as repositories


def amount(documents: int = 0, bytes: int = 0, tokens: int | None = 0) -> Amount:
  return {'documents': int(documents), 'bytes': int(bytes), 'tokens': None if tokens is None else int(tokens)}


class RecordCounts:
  """The counts of a shard that is being written; `seen` is the amount that was kept or dropped."""

  def __init__(self, filters: Sequence[str], transformations: Sequence[str] = ()):
    """`filters` and `transformations` are their names, in order."""
    self.records = self.empty = self.with_nul = 0
    self.bad: dict[str, int] = {}
    self.passed_over: dict[str, int] = {}
    self.seen, self._kept = amount(), amount()
    self._filters = (*filters, *transformations)
    self._dropped: list[dict[str, Amount]] = [{} for _ in self._filters]
    self._first_transformation = len(filters)
    self._bytes_gained = [0 for _ in self._filters]
    self._languages: dict[str, Amount] = {}
    self._sources: dict[str, Amount] = {}

  def transform(self, sizes: Sequence[int]) -> None:
    """Counts what transformations did to a document: its bytes before each, in order, and after the last one."""
    for number, (before, after) in enumerate(itertools.pairwise(sizes), self._first_transformation):
      self._bytes_gained[number] += after - before

  def drop(self, index: int, reason: str, documents: Amount) -> None:
    """Counts documents that filter or transformation number `index` dropped."""
    self.seen = plus(self.seen, documents)
    _add_to(self._dropped[index], reason, documents)

  def keep(self, language: str, source: str, documents: Amount) -> None:
    """Counts documents that go into the store."""
    self.seen, self._kept = plus(self.seen, documents), plus(self._kept, documents)
    _add_to(self._languages, language, documents)
    _add_to(self._sources, source, documents)

  def summary(self) -> dict:
    """The counts as plain data, without 'read'."""
    lines, after = [], self._kept
    for number, name in reversed(list(enumerate(self._filters))):
      dropped = dict(sorted(self._dropped[number].items()))
      before = _sum([after, *dropped.values()])
      if number >= self._first_transformation:
        before = amount(before['documents'], before['bytes'] - self._bytes_gained[number], None)
      lines.append({'name': name, 'before': before, 'after': after, 'dropped': dropped})
      after = before
    return {
      'records': self.records,
      'bad': dict(sorted(self.bad.items())),
      'passed_over': dict(sorted(self.passed_over.items())),
      'empty': self.empty,
      'with_nul': self.with_nul,
      'filters': lines[::-1],
      'kept': self._kept,
      'languages': dict(sorted(self._languages.items())),
      'sources': dict(sorted(self._sources.items())),
    }


def total(parts: Iterable[dict]) -> dict:
  """The sum of the shards' counts."""
  parts = list(parts)
  counts = ({name: part[name] for name in part if name != 'read'} for part in parts)
  result = functools.reduce(plus, counts, {})
  if read := [part['read'] for part in parts if 'read' in part]:
    result['read'] = merged(read).summary()
  return {**result, **{names: _largest(result[names]) for names in ('languages', 'sources') if names in result}}


def plus(a, b):
  """Sums the numbers of two structures. Keys of either one are kept; None plus anything is None."""
  if a is None or b is None:
    return None
  if isinstance(a, dict):
    return {key: plus(a[key], b[key]) if key in a and key in b else (a if key in a else b)[key] for key in {**a, **b}}
  if isinstance(a, list):
    return [plus(x, y) for x, y in zip(a, b, strict=True)]
  return a if isinstance(a, str) else a + b


def _add_to(amounts: dict[str, Amount], name: str, documents: Amount) -> None:
  if name not in amounts and len(amounts) >= MOST_NAMES:
    name = OTHERS
  amounts[name] = plus(amounts.get(name, amount()), documents)


def _sum(amounts: Iterable[Amount]) -> Amount:
  return functools.reduce(plus, amounts, amount())


def _largest(amounts: dict[str, Amount]) -> dict[str, Amount]:
  """The names with most tokens, in order of name; the rest are summed."""
  ranked = sorted(amounts, key=lambda name: (name == OTHERS, -amounts[name]['tokens'], name))
  named = {name: amounts[name] for name in sorted(ranked[:MOST_NAMES]) if name != OTHERS}
  rest = [amounts[name] for name in amounts if name not in named]
  return {**named, OTHERS: _sum(rest)} if rest else named
