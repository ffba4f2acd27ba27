"""One record per document: what every corpus gives, whatever the form of its files."""

from __future__ import annotations

import dataclasses

from codemix.errors import UserError

DAMAGED = 'damaged file'  # the reason of a file that is read up to where its bytes are wrong or missing
CUT_SHORT = 'cut short'  # of the last record of a file that has no more of it


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
  """A document.

  Attributes:
    text: what is tokenized, without lone surrogates, so that UTF-8 can encode it.
    source: the set or repository that it comes from, such as 'RedPajamaC4'.
    language: 'python', 'markdown', 'en', ...; '' where it is not known.
    id: the corpus's own id, path or URL; else the place in its file.
    program: for verified code, what is executed to check `text` (solution and tests); else ''.
    answers: (begin, end) of each part of `text`, in characters and in order, whose tokens count in the loss; what lies
      between is a prompt. None: all of it counts. Only of layouts that say so (`RowParser`).
  """

  text: str
  source: str = ''
  language: str = ''
  id: str = ''
  program: str = ''
  answers: tuple[tuple[int, int], ...] | None = None

  def parts(self) -> list[tuple[str, bool]]:
    """The text in parts that are not empty, each with whether its tokens count in the loss.

    Raises UserError: `answers` are not parts of the text in order, a fault of the layout.
    """
    if self.answers is None:
      return [(self.text, True)]
    bounds = [0, *(place for span in self.answers for place in span), len(self.text)]
    if bounds != sorted(bounds):
      raise UserError(f"the layout of '{self.source}' gives {self.id or 'a record'} the answers {self.answers}, which are not parts of its {len(self.text)} characters in order.")
    cut = [(self.text[begin:end], bool(number % 2)) for number, (begin, end) in enumerate(zip(bounds, bounds[1:], strict=False))]
    return [(text, counts) for text, counts in cut if text]


@dataclasses.dataclass(frozen=True, slots=True)
class TransformedRecord(Record):
  """A document whose text transformations have changed.

  Attributes:
    bytes_before: of the text as UTF-8, before each transformation that was applied.
  """

  bytes_before: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class BadRecord:
  """What is set aside instead of a record.

  Attributes:
    place: 'file:line', 'file:row 17' or 'file'.
    reason: a short kind, for counting: 'not JSON', 'not UTF-8', 'too long', 'damaged file', ...
    detail: for example the parser's message.
    expected: it is not broken, but has nothing to train on (an image in a folder of files): it is
      counted, but not towards `Corpus.max_bad_share`.
    lost: the number of records that it costs; of a damaged file an estimate, None where that is
      unknown because the file ends too soon or has another format.
    after: the records of that file that were read before.
  """

  place: str
  reason: str
  detail: str = ''
  expected: bool = False
  lost: int | None = 1
  after: int = 0

  def __post_init__(self):
    if '\n' in self.detail:  # libraries explain themselves in several lines, and this is part of one
      object.__setattr__(self, 'detail', ' '.join(self.detail.split()))
