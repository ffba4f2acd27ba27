"""A filter of texts that were no text, or were decoded wrongly."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from codemix.checked import Share, checked

if TYPE_CHECKING:
  from codemix.data.raw.record import Record


@dataclasses.dataclass(frozen=True)
@checked
class Encoding:
  """Drops texts with NUL, and those with too much of what no person types.

  Attributes:
    nul: whether a text may hold NUL characters.
    max_replaced: largest fraction of the characters that are U+FFFD, which
      decoders put where bytes made no sense.
    max_unprintable: largest fraction that are control characters.
  """

  stable_name, version = 'encoding', 1

  nul: bool = False
  max_replaced: Share = 0.001
  max_unprintable: Share = 0.001

  # But for tab, line feed, vertical tab, form feed, carriage return and next line.
  _control = re.compile('[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]+')

  @property
  def name(self) -> str:
    nul = '' if self.nul else 'no NUL, '
    return f'{nul}at most {self.max_replaced:.3%} U+FFFD and {self.max_unprintable:.3%} control characters'

  def reason(self, record: Record) -> str | None:
    text = record.text
    if not self.nul and '\0' in text:
      return 'NUL'
    if text.count('\ufffd') > self.max_replaced * len(text):
      return 'replacement characters'
    most, unprintable = self.max_unprintable * len(text), 0
    for run in self._control.finditer(text):
      unprintable += run.end() - run.start()
      if unprintable > most:
        return 'control characters'
    return None
