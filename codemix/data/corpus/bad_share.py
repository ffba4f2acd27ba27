"""The rule of `Corpus.max_bad_share`: how much of a corpus is broken or lost, and when that is too much.

Whatever reads a corpus (`prepare`, a streamed stage, a tokenizer's sample, a SeqIO task) counts here
what it reads, and ends with the same error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from codemix.data.corpus.record import CUT_SHORT, DAMAGED, BadRecord, Record
from codemix.errors import UserError

if TYPE_CHECKING:
  from codemix.data.corpus.corpus import Corpus

# Broken records come in clusters, such as a file: so many records of a part are needed before its
# share stands for that of the whole corpus, and fewer where it is this many times the allowed one.
ENOUGH_RECORDS = 10_000
FEW_RECORDS, FAR_TOO_MANY = 50, 10
_CHECKED_EVERY = 1000  # records
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
    unknown: for each file that lost an unknown number of records, the number that was read before.
    damaged: files that are damaged or lost more than a record, as far as they are listed.
    first: the first broken records.
    ends_reading_of: the corpus whose reading ends here as soon as too much of it is broken; None
      where the caller calls `check` itself.
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
    if self.ends_reading_of and (isinstance(item, BadRecord) or self.records % _CHECKED_EVERY == 0):
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
    """An estimate of the records that a file lost, where it gave `after` of an unknown number.

    The file is assumed to be as long as the whole files are on average; without any, to be cut in
    its middle.
    """
    whole = self.files - len(self.unknown)
    usual = (self.records - sum(self.unknown)) / whole if whole > 0 else 2 * after
    return max(1, round(usual) - after)

  def is_enough(self, most: float) -> bool:
    """Whether enough was read to say that more than the share `most` of the whole corpus is broken."""
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
    if (whole or self.is_enough(corpus.max_bad_share)) and self.broken > corpus.max_bad_share * self.total:
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
