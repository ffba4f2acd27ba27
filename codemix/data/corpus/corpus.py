"""A corpus: files as they are distributed, how they are read, and what of them is kept."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os.path
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated

from codemix.checked import Name, NotEmpty, Path, Share, Usually, checked
from codemix.data.corpus.bad_share import BadShare
from codemix.data.corpus.earlier_identity import earlier_described, is_earlier, without_own_code
from codemix.data.corpus.fields import MISSING_FIELD
from codemix.data.corpus.identity import described
from codemix.data.corpus.layouts.text import Text
from codemix.data.corpus.local_files import printable
from codemix.data.corpus.protocols import Piece, Reader, RowParser
from codemix.data.corpus.readers.json_lines import JsonLines
from codemix.data.corpus.record import BadRecord, Record
from codemix.data.filters import Filter
from codemix.errors import UserError, nearest
from codemix.identity import differences

_CHECKED_ROWS = 100  # in which a field must be seen once
HELD_OUT = 'validation'

Pattern = Annotated[Path, NotEmpty(), 'pattern']


@dataclasses.dataclass(frozen=True)
@checked
class Corpus:
  """One source as it is distributed.

  Attributes:
    files: of each split, glob patterns (local paths or URLs such as gs://...), for example
      {'train': 'chunk*/*.jsonl.zst'}.
    reader: files -> rows.
    layout: a row -> a record.
    filters: what is kept, in this order.
    root: the folder or URL before relative patterns; '' for the working folder.
    validation_share: share of the documents of 'train' that are set apart as 'validation', where
      `files` has no such split: by a digest of the text, so that copies stay together and the
      order and division of the files do not matter.
    count_dropped_tokens: also documents that a filter drops are tokenized, so that the accounts
      know their tokens. False where a filter takes a small part out of a large corpus.
    max_bad_share: more broken records than this share end `prepare`.
    name: the `source` of records to which the layout gives none.
    kind: what its documents are for the report: 'text', 'code' or a group of your own; '' where it
      is not declared. No part of what is prepared or trained.
  """

  files: Annotated[Mapping[Name, Pattern | Annotated[Sequence[Pattern], NotEmpty()]], NotEmpty(), Usually('train')]
  reader: Reader = JsonLines()
  layout: RowParser = Text()
  filters: tuple[Filter, ...] = ()
  root: Path = ''
  validation_share: Share = 0.0
  count_dropped_tokens: bool = True
  max_bad_share: Share = 0.01
  name: str = ''
  kind: str = ''

  def __post_init__(self):
    if self._holds_out and 'train' not in self.files:
      raise UserError(
        f"Corpus.validation_share of '{self.name}' sets documents of the split 'train' apart, and there is none"
      )

  @property
  def _holds_out(self) -> bool:
    return self.validation_share > 0 and HELD_OUT not in self.files

  def splits(self) -> tuple[str, ...]:
    return (*self.files, *([HELD_OUT] if self._holds_out else []))

  def urls(self, split: str) -> list[str]:
    """The files that hold a split, sorted.

    Raises:
      UserError: there is no such split, or no such file.
    """
    stored = 'train' if self._holds_out and split == HELD_OUT else split
    if stored not in self.files:
      raise UserError(
        f"corpus '{self.name}' has no split '{split}', only {', '.join(self.splits())}.{nearest(split, self.splits())}"
      )
    urls = self.reader.find(self.files[stored], self.root, stored)
    if not urls:
      raise UserError(f"corpus '{self.name}' finds no files at {self.files[stored]!r}")
    return urls

  def pieces(self, split: str) -> list[Piece]:
    """What is read by itself, in the order of the corpus; the same for the same files."""
    return self.reader.pieces(self.urls(split))

  def records(self, piece: Piece, split: str, read: BadShare | None = None) -> Iterator[Record | BadRecord]:
    """The documents of a piece that belong to `split`, before the filters; never raises for bad data.

    Documents without text are among them, for the caller to count. A BadRecord belongs to no text
    and so, where documents are set apart, to 'train'.

    Args:
      piece: what is read.
      split: its name.
      read: counts all that is read, of whichever split.
    """
    if read is not None and piece.start == 0:
      read.files += 1
    for item in self._read(self._narrowed().rows(piece)):
      if read is not None:
        read.add(item)
      if isinstance(item, BadRecord):
        if not (self._holds_out and split == HELD_OUT):
          yield item
      elif not self._holds_out or split == self._side(item.text):
        yield item

  def _narrowed(self) -> Reader:
    """The reader, for no other fields than the layout looks at."""
    needed = getattr(self.layout, 'needed_fields', None)
    fields = needed() if needed else None
    return self.reader.only(fields) if fields is not None and hasattr(self.reader, 'only') else self.reader

  def _read(self, rows: Iterator[tuple[str, Mapping] | BadRecord]) -> Iterator[Record | BadRecord]:
    for row in rows:
      if isinstance(row, BadRecord):
        yield _encodable_fields(row)
        continue
      place = printable(row[0])
      found = self.layout.record(place, row[1])
      for record in found if isinstance(found, list) else [found]:
        if isinstance(record, Record):
          yield self._completed(record, place)
        elif record is not None:
          yield _encodable_fields(record)

  def _completed(self, record: Record, place: str) -> Record:
    """The record with what the layout could not know, and strings that UTF-8 can hold."""
    return Record(
      _encodable(record.text),
      _encodable(record.source or self.name),
      _encodable(record.language),
      _encodable(record.id or place.removeprefix(printable(self.root)).lstrip('/')),
      record.program,  # the language that reads it says what it makes of a lone surrogate
    )

  def _side(self, text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    held_out = int.from_bytes(digest[:8], 'big') < self.validation_share * 2**64
    return HELD_OUT if held_out else 'train'

  def check(self, split: str, share: bool = False) -> None:
    """Finds out from the first rows whether anything can be read at all, before all is read.

    Args:
      split: its name.
      share: whether `max_bad_share` is held against them.

    Raises:
      UserError: none of them has a field that the layout needs (the nearest name is given); or the
        whole split is broken; or more of them than the share.
    """
    first = list(itertools.islice(self._read(self._narrowed().sample(self.pieces(split))), _CHECKED_ROWS))
    broken = [item for item in first if isinstance(item, BadRecord) and not item.expected]
    if first and len(broken) == len(first):
      self._refuse(broken)
    if share:
      read = BadShare()
      for item in first:
        read.add(item)
      read.check(self, whole=len(first) < _CHECKED_ROWS)

  def _refuse(self, broken: list[BadRecord]) -> None:
    if all(bad.reason.startswith(MISSING_FIELD) for bad in broken):
      raise UserError(self._without_field(broken[0]))
    if len(broken) < _CHECKED_ROWS:
      told = f'{broken[0].place}: {broken[0].reason} ({broken[0].detail})'
      raise UserError(f"corpus '{self.name}': no record can be read, beginning with {told}")

  def _without_field(self, bad: BadRecord) -> str:
    field = re.search("'(.*)'", bad.reason)[1]
    fields = bad.detail.removeprefix('its fields are ').split(', ')
    return (
      f"corpus '{self.name}': no record has the field '{field}' (looked at {bad.place}; {bad.detail}).{nearest(field, fields)} "
      f'Say in {type(self.layout).__name__} which field it is.'
    )

  def identity(
    self,
    split: str,
    fingerprint: Callable[[str], object] | None = None,
    describe: Callable[[object], dict] = described,
  ) -> dict:
    """What decides the records of a split, as plain data: the files and the settings.

    Args:
      split: its name.
      fingerprint: gives what identifies a file instead of its digest, such as its size.
      describe: describes the reader, the row parser and each filter.

    Returns:
      'files': the digest of each file by its path below the folder that all files share, so that a
        corpus may be moved; and the settings, as `described` gives them.
    """
    urls = self.urls(split)
    shared = os.path.commonprefix([posixpath.dirname(url) + '/' for url in urls]).rfind('/') + 1
    fingerprint = fingerprint or self.reader.digest
    return {'files': {url[shared:]: fingerprint(url) for url in urls}, **self._settings(describe)}

  def changed_since(self, identity: Mapping) -> list[str]:
    """The settings that differ from those of the `identity` in a manifest; versions of codemix's classes are not compared."""
    settings = self._settings(earlier_described if is_earlier(identity) else described)
    now = json.loads(json.dumps({**settings, 'files': identity.get('files')}))
    return [line[:200] for line in differences(without_own_code(identity), without_own_code(now))]

  def _settings(self, describe: Callable[[object], dict]) -> dict:
    return {
      'reader': describe(self.reader),
      'layout': describe(self.layout),
      'filters': [describe(filter) for filter in self.filters],
      'validation_share': self.validation_share if self._holds_out else 0.0,
      'name': self.name,
    }


def _encodable(text: str) -> str:
  """The text with '?' for each surrogate that stands alone: JSON can spell one, UTF-8 cannot."""
  if text.isascii():  # a flag of the string: nothing is scanned
    return text
  try:
    text.encode()
  except UnicodeEncodeError:
    return text.encode(errors='replace').decode()
  return text


def _encodable_fields(bad: BadRecord) -> BadRecord:
  """A broken record may be named by what is broken in it, and is printed."""
  return dataclasses.replace(
    bad, place=printable(bad.place), reason=_encodable(bad.reason), detail=_encodable(bad.detail)
  )
