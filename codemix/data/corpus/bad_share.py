"""The rule of `Corpus.max_bad_share`: how much of a corpus is broken or lost, and when that is too much.

All that reads a corpus (`prepare`, a streamed stage, a tokenizer's sample, a SeqIO task) counts what
it reads in a `BadShare`, and ends with the same error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from codemix.data.raw.record import CUT_SHORT, DAMAGED, BadRecord, Record
from codemix.errors import UserError

if TYPE_CHECKING:
  from codemix.data.corpus.corpus import Corpus

# A part of a corpus is judged as if so many whole records followed: broken records come in clusters,
# such as a file, so a few of them at the beginning say little about the rest.
UNREAD_RECORDS = 5000
SHOWN = 3  # bad records in an error
LISTED = 20  # damaged files that are kept by name


@dataclasses.dataclass
class BadShare:
  """Counts of what was read of a corpus, or of a part of it.

  Attributes:
    records: rows that were read, broken ones and those of other splits included, and those that
      are known to be lost.
    bad: how many of them are broken or lost.
    files: that were begun.
    unknown: for each file that lost an unknown number of records, the number that was read before.
    damaged: files that are damaged or lost more than a record; the first LISTED.
    first: the first SHOWN broken records.
  """

  records: int = 0
  bad: int = 0
  files: int = 0
  unknown: list[int] = dataclasses.field(default_factory=list)
  damaged: list[BadRecord] = dataclasses.field(default_factory=list)
  first: list[BadRecord] = dataclasses.field(default_factory=list)

  def add(self, item: Record | BadRecord) -> None:
    """Counts what was read."""
    if not isinstance(item, BadRecord) or item.expected:
      self.records += 1
      return
    if item.lost is None:
      self.unknown.append(item.after)
    else:
      self.records += item.lost
      self.bad += item.lost
    if (item.lost != 1 or item.reason in (DAMAGED, CUT_SHORT)) and len(self.damaged) < LISTED:
      self.damaged.append(item)
    if len(self.first) < SHOWN:
      self.first.append(item)

  @property
  def broken(self) -> int:
    """Records that are broken or lost, estimated where their number is unknown."""
    return self.bad + sum(map(self._missing, self.unknown))

  @property
  def total(self) -> int:
    """`records`, and the estimate of those that are lost."""
    return self.records + sum(map(self._missing, self.unknown))

  def lost_of(self, bad: BadRecord) -> int:
    """The records that one of `damaged` costs."""
    return self._missing(bad.after) if bad.lost is None else bad.lost

  def _missing(self, after: int) -> int:
    """An estimate of the records that a file lost after `after` of an unknown number.

    The file is assumed to be as long as the whole files are on average; without any, to be cut in
    its middle.
    """
    whole = self.files - len(self.unknown)
    usual = (self.records - sum(self.unknown)) / whole if whole > 0 else 2 * after
    return max(1, round(usual) - after)

  def check(self, corpus: Corpus, unread: float = UNREAD_RECORDS, listed: str = '') -> None:
    """Ends the reading where too much is broken.

    Raises UserError: more than `Corpus.max_bad_share` is broken or lost; it shows the first.

    Args:
      corpus: what is read.
      unread: records that are assumed to follow, none of them broken; 0 after the last one.
      listed: where all broken records are listed; '' for nowhere.
    """
    if self.broken <= corpus.max_bad_share * (self.total + unread):
      return
    shown = '; '.join(f'{b.place}: {b.reason}' + (f' ({b.detail})' if b.detail else '') for b in self.first)
    about = 'about ' if self.damaged else ''
    so_far = ' read so far' if unread else ''
    lost = ' or lost with damaged files' if self.damaged else ''
    raise UserError(
      f"corpus '{corpus.name}': {about}{self.broken:,} of {self.total:,} records{so_far} are broken{lost}, more than Corpus.max_bad_share={corpus.max_bad_share:g}. "
      f'The first: {shown}. {f"All are listed in {listed}. " if listed else ""}Fix the files or the layout, or raise Corpus.max_bad_share to go on with what can be read.'
    )

  def summary(self) -> dict:
    """As plain data, which `merged` reads."""
    return dataclasses.asdict(self)


def merged(summaries: Iterable[Mapping]) -> BadShare:
  """What was read of several parts of a corpus, in their order."""
  whole = BadShare()
  for part in summaries:
    for name in ('records', 'bad', 'files', 'unknown'):
      setattr(whole, name, getattr(whole, name) + part[name])
    for name, most in (('damaged', LISTED), ('first', SHOWN)):
      setattr(whole, name, [*getattr(whole, name), *(BadRecord(**bad) for bad in part[name])][:most])
  return whole
