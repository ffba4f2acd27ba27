"""Reads evaluation sets as items: passages of text to search for in what a run consumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated

from codemix.checked import Name, NotEmpty, Path, checked
from codemix.contamination.layouts import (
  KNOWN,
  ItemLayout,
  KnownLayout,
  is_known,
  layout_for,
  layout_named,
)
from codemix.data.evaluation_sets.records import is_tsv, records_of
from codemix.data.raw.storage import digest_of, expand_files
from codemix.data.store.token_store import TokenStore
from codemix.data.tokenization.tokenizer import Tokenizer
from codemix.errors import UserError

Pattern = Annotated[Path, NotEmpty(), 'pattern']

PARTS = ('question', 'answer', 'context')


@dataclasses.dataclass(frozen=True)
class Item:
  """One question of a set, or one document of a held-out split.

  Attributes:
    id: unique in its set.
    passages: (part, text) pairs; a part is one of PARTS.
  """

  id: str
  passages: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Items:
  """The items of a set.

  Attributes:
    items: in the order of the files.
    code: whether they are also compared as code without names.
    digest: the sha256 of each file, or the digest of the token store.
  """

  name: str
  items: tuple[Item, ...]
  code: bool
  digest: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
@checked
class EvaluationSet:
  """An evaluation set as it is distributed.

  Attributes:
    name: what the set is called in the report.
    files: paths, URLs or glob patterns of JSON (`.json`, `.jsonl`: lines, an array, or an object that holds one),
      `.csv`, `.tsv` (with `head`) or `.parquet`; all but parquet also `.gz` or `.zst`.
    layout: which fields make an item: an ItemLayout, the name of a known one, or None to decide by the fields.
    head: whether the first line of a `.tsv` names its columns; if not, columns are numbered from '0'. A first line with
      the field names of a known set is always taken for names.
    code: also compare as code; None for what the layout says.
  """

  name: Name
  files: Pattern | Annotated[tuple[Pattern, ...], NotEmpty()]
  layout: ItemLayout | str | None = None
  head: bool = False
  code: bool | None = None

  def __post_init__(self):
    if isinstance(self.layout, str):
      layout_named(self.layout)

  def read(self) -> Items:
    """Raises UserError if a file is missing or damaged or does not have the layout."""
    files = expand_files(self.files)
    records = [(place, row) for url in files for place, row in self._records(url)]
    if not records:
      raise UserError(f"the evaluation set '{self.name}' is empty: {', '.join(files)} have no records.")
    layout = self._layout(*records[0])
    rows = [(place, row) for place, record in records for row in layout.rows(record)]
    if layout.id and isinstance(layout, KnownLayout) and all(row.get(layout.id) is None for _, row in rows):
      layout = dataclasses.replace(layout, id='')  # published without, as PIQA is on the hub
    items = tuple(_item(layout, row, place, number) for number, (place, row) in enumerate(rows))
    if not any(item.passages for item in items):
      raise UserError(f"the evaluation set '{self.name}' has no text in {', '.join(layout.paths())} of {', '.join(files)}; set EvaluationSet.layout.")
    code = layout.code if self.code is None else self.code
    return Items(self.name, items, code, {url: digest_of(url) for url in files})

  def _records(self, url: str) -> list[tuple[str, Mapping]]:
    """The records of a file; a `.tsv` whose first line has the names of a known set has a head even if `head` is False."""
    records = list(records_of(url, self.head))
    if not self.head and is_tsv(url) and records and is_known(dict.fromkeys(records[0][1].values())):
      return list(records_of(url, head=True))
    return records

  def _layout(self, place: str, first: Mapping) -> ItemLayout:
    if isinstance(self.layout, str):
      return KNOWN[self.layout]
    return self.layout or layout_for(first, place)


def held_out_name(task: str) -> str:
  """Name of the held-out split of a task among the sets."""
  return f'held_out/{task}'


def held_out(task: str, store: TokenStore, tokenizer: Tokenizer) -> Items:
  """The held-out split of a task as a set: each document is an item, named by its number."""
  starts = [0, *store.document_ends.tolist()]
  items = (
    Item(str(number), (('question', tokenizer.decode(store.read(start, end).tolist())),))
    for number, (start, end) in enumerate(zip(starts, starts[1:], strict=False))
  )
  return Items(held_out_name(task), tuple(items), True, {'store': store.digest})


def _item(layout: ItemLayout, row: Mapping, place: str, number: int) -> Item:
  if layout.id and row.get(layout.id) is None:
    raise UserError(f"{place} has no field '{layout.id}', which names its item; set ItemLayout.id, or '' to number them.")
  name = str(row[layout.id]) if layout.id else str(number)
  passages = tuple((part, text) for part in PARTS for text in layout.passages(row, part))
  if not passages and not layout.has_any(row):
    raise UserError(f'{place} has none of the fields {", ".join(layout.question)}; set EvaluationSet.layout.')
  return Item(name, passages)
