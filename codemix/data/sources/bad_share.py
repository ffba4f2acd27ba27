"""The rule of `Corpus.max_bad_share`: how much of a corpus is broken or lost, and when that is too much.

Whatever reads a corpus (`prepare`, a streamed stage, a tokenizer's sample, a SeqIO task) counts here
what it reads, and ends with the same error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from codemix.data.sources.record import CUT_SHORT, DAMAGED, BadRecord, Record
from codemix.errors import UserError

if TYPE_CHECKING:
  from codemix.data.sources.corpus import Corpus

# Broken records come in clusters, such as a file: so many of a part of a corpus are needed before
# its share says something of the whole, and fewer where it is this many times what is allowed.
ENOUGH_RECORDS = 10_000
FEW_RECORDS, FAR_TOO_MANY = 50, 10
_LOOKED_AT_EVERY = 1000  # records
SHOWN = 3  # bad records in an error
LISTED = 20  # damaged files that are kept by name


@dataclasses.dataclass
class BadShare:
  """What was read of a corpus, or of a part of it.

  Attributes:
    records: rows that were read, broken ones and those of other splits included, and those that
      are known to be lost.
    bad: how many of them are broken or lost.
    files: that were begun.
    unknown: of each file that lost a number of records that nobody knows, those read before.
    damaged: files that are damaged or lost more than a record, as far as they are listed.
    first: the first broken records.
    ends_reading_of: the corpus whose reading ends here as soon as too much of it is broken; None
      where the caller looks at that.
  """

  records: int = 0
  bad: int = 0
  files: int = 0
  unknown: list[int] = dataclasses.field(default_factory=list)
  damaged: list[BadRecord] = dataclasses.field(default_factory=list)
  first: list[BadRecord] = dataclasses.field(default_factory=list)
  ends_reading_of: Corpus | None = None

  def add(self, item: Record | BadRecord) -> None:
    """Counts what was read. Raises UserError where it ends the reading."""
    self._count(item)
    if self.ends_reading_of and (isinstance(item, BadRecord) or self.records % _LOOKED_AT_EVERY == 0):
      self.check(self.ends_reading_of, whole=False)

  def _count(self, item: Record | BadRecord) -> None:
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
    """Records that are broken or lost, by the best that is known."""
    return self.bad + sum(map(self._missing, self.unknown))

  @property
  def total(self) -> int:
    return self.records + sum(map(self._missing, self.unknown))

  def lost_of(self, bad: BadRecord) -> int:
    """The records that one of `damaged` costs."""
    return self._missing(bad.after) if bad.lost is None else bad.lost

  def _missing(self, after: int) -> int:
    """What a file lost that gave so many records and should have given an unknown number.

    It is taken for as long as the whole files are on average; where there are none, for cut in its
    middle.
    """
    whole = self.files - len(self.unknown)
    usual = (self.records - sum(self.unknown)) / whole if whole > 0 else 2 * after
    return max(1, round(usual) - after)

  def tells(self, most: float) -> bool:
    """Whether so much was read that what is broken is likely too much of the whole corpus, if it may have the share `most`."""
    far = min(FAR_TOO_MANY * most, (1 + most) / 2)
    return self.total >= ENOUGH_RECORDS or (self.total >= FEW_RECORDS and self.broken > far * self.total)

  def check(self, corpus: Corpus, whole: bool, listed: str = '') -> None:
    """Ends the reading where too much is broken.

    Args:
      corpus: what is read.
      whole: all of it was read; else nothing is said before enough was.
      listed: where all broken records are listed; '' for nowhere.

    Raises:
      UserError: more than `Corpus.max_bad_share` is broken or lost; it shows the first.
    """
    if (whole or self.tells(corpus.max_bad_share)) and self.broken > corpus.max_bad_share * self.total:
      raise self.error(corpus, whole, listed)

  def error(self, corpus: Corpus, whole: bool, listed: str = '') -> UserError:
    """That too much is broken; as `check`."""
    shown = '; '.join(f'{b.place}: {b.reason}' + (f' ({b.detail})' if b.detail else '') for b in self.first)
    about = 'about ' if self.damaged else ''
    so_far = '' if whole else ' read so far'
    lost = ' or lost with damaged files' if self.damaged else ''
    return UserError(
      f"corpus '{corpus.name}': {about}{self.broken:,} of {self.total:,} records{so_far} are broken{lost}, more than Corpus.max_bad_share={corpus.max_bad_share:g}. "
      f'The first: {shown}. {f"All are listed in {listed}. " if listed else ""}Fix the files or the layout, or raise Corpus.max_bad_share to go on with what can be read.'
    )

  def summary(self) -> dict:
    """As plain data, which `merged` reads."""
    return {
      'records': self.records,
      'bad': self.bad,
      'files': self.files,
      'unknown': list(self.unknown),
      'damaged': [dataclasses.asdict(bad) for bad in self.damaged],
      'first': [dataclasses.asdict(bad) for bad in self.first],
    }


def merged(summaries: Iterable[Mapping]) -> BadShare:
  """What was read of several parts of a corpus, in their order."""
  whole = BadShare()
  for part in summaries:
    whole.records += part['records']
    whole.bad += part['bad']
    whole.files += part['files']
    whole.unknown += part['unknown']
    for name, most in (('damaged', LISTED), ('first', SHOWN)):
      listed = getattr(whole, name)
      listed += [BadRecord(**bad) for bad in part[name]][: most - len(listed)]
  return whole
