"""The corpora on disk: files of JSON lines, and a manifest that says what is in them."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from codemix.errors import UserError
from codemix.files import read_json, require_form, write_json, writing
from codemix.identity import digest, file_digest

SPLITS = ('train', 'validation')
_FORMAT = 1
_MANIFEST = 'manifest.json'
_SPLIT = {'documents': int, 'text_bytes': int, 'file_bytes': int, 'sha256': str}
_MANIFEST_FORM = {'versions': dict, 'corpora': {...: {'splits': {...: _SPLIT}, 'dropped': dict}}}
_ANEW = 'delete its folder of corpora, and they are built anew'
_ABANDONED_SECONDS = 3600.0  # no build takes this long: its process was killed


class Record(TypedDict):
  """A document, the distribution that it is from ('numpy'), its language, and its place there."""

  text: str
  source: str
  language: str
  id: str


@dataclasses.dataclass(frozen=True)
class Split:
  """A file of documents.

  Attributes:
    path: of the file, one JSON record a line.
    documents: how many there are.
    text_bytes: of their texts, as UTF-8.
    file_bytes: of the file.
    sha256: hex digest of the file, which is one of the documents in their order.
  """

  path: Path
  documents: int
  text_bytes: int
  file_bytes: int
  sha256: str


@dataclasses.dataclass(frozen=True)
class Corpus:
  """A named corpus.

  Attributes:
    name: of the corpus.
    splits: 'train' and 'validation'.
    dropped: how many files, documents and paragraphs were left out, by reason.
  """

  name: str
  splits: Mapping[str, Split]
  dropped: Mapping[str, int]

  @property
  def digest(self) -> str:
    """Sha256 hex over the digests of the splits."""
    return digest({name: split.sha256 for name, split in self.splits.items()})


@dataclasses.dataclass(frozen=True)
class LocalCorpora:
  """The corpora in a folder.

  Attributes:
    directory: the folder.
    corpora: by name, 'local_code' and 'local_text'.
    versions: of the distributions that they were made of ('python' is the standard library).
  """

  directory: Path
  corpora: Mapping[str, Corpus]
  versions: Mapping[str, str]

  @property
  def digest(self) -> str:
    """Sha256 hex over the digests of the corpora."""
    return digest({name: corpus.digest for name, corpus in self.corpora.items()})


def has_corpora(directory: Path) -> bool:
  """Whether a folder holds corpora; they come into it all at once.

  Raises:
    UserError: it holds something else, among which no corpora can be put.
  """
  if (directory / _MANIFEST).is_file():
    return True
  if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
    raise UserError(f'{directory} holds something other than corpora: name a new folder for them')
  return False


def write_corpora(
  directory: Path,
  documents: Mapping[str, Mapping[str, Sequence[Record]]],
  dropped: Mapping[str, Mapping[str, int]],
  versions: Mapping[str, str],
) -> LocalCorpora:
  """Writes corpora beside `directory`, then renames: a kill leaves them whole or not there.

  Args:
    directory: absent or empty. Where another process has filled it meanwhile, its corpora stay.
    documents: of each corpus and split, in their order.
    dropped: counts of each corpus by reason.
    versions: of the distributions that the documents are from.

  Raises:
    UserError: the disk is full, the folder cannot be written, or it holds something else.
  """
  directory = directory.resolve()
  building = directory.with_name(f'.{directory.name}.building-{uuid.uuid4().hex}')
  try:
    with writing(directory):
      building.mkdir(parents=True)
      _remove_abandoned(directory)
      contents = {
        name: {
          'splits': {
            split: _write(building / name / f'{split}.jsonl', splits[split]) for split in SPLITS
          },
          'dropped': dict(sorted(dropped[name].items())),
        }
        for name, splits in documents.items()
      }
      manifest = {'format': _FORMAT, 'versions': dict(versions), 'corpora': contents}
      write_json(building / _MANIFEST, manifest)
      try:
        building.rename(directory)
      except OSError:  # another process was faster: POSIX renames over an empty folder only
        if not has_corpora(directory):
          raise
  finally:
    shutil.rmtree(building, ignore_errors=True)
  return open_local_corpora(directory)


def _remove_abandoned(directory: Path) -> None:
  """Deletes what killed processes were writing."""
  for path in directory.parent.glob(f'.{glob.escape(directory.name)}.building-*'):
    with contextlib.suppress(FileNotFoundError):  # another process finished, or deletes it too
      if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
        shutil.rmtree(path, ignore_errors=True)


def _write(path: Path, records: Sequence[Record]) -> dict[str, Any]:
  """Writes a split; returns its entry in the manifest."""
  path.parent.mkdir(exist_ok=True)
  lines = [json.dumps(record, ensure_ascii=False) + '\n' for record in records]
  content = ''.join(lines).encode()
  with path.open('wb') as file:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
  return {
    'documents': len(records),
    'text_bytes': sum(len(record['text'].encode()) for record in records),
    'file_bytes': len(content),
    'sha256': hashlib.sha256(content).hexdigest(),
  }


def open_local_corpora(directory: str | os.PathLike) -> LocalCorpora:
  """Opens the corpora in a folder, after a look at the sizes of their files.

  Raises:
    UserError: there are none, or a file has another size than when it was written.
  """
  directory = Path(directory)
  if not (directory / _MANIFEST).is_file():
    raise UserError(f'{directory} holds no corpora: build them with build_local_corpora')
  manifest = read_json(directory / _MANIFEST)
  if manifest.get('format') != _FORMAT:
    raise UserError(f'{directory} is of another version of codemix: {_ANEW}')
  require_form(manifest, _MANIFEST_FORM, directory / _MANIFEST, 'Delete its folder of corpora, and they are built anew.')
  corpora = {
    name: Corpus(
      name,
      {
        split: Split(directory / name / f'{split}.jsonl', **entry)
        for split, entry in content['splits'].items()
      },
      content['dropped'],
    )
    for name, content in manifest['corpora'].items()
  }
  opened = LocalCorpora(directory, corpora, manifest['versions'])
  for split in _all_splits(opened):
    size = split.path.stat().st_size if split.path.is_file() else 0
    if size != split.file_bytes:
      raise UserError(f'{split.path} has {size} bytes instead of {split.file_bytes}: {_ANEW}')
  return opened


def verify_corpora(directory: str | os.PathLike) -> LocalCorpora:
  """Opens the corpora in a folder, after reading every byte of them.

  Raises:
    UserError: what open_local_corpora raises, or a file is not what was written.
  """
  opened = open_local_corpora(directory)
  for split in _all_splits(opened):
    if file_digest(split.path) != split.sha256:
      raise UserError(f'{split.path} is not what was built, its sha256 differs: {_ANEW}')
  return opened


def _all_splits(corpora: LocalCorpora) -> list[Split]:
  return [split for corpus in corpora.corpora.values() for split in corpus.splits.values()]
