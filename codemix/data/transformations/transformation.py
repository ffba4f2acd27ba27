"""What a transformation is: it gives another text for a document, and leaves all else of it as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from codemix.data import languages

if TYPE_CHECKING:
  from codemix.data.raw.record import Record


class Unsuited(Exception):
  """A document has no such text; its argument is a short label, of a few different ones, by which such documents are counted."""


@runtime_checkable
class Transformation(Protocol):
  """Gives the text of a record in another form; a frozen dataclass, which is hashed and sent to workers.

  The text depends on the record and the fields of the transformation alone, so that every worker writes the same. A
  class may declare `version`, a number that is raised whenever it gives something else, and `stable_name`; see
  `codemix.data.corpus.identity`. It may have `languages`, those that it knows, by the names of
  `codemix.data.languages`; without it, it is for texts of any language.

  Attributes:
    name: what it does to a text, for people who read the manifest.
  """

  @property
  def name(self) -> str: ...

  def transformed(self, record: Record) -> str:
    """The other text; '' if nothing is left. Raises Unsuited: the document cannot be transformed, and is dropped."""


def transform(record: Record, transformation: Transformation) -> str:
  """The text that a transformation gives for a record.

  Raises Unsuited: it gives none. UserError: it does not know the language of the record.
  """
  require_language(record, transformation)
  text = transformation.transformed(record)
  if not text:
    raise Unsuited('nothing left')
  return text


def require_language(record: Record, transformation: Transformation) -> None:
  """Raises UserError where a transformation does not know the language of a record."""
  if known := getattr(transformation, 'languages', ()):
    languages.require_known(record, known, type(transformation).__name__)
