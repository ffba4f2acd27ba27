"""Broken records: set aside in a file of their own, and too many of them an error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from codemix.data.shard_writer import NewFile
from codemix.data.sources.corpus import Corpus
from codemix.data.sources.record import BadRecord
from codemix.errors import UserError

SHOWN = 3  # bad records in an error


class Quarantine:
  """The broken records of a shard: `bad-<shard>.jsonl`, with their places and reasons but not their text.

  Attributes:
    path: of the file.
    first: the first few.
  """

  def __init__(self, folder: Path, name: str):
    self.path = folder / f'bad-{name}.jsonl'
    self.first: list[BadRecord] = []
    self._file = NewFile(self.path)

  def add(self, bad: BadRecord) -> None:
    if len(self.first) < SHOWN and not bad.expected:
      self.first.append(bad)
    line = {'place': bad.place, 'reason': bad.reason}
    if bad.detail:
      line['detail'] = bad.detail
    if bad.expected:
      line['expected'] = True
    self._file.write((json.dumps(line) + '\n').encode())

  def finish(self) -> dict | None:
    """Puts the file in its place, if it has anything in it; returns its name and digest."""
    return {'file': self.path.name, 'sha256': self._file.finish()} if self._file.size else None

  def discard(self) -> None:
    self._file.discard()


def first_of(files: Sequence[Path]) -> list[BadRecord]:
  """The first few records that are broken of these files."""
  found: list[BadRecord] = []
  for bad in (bad for path in files for bad in _read(path)):
    if not bad.expected:
      found.append(bad)
    if len(found) == SHOWN:
      break
  return found


def _read(path: Path) -> Iterator[BadRecord]:
  with open(path, encoding='utf-8') as lines:
    for line in lines:
      yield BadRecord(**json.loads(line))


def check_bad_share(
  corpus: Corpus, bad: int, records: int, examples: Iterable[BadRecord], path: Path, enough: int
) -> None:
  """Ends the run where too many records are broken.

  Args:
    examples: a few of them.
    path: where all of them are listed.
    enough: records below which nothing is said.

  Raises:
    UserError: with those examples.
  """
  if records < enough or bad <= corpus.max_bad_share * records:
    return
  shown = '; '.join(f'{b.place}: {b.reason}' + (f' ({b.detail})' if b.detail else '') for b in examples)
  raise UserError(
    f"corpus '{corpus.name}': {bad:,} of {records:,} records are broken, more than Corpus.max_bad_share={corpus.max_bad_share:g}. "
    f'The first: {shown}. All are listed in {path}. Mend the files or the layout, or raise Corpus.max_bad_share.'
  )


def bad_file(name: str) -> str:
  return f'bad-{name}.jsonl'
