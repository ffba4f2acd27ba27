"""The broken records of a shard, listed in a file of their own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from codemix.data.raw.record import BadRecord
from codemix.data.store.shard_writer import NewFile


class Quarantine:
  """Writes `bad-<shard>.jsonl`: places and reasons of broken records, without their text."""

  def __init__(self, folder: Path, name: str):
    self.path = folder / f'bad-{name}.jsonl'
    self._file = NewFile(self.path)

  def add(self, bad: BadRecord) -> None:
    """Lists a record by the fields that say more than the defaults."""
    fields = [(field, getattr(bad, field.name)) for field in dataclasses.fields(bad)]
    line = {field.name: value for field, value in fields if value != field.default}
    self._file.write((json.dumps(line) + '\n').encode())

  def finish(self) -> dict | None:
    """Puts the file in its place, if it has anything in it; returns its name and digest."""
    return {'file': self.path.name, 'sha256': self._file.finish()} if self._file.size else None

  def discard(self) -> None:
    self._file.discard()
