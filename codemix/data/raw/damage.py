"""The BadRecord of a damaged file: where the damage is, and how many records it costs."""

from __future__ import annotations

from codemix.data.raw.compression import Damaged
from codemix.data.raw.foreign import HEAD_BYTES, foreign_form
from codemix.data.raw.record import DAMAGED, BadRecord
from codemix.data.raw.storage import open_raw, open_stored

EMPTY = 'empty file'


def damaged(url: str, error: Damaged, read: int, where: str, complete: bool = False) -> BadRecord:
  """What a file lost that was read up to its damage.

  Args:
    url: the file.
    error: what is wrong with it.
    read: records that it gave before.
    where: how far it was read, in records or lines.
    complete: the last of them was whole, and nothing of another followed.
  """
  if error.kind == 'foreign':
    return BadRecord(url, error.form or DAMAGED, str(error), lost=None)
  lost = lost_records(read, error.lost_share)
  if error.kind == 'cut' and complete and error.lost_share is None:
    lost = 1  # a file that is cut at random does not end with a whole record: only its end is gone
  return BadRecord(url, DAMAGED, f'{where}: {error}', lost=lost, after=read)


def lost_records(read: int, lost_share: float | None) -> int | None:
  """An estimate: as many for each byte that is lost as for each that was read; None where it is not known."""
  return max(1, round(read * lost_share)) if read and lost_share is not None else None


def foreign(url: str, compressed: bool = True) -> BadRecord | None:
  """The BadRecord of a file that is of another known kind than its name says; None for any other.

  Args:
    url: the file.
    compressed: whether to look at what a compressed file holds, not at its stored bytes.
  """
  try:
    with (open_raw if compressed else open_stored)(url) as file:
      head = file.peek(HEAD_BYTES)[:HEAD_BYTES]
  except Damaged:
    return None  # reading the file raises the same error
  if form := foreign_form(head):
    return BadRecord(url, form[0], form[1], lost=None)
  return None
