"""A corpus: files as they are distributed, how they are read, and what of them is kept."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os.path
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated

from codemix.checked import Name, NotEmpty, Path, Share, Usually, checked
from codemix.data.corpus.bad_share import UNREAD_RECORDS, BadShare
from codemix.data.corpus.earlier_identity import earlier_described, is_earlier, without_own_code
from codemix.data.corpus.identity import described
from codemix.data.corpus.layouts.text import Text
from codemix.data.corpus.outcomes import Outcome, judge, transformed, without_duplicates
from codemix.data.corpus.readers.json_lines import JsonLines
from codemix.data.filters import Filter, is_corpus_wide
from codemix.data.raw.encodable import encodable_bad, encodable_record
from codemix.data.raw.fields import MISSING_FIELD
from codemix.data.raw.local_files import printable
from codemix.data.raw.protocols import Piece, Reader, RowParser
from codemix.data.raw.record import BadRecord, Record
from codemix.data.transformations import Transformation, require_language
from codemix.errors import UserError, nearest
from codemix.identity import differences
from codemix.terminal import warn_once

FIRST_ROWS = 100  # one of them must have the fields that the row parser needs
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
    filters: each keeps a record or drops it, in this order.
    transformations: each gives the text of a record that is kept another form, in this order. The
      filters and the held-out split see the text as it is distributed, and corpus-wide filters as
      it comes out.
    root: the folder or URL before relative patterns; '' for the working folder.
    validation_share: share of the documents of 'train' that are held out as 'validation', where
      `files` has no such split. A digest of the text decides, so that copies stay together and the
      order and division of the files do not matter.
    count_dropped_tokens: documents that a filter drops are tokenized too, so that their tokens are
      counted. False where a filter keeps a small part of a large corpus.
    max_bad_share: a larger share of broken or lost records ends the reading.
    name: the `source` of records to which the row parser gives none.
    kind: what its documents are for the report: 'text', 'code' or a group of your own; '' where it
      is not declared. It changes neither what is prepared nor what is trained.
  """

  files: Annotated[Mapping[Name, Pattern | Annotated[Sequence[Pattern], NotEmpty()]], NotEmpty(), Usually('train')]
  reader: Reader = JsonLines()
  layout: RowParser = Text()
  filters: tuple[Filter, ...] = ()
  transformations: tuple[Transformation, ...] = ()
  root: Path = ''
  validation_share: Share = 0.0
  count_dropped_tokens: bool = True
  max_bad_share: Share = 0.01
  name: str = ''
  kind: str = ''

  def __post_init__(self):
    if self._holds_out and 'train' not in self.files:
      raise UserError(
        f"Corpus.validation_share of '{self.name}' holds out documents of the split 'train', and Corpus.files has none"
      )
    if self.marks_answers and self.transformations:
      raise UserError(
        f"corpus '{self.name}' transforms text (Corpus.transformations), and {type(self.layout).__name__} says which part of the text is an answer: "
        'that is not known of the other text. Use one of them.'
      )

  @property
  def marks_answers(self) -> bool:
    """Whether only parts of its documents count in the loss."""
    return getattr(self.layout, 'marks_answers', False)

  @property
  def _holds_out(self) -> bool:
    return self.validation_share > 0 and HELD_OUT not in self.files

  def splits(self) -> tuple[str, ...]:
    return (*self.files, *([HELD_OUT] if self._holds_out else []))

  @property
  def separate_filters(self) -> tuple[Filter, ...]:
    """The filters that judge a record by itself."""
    return tuple(filter for filter in self.filters if not is_corpus_wide(filter))

  def urls(self, split: str) -> list[str]:
    """The files that hold a split, sorted.

    Raises UserError: there is no such split, or no such file.
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
    """The units of reading, in the order of the corpus; the same for the same files."""
    return self.reader.pieces(self.urls(split))

  def kept(
    self,
    split: str,
    pieces: Sequence[Piece] | None = None,
    read: BadShare | None = None,
    sample_bytes: int | None = None,
  ) -> Iterator[Record]:
    """The records that are kept, in order: those with text that pass every filter.

    Damaged files are reported on stderr; what can be read of them is used.

    Raises UserError: more than `max_bad_share` is broken or lost. Raised as soon as enough is read,
    and at the end of the split. Of a part of it, the end is judged as if `UNREAD_RECORDS` more
    whole records followed.

    Args:
      split: its name.
      pieces: the pieces to read; None for the whole split. Corpus-wide filters compare the records
        of these pieces, and hold a key of each in memory.
      read: counts what is read.
      sample_bytes: ends with the record that reaches so many bytes of text; None for no end. A
        sample is not compared by corpus-wide filters.
    """
    read = BadShare() if read is None else read
    records = self._passed(split, self.pieces(split) if pieces is None else pieces, read)
    if sample_bytes is not None:
      yield from _first_bytes(records, sample_bytes)
    else:
      yield from without_duplicates(records, self.filters)
    is_whole = pieces is None and next(records, None) is None
    read.check(self, unread=0 if is_whole else UNREAD_RECORDS)

  def _passed(self, split: str, pieces: Sequence[Piece], read: BadShare) -> Iterator[Record]:
    for piece in pieces:
      for outcome in self.outcomes(split, piece, read):
        if isinstance(outcome, Record):
          yield outcome
        elif isinstance(outcome, BadRecord):
          if outcome in read.damaged:
            warn_once(f"corpus '{self.name}': {outcome.place}: {outcome.reason} ({outcome.detail}); what could be read of it is used")
          read.check(self)

  def outcomes(self, split: str, piece: Piece, read: BadShare | None = None) -> Iterator[Outcome]:
    """What becomes of each of `records`, in order: kept and transformed, dropped, or set aside as broken.

    Corpus-wide filters are not applied.

    Raises UserError: a transformation does not know the language of a record.
    """
    judged = judge(self.records(piece, split, read), self.filters)
    return transformed(judged, self.transformations, len(self.separate_filters))

  def records(self, piece: Piece, split: str, read: BadShare | None = None) -> Iterator[Record | BadRecord]:
    """The records of a piece that belong to `split`, before the filters; never raises for bad data.

    Records without text are included. A BadRecord has no text that could decide its split: where
    documents are held out, it belongs to 'train'.

    Args:
      piece: what is read.
      split: its name.
      read: counts all that is read, of whichever split.
    """
    is_divided = self._holds_out and split in ('train', HELD_OUT)
    read = BadShare() if read is None else read
    read.files += piece.start == 0
    for item in self._read(self._narrowed().rows(piece)):
      read.add(item)
      if not is_divided or split == ('train' if isinstance(item, BadRecord) else self._side(item.text)):
        yield item

  def _narrowed(self) -> Reader:
    """The reader, restricted to the fields that the row parser needs."""
    needed = getattr(self.layout, 'needed_fields', None)
    fields = needed() if needed else None
    return self.reader.only(fields) if fields is not None and hasattr(self.reader, 'only') else self.reader

  def _read(self, rows: Iterator[tuple[str, Mapping] | BadRecord]) -> Iterator[Record | BadRecord]:
    root = printable(self.root)
    for row in rows:
      if isinstance(row, BadRecord):
        yield encodable_bad(row)
        continue
      place = printable(row[0])
      parsed = self.layout.record(place, row[1])
      for record in parsed if isinstance(parsed, list) else [parsed]:
        if isinstance(record, Record):
          if record.answers is not None and not self.marks_answers:
            raise UserError(f"corpus '{self.name}': {type(self.layout).__name__} gives records with answers; write `marks_answers = True` into the class.")
          yield encodable_record(record, self.name, place.removeprefix(root).lstrip('/'))
        elif record is not None:
          yield encodable_bad(record)

  def _side(self, text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    held_out = int.from_bytes(digest[:8], 'big') < self.validation_share * 2**64
    return HELD_OUT if held_out else 'train'

  def check(self, split: str, share: bool = False) -> None:
    """Finds what would end a reading, from the settings and the first rows.

    Raises UserError: no such split or files; a corpus-wide filter is not the last one; no row has a
    field that the row parser needs (the nearest name is given); the whole split is broken, or more
    of the rows than `max_bad_share`; or a transformation does not know the language of a row.

    Args:
      split: its name.
      share: also holds `max_bad_share` against these rows.
    """
    if early := [filter.name for filter in self.filters[:-1] if is_corpus_wide(filter)]:
      raise UserError(f"corpus '{self.name}': the filter '{early[0]}' looks at the whole corpus; put it last in Corpus.filters.")
    first = list(itertools.islice(self._read(self._narrowed().sample(self.pieces(split))), FIRST_ROWS))
    is_whole = len(first) < FIRST_ROWS
    broken = [item for item in first if isinstance(item, BadRecord) and not item.expected]
    if first and len(broken) == len(first):
      if all(bad.reason.startswith(MISSING_FIELD) for bad in broken):
        raise UserError(self._without_field(broken[0]))
      if is_whole:
        shown = f'{broken[0].place}: {broken[0].reason} ({broken[0].detail})'
        raise UserError(f"corpus '{self.name}': no record can be read, beginning with {shown}")
    self._check_languages(first)
    if share:
      read = BadShare()
      for item in first:
        read.add(item)
      read.check(self, unread=0 if is_whole else UNREAD_RECORDS)

  def _check_languages(self, rows: Sequence[Record | BadRecord]) -> None:
    """Of the rows that the filters keep, as far as it takes no running of programs to know."""
    quick = [filter for filter in self.separate_filters if not hasattr(filter, 'reasons')]
    for outcome in judge(rows, quick) if self.transformations else ():
      for transformation in self.transformations if isinstance(outcome, Record) else ():
        require_language(outcome, transformation)

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
      # Left out where there are none, as in the identities of stores from before there were any.
      **({'transformations': list(map(describe, self.transformations))} if self.transformations else {}),
      'validation_share': self.validation_share if self._holds_out else 0.0,
      'name': self.name,
    }


def _first_bytes(records: Iterable[Record], size: int) -> Iterator[Record]:
  """Whole records, up to the one that reaches so many bytes of text."""
  for record in records:
    yield record
    size -= len(record.text.encode())
    if size <= 0:
      return
