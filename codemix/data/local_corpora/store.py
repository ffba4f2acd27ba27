"""The local corpora on disk: files of JSON lines, and a manifest with their sizes and digests."""

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

from codemix.data.local_corpora.split import text_bytes
from codemix.data.raw.record import Record
from codemix.errors import UserError
from codemix.identity import digest, file_digest
from codemix.storage import local_path, read_json, require_form, write_bytes, write_json, writing

SPLITS = ('train', 'validation')
_FIELDS = ('text', 'source', 'language', 'id')
_FORMAT = 1
_MANIFEST = 'manifest.json'
_SPLIT = {'documents': int, 'text_bytes': int, 'file_bytes': int, 'sha256': str}
_MANIFEST_FORM = {'versions': dict, 'corpora': {...: {'splits': {...: _SPLIT}, 'dropped': dict}}}
_REBUILD = 'Delete this folder, and the corpora are built again.'
_ABANDONED_SECONDS = 3600.0  # no build takes this long: its process was killed


@dataclasses.dataclass(frozen=True)
class LocalSplit:
  """A file of documents, one JSON record a line; `text_bytes` are those of their texts in UTF-8."""

  path: Path
  documents: int
  text_bytes: int
  file_bytes: int
  sha256: str


@dataclasses.dataclass(frozen=True)
class LocalCorpora:
  """The corpora in a folder: splits 'train' and 'validation' of 'local_code' and 'local_text'."""

  directory: Path
  corpora: Mapping[str, Mapping[str, LocalSplit]]

  @property
  def digest(self) -> str:
    """Sha256 hex over the digests of the splits."""
    sha256 = lambda splits: {name: split.sha256 for name, split in splits.items()}
    return digest({name: digest(sha256(splits)) for name, splits in self.corpora.items()})

  def splits(self) -> list[LocalSplit]:
    """All splits of all corpora."""
    return [split for splits in self.corpora.values() for split in splits.values()]


def has_corpora(directory: Path) -> bool:
  """Whether a folder holds corpora. Raises UserError where it holds something else."""
  if (directory / _MANIFEST).is_file():
    return True
  if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
    raise UserError(f'{directory} holds something other than corpora: name a new folder for them')
  return False


def write_corpora(
  directory: Path,
  records: Mapping[str, Mapping[str, Sequence[Record]]],
  dropped: Mapping[str, Mapping[str, int]],
  versions: Mapping[str, str],
) -> LocalCorpora:
  """Writes corpora beside `directory`, then renames: a kill leaves them whole or absent.

  Args:
    directory: absent or empty. Where another process has filled it meanwhile, its corpora stay.
    dropped: counts of each corpus by reason.
    versions: of the distributions that the documents are from.

  Raises UserError: the disk is full, the folder cannot be written, or it holds something else.
  """
  directory = directory.resolve()
  building = directory.with_name(f'.{directory.name}.building-{uuid.uuid4().hex}')
  try:
    with writing(directory):
      building.mkdir(parents=True)
      for path in directory.parent.glob(f'.{glob.escape(directory.name)}.building-*'):
        with contextlib.suppress(FileNotFoundError):  # another process finished, or deletes it too
          if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
      corpora = {
        name: {
          'splits': {split: _write(building / name / f'{split}.jsonl', splits[split]) for split in SPLITS},
          'dropped': dict(sorted(dropped[name].items())),
        }
        for name, splits in records.items()
      }
      write_json(building / _MANIFEST, {'format': _FORMAT, 'versions': dict(versions), 'corpora': corpora})
      try:
        building.rename(directory)
      except OSError:  # another process was faster: POSIX renames over an empty folder only
        if not has_corpora(directory):
          raise
  finally:
    shutil.rmtree(building, ignore_errors=True)
  return open_local_corpora(directory)


def _write(path: Path, records: Sequence[Record]) -> dict:
  """Writes a split; returns its entry in the manifest."""
  fields = [{name: getattr(record, name) for name in _FIELDS} for record in records]
  content = ''.join(json.dumps(line, ensure_ascii=False) + '\n' for line in fields).encode()
  write_bytes(path, content)
  return {
    'documents': len(records),
    'text_bytes': text_bytes(records),
    'file_bytes': len(content),
    'sha256': hashlib.sha256(content).hexdigest(),
  }


def open_local_corpora(directory: str | os.PathLike) -> LocalCorpora:
  """Opens the corpora in a folder, and checks the sizes of their files.

  Raises UserError: there are none, or a file has another size than when it was written.
  """
  directory = local_path(directory, 'the folder of local corpora')
  path = directory / _MANIFEST
  if not path.is_file():
    raise UserError(f'{directory} holds no corpora: build them with build_local_corpora')
  manifest = read_json(path, fix=_REBUILD)
  if manifest.get('format') != _FORMAT:
    raise UserError(f'{directory} is of another version of codemix. {_REBUILD}')
  require_form(manifest, _MANIFEST_FORM, path, _REBUILD)
  opened = LocalCorpora(directory, {
    name: {split: LocalSplit(directory / name / f'{split}.jsonl', **entry) for split, entry in content['splits'].items()}
    for name, content in manifest['corpora'].items()
  })
  for split in opened.splits():
    size = split.path.stat().st_size if split.path.is_file() else 0
    if size != split.file_bytes:
      raise UserError(f'{split.path} has {size} bytes instead of {split.file_bytes}. {_REBUILD}')
  return opened


def verify_corpora(directory: str | os.PathLike) -> LocalCorpora:
  """Opens the corpora in a folder, and reads every byte of them.

  Raises UserError: what open_local_corpora raises, or the digest of a file has changed.
  """
  opened = open_local_corpora(directory)
  for split in opened.splits():
    if file_digest(split.path) != split.sha256:
      raise UserError(f'{split.path} is not what was built: its sha256 differs. {_REBUILD}')
  return opened
