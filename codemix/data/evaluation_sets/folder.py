"""The folder of released evaluation sets: finds a set's file, and reads its rows."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from codemix.data.evaluation_sets.records import records_of
from codemix.data.raw.storage import digest_of
from codemix.errors import UserError

VARIABLE = 'CODEMIX_EVAL_DIR'


@dataclasses.dataclass(frozen=True)
class Wanted:
  """A file of a released set.

  Attributes:
    names: paths below the folder that it may have, upstream's name first; each also with '.gz' or '.zst'.
    published_at: where upstream publishes it.
  """

  names: tuple[str, ...]
  published_at: str


@dataclasses.dataclass(frozen=True)
class Rows:
  """Rows of a file.

  Attributes:
    rows: (place, fields) of each, in the file's order; the place names file and line in messages.
    file: its path.
    digest: sha256 of the file.
  """

  rows: tuple[tuple[str, Mapping], ...]
  file: str
  digest: str


@dataclasses.dataclass(frozen=True)
class EvaluationFolder:
  """Where evaluation sets lie; None for `$CODEMIX_EVAL_DIR`."""

  path: Path | None = None

  def find(self, wanted: Wanted, task: str) -> Path:
    """Path of a file. Raises UserError that names the file, and where it is published, if it is missing."""
    path = self.path or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if path is None:
      raise UserError(
        f"task '{task}' reads {wanted.names[0]} ({wanted.published_at}): set {VARIABLE} or Evaluation.directory to the folder that holds it."
      )
    for name in wanted.names:
      for ending in ('', '.gz', '.zst'):
        if (found := path / f'{name}{ending}').is_file():
          return found
    also = f' (or {", ".join(wanted.names[1:])})' if wanted.names[1:] else ''
    raise UserError(f"task '{task}': {path} lacks {wanted.names[0]}{also}, also with .gz; upstream publishes it at {wanted.published_at}.")

  def rows(self, wanted: Wanted, task: str, head: bool = False) -> Rows:
    """The rows of a file. Raises UserError if it is missing or damaged."""
    path = str(self.find(wanted, task))
    return Rows(tuple(records_of(path, head)), path, digest_of(path))
