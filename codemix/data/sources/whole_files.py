"""Folders and git checkouts: each file is a row."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import hashlib
import posixpath
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from codemix.checked import From, Name, NotEmpty, checked
from codemix.data.languages import language_of
from codemix.data.sources.reading import Piece, Reader
from codemix.data.sources.record import BadRecord
from codemix.data.sources.storage import (
  DAMAGE,
  digest_of,
  expand,
  file_system,
  is_folder,
  open_raw,
)
from codemix.errors import UserError

_REPOSITORY_FOLDERS = ('.git', '.hg', '.svn')
_COMPRESSED = ('.gz', '.zst')
_BINARY_PROBE = 8000  # bytes in which a NUL byte means "binary", as git decides it


@dataclasses.dataclass(frozen=True)
@checked
class WholeFiles(Reader):
  """The files below the folders that `Corpus.files` names, or those files themselves.

  A row has `text`, `id` (the path below the folder), `source` (the folder's name) and `language`
  (by the file's name; '' where that does not tell), which `Text()` reads as they are. Links are
  not followed.

  Attributes:
    include: glob patterns for file names or paths below the folder; '*.py' is any depth.
    exclude: patterns for files, or folders with all that is in them, to leave out.
    tracked_only: of a local git checkout, only what git tracks.
    max_file_bytes: a longer file is set aside.
    piece_files: files that are read together.
  """

  include: Annotated[tuple[Name, ...], NotEmpty()] = ('*',)
  exclude: tuple[Name, ...] = ()
  tracked_only: bool = True
  max_file_bytes: Annotated[int, From(1), 'bytes'] = 64 * 2**20
  piece_files: Annotated[int, From(1), 'files'] = 1000

  def find(self, patterns: str | Sequence[str], root: str, split: str) -> list[str]:
    self._listed_again()
    return [url for url in expand(patterns, root) if self._files(url)]

  def digest(self, url: str) -> str:
    """Over the names and contents of the files that are read."""
    sha256 = hashlib.sha256()
    for path in self._files(url):
      sha256.update(f'{path}\0{digest_of(_below(url, path))}\n'.encode())
    return sha256.hexdigest()

  def pieces(self, urls: Sequence[str]) -> list[Piece]:
    return [
      Piece(url, start, min(start + self.piece_files, len(files)))
      for url in urls
      for files in [self._files(url)]
      for start in range(0, len(files), self.piece_files)
    ]

  def rows(self, piece: Piece) -> Iterator[tuple[str, Mapping] | BadRecord]:
    for path in self._files(piece.url)[piece.start : piece.stop]:
      text = self._text(_below(piece.url, path))
      if isinstance(text, BadRecord):
        yield text
      else:
        row = {
          'text': text,
          'id': path or posixpath.basename(piece.url),
          'source': posixpath.basename(piece.url.rstrip('/')) if path else '',
          'language': language_of(_uncompressed(path or piece.url)),
        }
        yield _below(piece.url, path), row

  def _text(self, url: str) -> str | BadRecord:
    with open_raw(url) as file:
      try:
        stored = file.read(self.max_file_bytes + 1)
      except DAMAGE as error:
        return BadRecord(url, 'damaged file', str(error))
    if b'\0' in stored[:_BINARY_PROBE]:
      return BadRecord(url, 'binary', expected=True)
    if len(stored) > self.max_file_bytes:
      return BadRecord(url, 'too long', f'more than {self.max_file_bytes} bytes')
    try:
      return stored.decode('utf-8-sig')
    except UnicodeDecodeError as error:
      return BadRecord(url, 'not UTF-8', error.reason)

  def _files(self, url: str) -> Sequence[str]:
    """Paths of the files below a folder, sorted; of a single file, ''."""
    if not is_folder(url):
      return ('',)
    return tuple(path for path in _listing(url, self.tracked_only) if self._wanted(path))

  def _wanted(self, path: str) -> bool:
    above = [path[:at] for at, character in enumerate(path) if character == '/']
    return _matches(path, self.include) and not any(
      _matches(each, self.exclude) for each in (path, *above)
    )

  @staticmethod
  def _listed_again() -> None:
    _listing.cache_clear()


def _matches(path: str, patterns: Sequence[str]) -> bool:
  name = posixpath.basename(path)
  return any(
    fnmatch.fnmatchcase(path if '/' in pattern else name, pattern) for pattern in patterns
  )


def _below(url: str, path: str) -> str:
  return f'{url.rstrip("/")}/{path}' if path else url


def _uncompressed(path: str) -> str:
  return next((path.removesuffix(end) for end in _COMPRESSED if path.endswith(end)), path)


@functools.lru_cache(maxsize=16)
def _listing(url: str, tracked_only: bool) -> tuple[str, ...]:
  """All files below a folder; kept for the pieces, which would each list it anew."""
  system, path = file_system(url)
  local = Path(path)
  if tracked_only and (local / '.git').exists():
    found = _tracked(local)
  else:
    found = [posixpath.relpath(file, path) for file in system.find(path)]
  return tuple(
    sorted(
      file
      for file in found
      if not set(file.split('/')) & set(_REPOSITORY_FOLDERS)
      and not (local / file).is_symlink()
    )
  )


def _tracked(folder: Path) -> list[str]:
  # A checkout may come from anywhere: its settings must not make git start a program.
  command = ['git', '-C', str(folder), '-c', 'core.fsmonitor=false', 'ls-files', '-z']
  try:
    listed = subprocess.run(command, capture_output=True, check=True).stdout
  except (OSError, subprocess.CalledProcessError) as error:
    told = getattr(error, 'stderr', b'') or str(error).encode()
    raise UserError(
      f'git cannot list the files of {folder}: {" ".join(told.decode(errors="replace").split())}. '
      'WholeFiles.tracked_only = False takes every file that lies there.'
    ) from None
  files = [name for name in listed.decode(errors='surrogateescape').split('\0') if name]
  return [name for name in files if (folder / name).is_file()]
