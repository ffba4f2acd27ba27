"""Evaluation sets as items, each a few passages of text that are looked for in what a run consumed."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterator, Mapping
from typing import Annotated

from codemix.checked import Name, NotEmpty, Path, checked
from codemix.contamination.layouts import KNOWN, ItemLayout, layout_for, layout_named
from codemix.data.sources.storage import DAMAGE, digest_of, expand, open_raw
from codemix.data.token_store import TokenStore
from codemix.data.tokenizer import Tokenizer
from codemix.errors import UserError

Pattern = Annotated[Path, NotEmpty(), 'pattern']

PARTS = ('question', 'answer', 'context')


@dataclasses.dataclass(frozen=True)
class Item:
  """One question of a set, or one document of a held-out split.

  Attributes:
    id: names it in its set.
    passages: (part, text) each; parts are those of PARTS.
  """

  id: str
  passages: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Items:
  """A set, read.

  Attributes:
    name: of the set.
    items: in the files' order.
    code: also compared as code without its names.
    digest: of what it was read from: a sha256 by file, or the token store's.
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
    files: paths, URLs or glob patterns of `.jsonl`, `.json` (one array), `.csv` or `.tsv` (with `head`), plain,
      `.gz` or `.zst`.
    layout: which fields make an item: a ItemLayout, the name of a known one, or None to tell by the fields.
    head: whether the first line of a `.tsv` names its columns; they are numbered from '0' where not.
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
    """Raises UserError for a file that is missing, damaged or not laid out as said."""
    files = expand(self.files)
    rows = [(place, row) for url in files for place, row in _rows(url, self.head)]
    if not rows:
      raise UserError(f"the evaluation set '{self.name}' is empty: {', '.join(files)} have no records.")
    place, first = rows[0]
    layout = KNOWN[self.layout] if isinstance(self.layout, str) else self.layout or layout_for(first, place)
    items = tuple(_item(layout, row, place, number) for number, (place, row) in enumerate(rows))
    code = layout.code if self.code is None else self.code
    return Items(self.name, items, code, {url: digest_of(url) for url in files})


def held_out_name(task: str) -> str:
  """What the held-out split of a task is called among the sets."""
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
  if not passages:
    raise UserError(f'{place} has none of the fields {", ".join(layout.question)}; set EvaluationSet.layout.')
  return Item(name, passages)


def _rows(url: str, head: bool) -> Iterator[tuple[str, Mapping]]:
  """(place, row) of each record of a file."""
  plain = url.removesuffix('.gz').removesuffix('.zst')
  try:
    with open_raw(url) as file:
      text = io.TextIOWrapper(file, 'utf-8', newline='')
      if plain.endswith('.jsonl'):
        yield from _json_lines(url, text)
      elif plain.endswith('.json'):
        yield from _json(url, text.read())
      elif plain.endswith(('.csv', '.tsv')):
        yield from _table(url, text, plain.endswith('.csv'), head)
      else:
        raise UserError(f"{url}: an evaluation set is a .jsonl, .json, .csv or .tsv file, plain, .gz or .zst.")
  except (*DAMAGE, UnicodeDecodeError, csv.Error) as error:
    raise UserError(f'{url} is damaged: {error}.') from None


def _json_lines(url: str, lines: io.TextIOBase) -> Iterator[tuple[str, Mapping]]:
  for number, line in enumerate(lines, 1):
    if line.strip():
      yield f'{url}:{number}', _object(f'{url}:{number}', line)


def _json(url: str, text: str) -> Iterator[tuple[str, Mapping]]:
  """One array of records; some sets call a file of JSON lines `.json`."""
  if not text.lstrip().startswith('['):
    yield from _json_lines(url, io.StringIO(text))
    return
  try:
    rows = json.loads(text)
  except json.JSONDecodeError as error:
    raise UserError(f'{url} is no JSON: {error}.') from None
  for number, row in enumerate(rows):
    yield f'{url}:record {number}', _is_object(f'{url}:record {number}', row)


def _table(url: str, text: io.TextIOBase, comma: bool, head: bool) -> Iterator[tuple[str, Mapping]]:
  if comma or head:
    rows = csv.DictReader(text, delimiter=',' if comma else '\t')
  else:
    lines = csv.reader(text, delimiter='\t', quoting=csv.QUOTE_NONE)
    rows = ({str(column): cell for column, cell in enumerate(cells)} for cells in lines)
  for number, row in enumerate(rows, 1):
    yield f'{url}:record {number}', row


def _object(place: str, line: str) -> Mapping:
  try:
    return _is_object(place, json.loads(line))
  except json.JSONDecodeError as error:
    raise UserError(f'{place} is no JSON: {error}.') from None


def _is_object(place: str, row: object) -> Mapping:
  if not isinstance(row, Mapping):
    raise UserError(f'{place} is no JSON object, but {type(row).__name__}.')
  return row
