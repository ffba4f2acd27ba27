"""Holds documents out for validation, by the hash of their content."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence

from codemix.data.raw.record import Record
from codemix.errors import UserError


@dataclasses.dataclass(frozen=True)
class Extent:
  """How much of a corpus is wanted; bytes are of text.

  Attributes:
    least_bytes: a corpus with fewer is an error.
    most_bytes: reading stops at the document that reaches them.
    validation_bytes: documents are held out until they have as many,
    validation_documents: and until there are as many.
  """

  least_bytes: int
  most_bytes: int
  validation_bytes: int
  validation_documents: int = 100


def text_bytes(records: Iterable[Record]) -> int:
  """The bytes of the texts in UTF-8."""
  return sum(len(record.text.encode()) for record in records)


def content_hash(text: str) -> str:
  """Sha256 hex of a text, however its white space is laid out."""
  return hashlib.sha256(' '.join(text.split()).encode()).hexdigest()


def split(
  records: Sequence[Record], extent: Extent, shorten: Callable[[str, int], str]
) -> dict[str, list[Record]]:
  """Splits a corpus into 'train' and 'validation', each in the order of the content hashes.

  Validation takes the lowest hashes: the choice depends on nothing but the documents.

  Args:
    shorten: cuts a held-out document to about so many characters, so that a few long ones are not
      most of the split. The rest of the document is in neither split.

  Raises UserError: no document would be left to train on.
  """
  ordered = sorted(records, key=lambda record: content_hash(record.text))
  most = extent.validation_bytes // extent.validation_documents
  validation: list[Record] = []
  while text_bytes(validation) < extent.validation_bytes or len(validation) < extent.validation_documents:
    if len(validation) + 1 >= len(ordered):
      raise UserError(f'{len(ordered)} documents are too few to hold some out for validation')
    record = ordered[len(validation)]
    validation.append(dataclasses.replace(record, text=shorten(record.text, most)))
  return {'train': ordered[len(validation) :], 'validation': validation}


def shorten_code(text: str, most: int) -> str:
  """An excerpt of a program that parses, of at most so many characters.

  The content hash selects a character; the excerpt begins with the top-level statement that holds
  it, or with one close to it if that cannot be cut. A program that cannot be cut stays whole.
  """
  if len(text) <= most:
    return text
  wanted = int(content_hash(text), 16) % (len(text) - most)
  starts = sorted(_statement_starts(text), key=lambda start: (start > wanted, abs(start - wanted)))
  longest = ''
  for start in starts:
    part = _parsing_prefix(text[start : start + most])
    if len(part) >= most // 2:
      return part
    longest = max(longest, part, key=len)
  return longest or text


def _statement_starts(text: str) -> list[int]:
  """Where the lines of the top-level statements of a program begin, in characters."""
  offsets = list(itertools.accumulate((len(line) + 1 for line in text.split('\n')), initial=0))
  decorators = lambda node: getattr(node, 'decorator_list', ())
  return [offsets[[*decorators(node), node][0].lineno - 1] for node in ast.parse(text).body]


def shorten_prose(text: str, most: int) -> str:
  """The first paragraphs of a document, up to so many characters; the very first one in any case."""
  kept, *others = text.split('\n\n')
  for paragraph in others:
    if len(kept) + len(paragraph) > most:
      break
    kept += '\n\n' + paragraph
  return kept


def _parsing_prefix(text: str) -> str:
  """The longest program, '' at worst, that consists of the first whole lines of a text."""
  while text := text.rpartition('\n')[0].rstrip():
    try:
      ast.parse(text)
    except (SyntaxError, ValueError):
      continue
    return text + '\n'
  return ''
