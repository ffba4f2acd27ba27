"""Lines shuffled: which words there are and stand together stays, the structure across lines goes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from codemix.checked import Seed, checked
from codemix.data.transformations.random_order import document_key, shuffled

if TYPE_CHECKING:
  from codemix.data.raw.record import Record


@dataclasses.dataclass(frozen=True)
@checked
class ShuffleLines:
  """Puts the lines of a document, blank ones too, into a random order; for texts of any language.

  A line keeps its indentation. The bytes stay the same in number.

  Attributes:
    seed: of the orders.
  """

  stable_name, version = 'shuffle_lines', 1
  name: ClassVar[str] = 'lines shuffled'

  seed: Seed = 0

  def transformed(self, record: Record) -> str:
    text = record.text
    lines, end = (text[:-1], '\n') if text.endswith('\n') else (text, '')
    return '\n'.join(shuffled(lines.split('\n'), document_key(self.seed, text))) + end
