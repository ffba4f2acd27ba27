"""Keeps only what parses: code that is whole, and in the language that it is said to be in."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from codemix.checked import checked
from codemix.data import languages
from codemix.data.python_source.parses import parses

if TYPE_CHECKING:
  from codemix.data.raw.record import Record


@dataclasses.dataclass(frozen=True)
@checked
class Parses:
  """Drops Python that does not parse.

  What parses depends on the version of Python that runs codemix. As with `PassesTests`, that version is not part of a
  store's identity. Python 2 does not parse.

  Raises UserError, when it judges: a record is in another language, or in none.
  """

  stable_name, version = 'parses', 1
  name: ClassVar[str] = 'parses'

  def reason(self, record: Record) -> str | None:
    languages.require_known(record, ('python',), 'the filter Parses')
    return None if parses(record.text) else 'does not parse'
