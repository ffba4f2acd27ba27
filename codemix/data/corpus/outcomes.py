"""What becomes of the records of a corpus: kept, in another form or not, dropped, or set aside as broken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from codemix.data.filters import Filter, is_corpus_wide
from codemix.data.raw.record import BadRecord, Record, TransformedRecord
from codemix.data.transformations import Transformation, Unsuited, transform

JUDGED_TOGETHER = 64  # records, by a filter that has `reasons`
BLOCK_CHARACTERS = 2**20
NO_TEXT = 'without text'

Item = TypeVar('Item')


@dataclasses.dataclass(frozen=True, slots=True)
class Dropped:
  """A record that is not kept.

  Attributes:
    record: what was read.
    filter: number of the filter or transformation that drops it, among those that look at a record by itself, filters
      first; None where it has no text.
    reason: of the filter or transformation, or NO_TEXT.
  """

  record: Record
  filter: int | None
  reason: str


Outcome = Record | Dropped | BadRecord


def judge(items: Iterable[Record | BadRecord], filters: Sequence[Filter]) -> Iterator[Outcome]:
  """The outcome of each item, in order, by the filters that judge a record by itself.

  A filter with `reasons` judges several records together: one that runs
  programs keeps all cores busy with them.
  """
  separate = [(number, filter) for number, filter in enumerate(filters) if not is_corpus_wide(filter)]
  together = JUDGED_TOGETHER if any(hasattr(filter, 'reasons') for _, filter in separate) else 1
  size = lambda item: len(item.text) if isinstance(item, Record) else 0
  for block in blocks(items, size, together):
    yield from _judge_block(block, separate)


def _judge_block(block: list[Outcome], filters: Sequence[tuple[int, Filter]]) -> list[Outcome]:
  outcomes = [Dropped(item, None, NO_TEXT) if isinstance(item, Record) and not item.text else item for item in block]
  for number, filter in filters:
    kept = [index for index, item in enumerate(outcomes) if isinstance(item, Record)]
    records = [outcomes[index] for index in kept]
    reasons = filter.reasons(records) if hasattr(filter, 'reasons') else map(filter.reason, records)
    for index, reason in zip(kept, reasons, strict=True):
      if reason is not None:
        outcomes[index] = Dropped(outcomes[index], number, reason)
  return outcomes


def transformed(outcomes: Iterable[Outcome], transformations: Sequence[Transformation], first: int) -> Iterator[Outcome]:
  """The outcomes, with what is kept transformed in turn, or dropped where that is impossible.

  Raises UserError: a transformation does not know the language of a document.

  Args:
    first: number of the first transformation, as of `Dropped.filter`.
  """
  for outcome in outcomes:
    for number, transformation in enumerate(transformations, first):
      if isinstance(outcome, Record):
        outcome = _transformed(outcome, transformation, number)
    yield outcome


def _transformed(record: Record, transformation: Transformation, number: int) -> Outcome:
  try:
    text = transform(record, transformation)
  except Unsuited as unsuited:
    return Dropped(record, number, str(unsuited))
  before = (*getattr(record, 'bytes_before', ()), len(record.text.encode()))
  return TransformedRecord(text, record.source, record.language, record.id, record.program, bytes_before=before)


def without_duplicates(records: Iterable[Record], filters: Sequence[Filter]) -> Iterator[Record]:
  """The records without those that a corpus-wide filter drops; holds a key of each record in memory."""
  wide = [(filter, set()) for filter in filters if is_corpus_wide(filter)]
  for record in records:
    keys = [filter.key(record) for filter, _ in wide]
    if not any(key in known for key, (_, known) in zip(keys, wide, strict=True)):
      yield record
    for key, (_, known) in zip(keys, wide, strict=True):
      known.add(key)


def blocks(
  items: Iterable[Item],
  characters_of: Callable[[Item], int],
  most_items: int,
  most_characters: int = BLOCK_CHARACTERS,
) -> Iterator[list[Item]]:
  """Items in their order, in blocks that end with the item that reaches either limit."""
  block, characters = [], 0
  for item in items:
    block.append(item)
    characters += characters_of(item)
    if characters >= most_characters or len(block) >= most_items:
      yield block
      block, characters = [], 0
  if block:
    yield block
