"""Strings that UTF-8 can hold: JSON can spell a lone surrogate, UTF-8 cannot."""

from __future__ import annotations

import dataclasses

from codemix.data.raw.local_files import printable
from codemix.data.raw.record import BadRecord, Record


def encodable(text: str) -> str:
  """The text with '?' for each lone surrogate."""
  if text.isascii():  # a flag of the string: nothing is scanned
    return text
  try:
    text.encode()
  except UnicodeEncodeError:
    return text.encode(errors='replace').decode()
  return text


def encodable_record(record: Record, source: str, id: str) -> Record:
  """The record with this source and id where it has none, its strings encodable."""
  strings = (record.text, record.source or source, record.language, record.id or id)
  # The interpreter of `program` decides about a lone surrogate. `answers` stay: the text keeps its number of characters.
  return Record(*map(encodable, strings), record.program, record.answers)


def encodable_bad(bad: BadRecord) -> BadRecord:
  """The broken record, printable: its place may hold what is broken in it."""
  return dataclasses.replace(
    bad, place=printable(bad.place), reason=encodable(bad.reason), detail=encodable(bad.detail)
  )
