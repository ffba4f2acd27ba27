"""Filters by what a record says of itself: its set, its language, its path, its size."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from codemix.data import languages
from codemix.errors import UserError

if TYPE_CHECKING:
  from codemix.data.sources.record import Record


def _names(filter: object, field: str) -> None:
  """Makes a field a tuple of names.

  Raises:
    UserError: it is something else; a lone string would be read letter by letter.
  """
  value = getattr(filter, field)
  if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) and name for name in value):
    raise UserError(f"{type(filter).__name__}.{field} is {value!r}; it is a list of names, such as ['{value or 'name'}'].")
  object.__setattr__(filter, field, tuple(value))


@dataclasses.dataclass(frozen=True)
class Sets:
  """Keeps some sets of a corpus, or drops some, by `Record.source`: spelled as the corpus does.

  SlimPajama without its code is `Sets(drop=('RedPajamaGithub', 'RedPajamaStackExchange'))`.

  Attributes:
    keep: these and no other; or
    drop: all but these.
  """

  keep: Sequence[str] = ()
  drop: Sequence[str] = ()

  def __post_init__(self):
    _names(self, 'keep')
    _names(self, 'drop')
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
class Languages:
  """Keeps records of some languages.

  Attributes:
    keep: languages, under any name that `codemix.data.languages` knows ('C++',
      'cpp') or the corpus's own. A record without a language has that of its
      path.
  """

  keep: Sequence[str]
  # Which name means which language decides what is kept, so that a cache's identity has it too.
  names: str = dataclasses.field(init=False, repr=False, default=languages.DIGEST)

  def __post_init__(self):
    _names(self, 'keep')
    if not self.keep:
      raise UserError('Languages.keep is empty; name the languages that are kept.')
    object.__setattr__(self, 'keep', tuple(map(languages.canonical, self.keep)))

  @property
  def name(self) -> str:
    return f'only languages {", ".join(self.keep)}'

  def reason(self, record: Record) -> str | None:
    language = languages.canonical(record.language) or languages.language_of(record.id)
    if not language:
      return 'no language'
    return None if language in self.keep else 'other language'


@dataclasses.dataclass(frozen=True)
class Extensions:
  """Keeps records by the end of their file's name.

  Attributes:
    keep: endings with their point ('.py', '.tar.gz') or whole names ('Makefile'),
      in whatever case; `Record.id` is the path.
  """

  keep: Sequence[str]

  def __post_init__(self):
    _names(self, 'keep')
    if not self.keep:
      raise UserError("Extensions.keep is empty; name the endings that are kept, such as ['.py'].")

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
class Size:
  """Keeps texts of a size.

  Attributes:
    min_bytes, max_bytes: of the text as UTF-8, both included; None for no upper
      bound.
  """

  min_bytes: int = 1
  max_bytes: int | None = None

  def __post_init__(self):
    most = self.max_bytes
    if not (isinstance(self.min_bytes, int) and (most is None or isinstance(most, int))):
      raise UserError(f'Size.min_bytes and max_bytes are {self.min_bytes!r} and {most!r}; they are whole numbers.')
    if self.min_bytes < 0 or (most is not None and most < self.min_bytes):
      raise UserError(f'Size: no text has from {self.min_bytes:,} to {most:,} bytes.' if most is not None else 'Size.min_bytes is below 0.')

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
