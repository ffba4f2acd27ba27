"""The folder of released evaluation sets: finds a set's file, or what TFDS prepared of it, and reads its rows."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from codemix.data.evaluation_sets.records import records_of
from codemix.data.raw.storage import DAMAGE, digest_of, open_raw
from codemix.errors import UserError
from codemix.storage import local_path

VARIABLE = 'CODEMIX_EVAL_DIR'
TFDS_VARIABLE, TFDS_DEFAULT = 'TFDS_DATA_DIR', '~/tensorflow_datasets'  # TFDS's own


@dataclasses.dataclass(frozen=True)
class Wanted:
  """A file of a released set.

  Attributes:
    names: paths below the folder that it may have, upstream's name first; each also with '.gz' or '.zst'. A pattern
      with '*' stands for all files that it fits, in the order of their names.
    published_at: where upstream publishes it.
    csv_head: whether the first line of a .csv names its columns.
    tsv_head: whether the first line of a .tsv does.
  """

  names: tuple[str, ...]
  published_at: str
  csv_head: bool = True
  tsv_head: bool = False


@dataclasses.dataclass(frozen=True)
class Rows:
  """Rows of a file, or of all files of a pattern.

  Attributes:
    rows: (place, fields) of each, in the files' order; the place names file and line in messages.
    data: sha256 of each file by its name.
  """

  rows: tuple[tuple[str, Mapping], ...]
  data: Mapping[str, str]


def tfds(dataset: str, split: str) -> str:
  """The files that TFDS writes of a split, as a name of `Wanted`: 'ai2_arc/ARC-Easy' is a dataset with its config."""
  return f'{dataset}/[0-9]*/{dataset.partition("/")[0]}-{split}.tfrecord-*'


@dataclasses.dataclass(frozen=True)
class EvaluationFolder:
  """Where evaluation sets lie; None for `$CODEMIX_EVAL_DIR`.

  Files are also looked for in the working folder, and those of TFDS where TFDS prepares them: in `$TFDS_DATA_DIR`, or ~/tensorflow_datasets.
  """

  path: Path | None = None

  def find(self, wanted: Wanted, task: str) -> list[Path]:
    """The files. Raises UserError that names the file, and where it is published, if it is missing."""
    path = self.path or (local_path(os.environ[VARIABLE], VARIABLE) if os.environ.get(VARIABLE) else None)
    for name in wanted.names:
      local_path(name, f"the file of task '{task}'")
    given = [root for root in (path, Path()) if root is not None]
    for name in wanted.names:
      roots = [*given, Path(os.environ.get(TFDS_VARIABLE) or TFDS_DEFAULT).expanduser()] if '.tfrecord' in name else given
      for ending in ('', '.gz', '.zst'):
        for root in roots:
          if found := _files(root, f'{name}{ending}'):
            return found
    if path is not None and not path.is_dir():
      raise UserError(f"task '{task}': {path}, the folder of evaluation sets, {'is a file' if path.exists() else 'does not exist'}. Set {VARIABLE}, --eval_dir or Evaluation.directory to the folder that has {wanted.names[0]}.")
    if all(Path(name).is_absolute() for name in wanted.names):
      raise UserError(f"task '{task}': {' or '.join(wanted.names)} does not exist.")
    also = f' (or {", ".join(wanted.names[1:])})' if wanted.names[1:] else ''
    at = f'; upstream publishes it at {wanted.published_at}' if wanted.published_at else ''
    if path is None:
      raise UserError(f"task '{task}' reads {wanted.names[0]}{also}{at}. Set {VARIABLE}, --eval_dir or Evaluation.directory to the folder that holds it.")
    raise UserError(f"task '{task}': {path} lacks {wanted.names[0]}{also}, also with .gz{at}.")

  def is_there(self, wanted: Wanted) -> bool:
    """Whether `find` finds it."""
    try:
      return bool(self.find(wanted, ''))
    except UserError:
      return False

  def rows(self, wanted: Wanted, task: str) -> Rows:
    """The rows of the files. Raises UserError if there is none, or one is damaged."""
    files = self.find(wanted, task)
    rows = (row for file in files for row in records_of(str(file), wanted.tsv_head, wanted.csv_head))
    return Rows(tuple(rows), self._data(files))

  def texts(self, wanted: Wanted, task: str) -> tuple[list[tuple[str, str]], Mapping[str, str]]:
    """(file, text) of each file of plain text, and their digests. Raises UserError as `rows`, or if one is not UTF-8."""
    files = self.find(wanted, task)
    texts = []
    for file in files:
      try:
        with open_raw(str(file)) as opened:
          texts.append((str(file), opened.read().decode('utf-8')))
      except (*DAMAGE, UnicodeError) as error:
        raise UserError(f'{file} cannot be read as UTF-8 text: {error}.') from None
    return texts, self._data(files)

  def _data(self, files: Sequence[Path]) -> dict[str, str]:
    names = [file.name for file in files]
    unique = len(set(names)) == len(names)  # files of subjects may share a name: then their folder tells them apart
    return {file.name if unique else f'{file.parent.name}/{file.name}': digest_of(str(file)) for file in files}


def _files(root: Path, pattern: str) -> list[Path]:
  place = Path(pattern)
  if place.is_absolute():
    root, pattern = Path(place.anchor), str(place.relative_to(place.anchor))
  found = [file for file in sorted(root.glob(pattern)) if file.is_file()]
  return _newest(found) if '.tfrecord' in pattern else found


def _newest(files: list[Path]) -> list[Path]:
  """Those of the highest version of a dataset of TFDS: 'piqa/1.0.0/...'. Raises UserError if a shard is missing."""
  versions = {file.parent: tuple(map(int, file.parent.name.split('.'))) for file in files if re.fullmatch(r'\d+\.\d+\.\d+', file.parent.name)}
  if not versions:
    return []
  newest = max(versions, key=versions.__getitem__)
  shards = [file for file in files if file.parent == newest]
  if len(shards) != (wanted := int(shards[0].name.rpartition('-of-')[2])):
    raise UserError(f'{newest} has {len(shards)} of the {wanted} files of {shards[0].name.partition(".")[0]}: copy the others, or prepare it again.')
  return shards
