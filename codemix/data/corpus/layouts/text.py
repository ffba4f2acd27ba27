"""The layout of most corpora: a field that holds the text, and fields that say what it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from codemix.checked import Name, checked
from codemix.data.raw.fields import labels, needed, sets_aside, string
from codemix.data.raw.protocols import RowParser
from codemix.data.raw.record import BadRecord, Record


@dataclasses.dataclass(frozen=True)
@checked
class Text(RowParser):
  """A document in one field of a row. Fields are named by dotted path ('meta.redpajama_set_name').

  `Text()` reads codemix's own records: text, source, language, id.

  Attributes:
    field: the text.
    source: the set or repository; as the next two: a field that every row must have (null where it
      is not known), '' for none, or None for the field of that very name in the rows that have one.
    language: the language.
    id: the corpus's own name for the document.
    constants: 'source' or 'language' of all documents to which the fields give none, such as
      {'language': 'en'}.
  """

  stable_name, version = 'text', 2

  field: Name = 'text'
  source: str | None = None
  language: str | None = None
  id: str | None = None
  constants: Mapping[Literal['source', 'language'], str] = dataclasses.field(default_factory=dict)

  def needed_fields(self) -> tuple[str, ...]:
    return needed(self.field, source=self.source, language=self.language, id=self.id)

  @sets_aside
  def record(self, place: str, row: Mapping) -> Record | BadRecord:
    text = string(row, self.field)
    found = labels(row, source=self.source, language=self.language, id=self.id)
    return Record(text, **{name: value or self.constants.get(name, '') for name, value in found.items()})
