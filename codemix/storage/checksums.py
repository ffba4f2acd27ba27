"""Checksums of the files below a folder.

On a disk, sha256 of the bytes. GCS keeps the CRC32C of each object, computed while it was written: a listing
returns them all, and no byte is read again. Of an object without one, sha256. A checksum names its kind, so a folder that is copied from one to the other can still be checked.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path

from codemix.identity import file_digest
from codemix.storage.paths import is_remote

_CRC = 'crc32c:'


def checksums(folder: Path, like: Mapping[str, list] | None = None, reread: bool = False) -> dict[str, list]:
  """[size, checksum] of every file below a folder, by relative name with /, sorted.

  Args:
    like: an earlier result, whose kinds of checksum are computed again.
    reread: the checksums that a bucket keeps are not taken: all bytes are read.
  """
  like = like or {}
  kind = lambda name: str(like[name][1]) if len(like.get(name, ())) == 2 else ''
  if is_remote(folder):
    found = _listed(folder)
    return {name: [size, _computed(folder / name, kind(name)) if reread else _remote(folder / name, crc, kind(name))] for name, (size, crc) in sorted(found.items())}
  files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob('*')) if path.is_file()}
  return {name: [path.stat().st_size, _computed(path, kind(name))] for name, path in files.items()}


def sizes(folder: Path, names: Iterable[str]) -> dict[str, int]:
  """Bytes of those files of a folder that exist; of a bucket by one listing, whatever their number."""
  if is_remote(folder):
    found = _listed(folder)
    return {name: found[name][0] for name in names if name in found}
  return {name: path.stat().st_size for name in names if (path := folder / name).exists()}


def _listed(folder: Path) -> dict[str, tuple[int, str | None]]:
  """Size and CRC32C (None: the store has none) of each object below a folder."""
  start = folder.path.rstrip('/') + '/'
  found = folder.fs.find(folder.path, detail=True)
  return {name.removeprefix(start): (int(about['size']), about.get('crc32c')) for name, about in found.items() if name.startswith(start)}


def is_kept(checksum: str) -> bool:
  """Whether a checksum is of the kind that a bucket keeps of each object."""
  return checksum.startswith(_CRC)


def _remote(path: Path, crc: str | None, like: str) -> str:
  if crc and (not like or is_kept(like)):
    return _CRC + crc
  return file_digest(path)


def _computed(path: Path, like: str) -> str:
  return _crc32c(path) if is_kept(like) else file_digest(path)


def _crc32c(path: Path) -> str:
  import google_crc32c  # it comes with gcsfs

  with path.open('rb') as file:
    checksum = google_crc32c.Checksum()
    while block := file.read(2**22):
      checksum.update(block)
  return _CRC + base64.b64encode(checksum.digest()).decode()
