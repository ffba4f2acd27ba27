"""What a filter is, and the mark of the one that compares a whole corpus."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from codemix.checked import checked

if TYPE_CHECKING:
  from codemix.data.raw.record import Record


@runtime_checkable
class Filter(Protocol):
  """Keeps a record or gives the reason for dropping it; a frozen dataclass, which is hashed and sent to workers.

  A class may declare `version`, a number that is raised whenever it gives something else, and
  `stable_name`; see `codemix.data.corpus.identity`. A filter that is faster on several records at a
  time may also have a method `reasons(records)`, which returns a list.

  Attributes:
    name: what is kept or dropped, for people who read the manifest.
  """

  @property
  def name(self) -> str: ...

  def reason(self, record: Record) -> str | None:
    """None to keep the record; else a short label, of a few different ones, by which drops are counted."""


def is_corpus_wide(filter: object) -> bool:
  """Whether a filter compares all documents of the corpus, and so comes after all shards."""
  return getattr(filter, 'corpus_wide', False)


@dataclasses.dataclass(frozen=True)
@checked
class ExactDuplicates:
  """Keeps the first of the records whose texts are the same, byte for byte.

  It looks at the whole corpus, so `prepare` does it when all else is done: it
  stands last among the filters.
  """

  stable_name, version = 'exact_duplicates', 1
  name = 'exact duplicates dropped'
  corpus_wide = True

  def reason(self, record: Record) -> str | None:
    """None: no record is a duplicate by itself."""
    return None

  def key(self, record: Record) -> bytes:
    """sha256 of the text (32 bytes), the same for duplicates and nothing else."""
    return hashlib.sha256(record.text.encode()).digest()
