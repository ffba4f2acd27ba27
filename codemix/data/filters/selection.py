"""Filters by the labels of a record (its set, language and path) and by its size."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated

from codemix.checked import From, Name, NotEmpty, checked
from codemix.data import languages
from codemix.errors import UserError

if TYPE_CHECKING:
  from codemix.data.raw.record import Record


@dataclasses.dataclass(frozen=True)
@checked
class Sets:
  """Keeps some sets of a corpus, or drops some, by `Record.source`: spelled as the corpus does.

  SlimPajama without its code is `Sets(drop=('RedPajamaGithub', 'RedPajamaStackExchange'))`.

  Attributes:
    keep: these and no other; or
    drop: all but these.
  """

  stable_name, version = 'sets', 1

  keep: Sequence[Name] = ()
  drop: Sequence[Name] = ()

  def __post_init__(self):
    if bool(self.keep) == bool(self.drop):
      raise UserError('Sets wants names in either keep or drop, and not in both.')

  @property
  def name(self) -> str:
    return f'only sets {", ".join(self.keep)}' if self.keep else f'without sets {", ".join(self.drop)}'

  def reason(self, record: Record) -> str | None:
    if self.keep:
      return None if record.source in self.keep else 'other set'
    return f'set {record.source}' if record.source in self.drop else None


@dataclasses.dataclass(frozen=True)
@checked
class Languages:
  """Keeps records of some languages.

  Attributes:
    keep: languages, under any name that `codemix.data.languages` knows ('C++',
      'cpp') or the corpus's own. A record without a language has that of its
      path.
  """

  stable_name, version = 'languages', 1

  keep: Annotated[Sequence[Name], NotEmpty()]

  def __post_init__(self):
    object.__setattr__(self, 'keep', tuple(map(languages.canonical, self.keep)))

  @property
  def name(self) -> str:
    return f'only languages {", ".join(self.keep)}'

  def reason(self, record: Record) -> str | None:
    language = languages.of_record(record)
    if not language:
      return 'no language'
    return None if language in self.keep else 'other language'


@dataclasses.dataclass(frozen=True)
@checked
class Extensions:
  """Keeps records by the end of their file's name.

  Attributes:
    keep: endings with their point ('.py', '.tar.gz') or whole names ('Makefile'),
      in whatever case; `Record.id` is the path.
  """

  stable_name, version = 'extensions', 1

  keep: Annotated[Sequence[Name], NotEmpty()]

  @property
  def name(self) -> str:
    return f'only files {", ".join(self.keep)}'

  def reason(self, record: Record) -> str | None:
    file = PurePosixPath(record.id).name.lower()
    for ending in map(str.lower, self.keep):
      if file == ending or (ending.startswith('.') and file.endswith(ending)):
        return None
    return 'other extension'


@dataclasses.dataclass(frozen=True)
@checked
class Size:
  """Keeps texts of a size.

  Attributes:
    min_bytes, max_bytes: of the text as UTF-8, both included; None for no upper
      bound.
  """

  stable_name, version = 'size', 1

  min_bytes: Annotated[int, From(0), 'bytes'] = 1
  max_bytes: Annotated[int, From(0), 'bytes'] | None = None

  def __post_init__(self):
    if self.max_bytes is not None and self.max_bytes < self.min_bytes:
      raise UserError(f'Size: no text has from {self.min_bytes:,} to {self.max_bytes:,} bytes.')

  @property
  def name(self) -> str:
    upper = '' if self.max_bytes is None else f' to {self.max_bytes:,}'
    return f'from {self.min_bytes:,}{upper} bytes'

  def reason(self, record: Record) -> str | None:
    size = utf8_bytes(record.text)
    if size < self.min_bytes:
      return 'too small'
    return 'too large' if self.max_bytes is not None and size > self.max_bytes else None


def utf8_bytes(text: str) -> int:
  return len(text) if text.isascii() else len(text.encode())
