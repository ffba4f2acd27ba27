"""Folders and git checkouts: each file is a row."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import hashlib
import os
import posixpath
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from codemix.checked import From, Name, NotEmpty, checked
from codemix.data.languages import language_of
from codemix.data.raw import local_files, storage
from codemix.data.raw.compression import ENDINGS, Damaged
from codemix.data.raw.foreign import ENCODINGS, HEAD_BYTES, LFS_POINTER, foreign_form
from codemix.data.raw.local_files import printable
from codemix.data.raw.protocols import Piece, Reader
from codemix.data.raw.record import DAMAGED, BadRecord
from codemix.data.raw.storage import (
  digest_of,
  expand,
  file_system,
  is_local,
  open_raw,
)
from codemix.errors import UserError
from codemix.terminal import warn_once

_REPOSITORY_FOLDERS = ('.git', '.hg', '.svn')
_BINARY_PROBE = 8000  # bytes in which a NUL byte means "binary", as git decides it


@dataclasses.dataclass(frozen=True)
@checked
class WholeFiles(Reader):
  """The files below the folders that `Corpus.files` names, or those files themselves.

  A row has `text`, `id` (the path below the folder), `source` (the folder's name) and `language`
  (by the file's name; '' where it is unknown), which `Text()` reads as they are. What is not
  UTF-8 in a name is escaped. Links are not followed; they, named pipes, sockets, devices and the
  submodules of a checkout are passed over, and counted so.

  Attributes:
    include: glob patterns for file names or paths below the folder; '*.py' is any depth.
    exclude: patterns for files, or folders with all that is in them, to leave out.
    tracked_only: of a local git checkout, only what git tracks.
    max_file_bytes: a longer file is set aside.
    piece_files: files that are read together.
  """

  stable_name, version = 'whole_files', 1

  include: Annotated[tuple[Name, ...], NotEmpty()] = ('*',)
  exclude: tuple[Name, ...] = ()
  tracked_only: bool = True
  max_file_bytes: Annotated[int, From(1), 'bytes'] = 64 * 2**20
  piece_files: Annotated[int, From(1), 'files'] = 1000

  def find(self, patterns: str | Sequence[str], root: str, split: str) -> list[str]:
    _listing.cache_clear()
    found = [url for url in expand(patterns, root) if not _in_repository(posixpath.relpath(url, root or '/'))]
    with_files = [url for url in found if self._files(url)]
    for url in found:
      if (kind := storage.kind(url)) not in ('', 'a folder'):
        warn_once(f"'{printable(url)}' is {kind} and is passed over")
    return with_files if len(with_files) < 2 else self._each_file_once(with_files)

  def _each_file_once(self, urls: Sequence[str]) -> list[str]:
    """Without what lies in a folder that is among them too, as with 'src/**'."""
    kept, read = [], set()
    for url in urls:  # sorted, so that a folder comes before what is in it
      files = {_below(url, path) for path in self._files(url)}
      if twice := files & read:
        if twice != files:
          raise UserError(f"'{printable(min(twice))}' would be read twice, once for '{printable(url)}': fix Corpus.files.")
        continue
      kept.append(url)
      read |= files
    return kept

  def digest(self, url: str) -> str:
    """Over the names and contents of the files that are read."""
    sha256 = hashlib.sha256()
    for path in self._files(url):
      sha256.update(os.fsencode(f'{path}\0{digest_of(_below(url, path))}\n'))
    return sha256.hexdigest()

  def pieces(self, urls: Sequence[str]) -> list[Piece]:
    return [
      Piece(url, start, min(start + self.piece_files, len(files)))
      for url in urls
      for files in [self._files(url)]
      for start in range(0, len(files), self.piece_files)
    ]

  def rows(self, piece: Piece) -> Iterator[tuple[str, Mapping] | BadRecord]:
    if not piece.start:
      yield from self._passed_over(piece.url)
    for path in self._files(piece.url)[piece.start : piece.stop]:
      url = _below(piece.url, path)
      stored, damage = self._stored(url)
      if damage:
        yield damage
      if stored is None:
        continue
      text = self._text(url, stored)
      if isinstance(text, BadRecord):
        yield text
      else:
        row = {
          'text': text,
          'id': printable(path or posixpath.basename(piece.url)),
          'source': printable(posixpath.basename(piece.url.rstrip('/'))) if path else '',
          'language': language_of(_uncompressed(path or piece.url)),
        }
        yield url, row

  def _stored(self, url: str) -> tuple[bytes | None, BadRecord | None]:
    """(bytes of a file, up to one more than `max_file_bytes`; its damage). No bytes where the damage cost some."""
    blocks, left = [], self.max_file_bytes + 1
    with open_raw(url) as file:
      try:
        while left > 0 and (block := file.read1(left)):
          blocks.append(block)
          left -= len(block)
      except Damaged as error:
        # A file is one document; a part of one is not used.
        bad = BadRecord(url, error.form or DAMAGED, str(error))
        return (b''.join(blocks) if error.kind == 'trailing' else None), bad
    return b''.join(blocks), None

  def _text(self, url: str, stored: bytes) -> str | BadRecord:
    if (other := foreign_form(stored[:HEAD_BYTES])) and other[0] == LFS_POINTER:
      return BadRecord(url, *other, expected=True)
    if other and other[0] in ENCODINGS:
      return BadRecord(url, *other)
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
    if (kind := storage.kind(url)) != 'a folder':
      return () if kind else ('',)
    return tuple(path for path, kind in self._listed(url) if not kind)

  def _passed_over(self, url: str) -> Iterator[BadRecord]:
    """What lies below a folder and is not a file; pieces hold only files."""
    for path, kind in self._listed(url) if storage.kind(url) == 'a folder' else ():
      if kind:
        yield BadRecord(_below(url, path), kind, expected=True)

  def _listed(self, url: str) -> Iterator[tuple[str, str]]:
    return (found for found in _listing(url, self.tracked_only, self.exclude) if self._wanted(found[0]))

  def _wanted(self, path: str) -> bool:
    above = [path[:at] for at, character in enumerate(path) if character == '/']
    return _matches(path, self.include) and not any(
      _matches(each, self.exclude) for each in (path, *above)
    )


def _matches(path: str, patterns: Sequence[str]) -> bool:
  name = posixpath.basename(path)
  return any(fnmatch.fnmatchcase(path if '/' in pattern else name, pattern) for pattern in patterns)


def _below(url: str, path: str) -> str:
  return f'{url.rstrip("/")}/{path}' if path else url


def _uncompressed(path: str) -> str:
  return next((path.removesuffix(end) for end in ENDINGS if path.endswith(end)), path)


@functools.lru_cache(maxsize=16)
def _listing(url: str, tracked_only: bool, exclude: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
  """(path, kind) of all that lies below a folder; kept for the pieces, which would each list it anew.

  Args:
    exclude: folders that need not be looked into.
  """
  system, path = file_system(url)
  if not is_local(system):
    found = ((posixpath.relpath(file, path), '') for file in system.find(path))
  elif tracked_only and local_files.is_there(f'{path}/.git'):
    found = _tracked(Path(path))
  elif _is_bare_repository(path):
    raise UserError(f"'{printable(path)}' is a bare git repository, which has no files but git's own: make a checkout of it with `git clone`, and name that.")
  else:
    found = local_files.walk(path, lambda folder: _in_repository(folder) or _matches(folder, exclude))
  return tuple(sorted((file, kind) for file, kind in found if not _in_repository(file)))


def _in_repository(path: str) -> bool:
  return not set(path.split('/')).isdisjoint(_REPOSITORY_FOLDERS)


def _tracked(folder: Path) -> Iterator[tuple[str, str]]:
  # A checkout may come from anywhere: its settings must not make git start a program.
  command = ['git', '-C', str(folder), '-c', 'core.fsmonitor=false', 'ls-files', '-z']
  try:
    listed = subprocess.run(command, capture_output=True, check=True).stdout
  except (OSError, subprocess.CalledProcessError) as error:
    message = getattr(error, 'stderr', b'') or str(error).encode()
    raise UserError(
      f'git cannot list the files of {printable(str(folder))}: {" ".join(message.decode(errors="replace").split())}. '
      'WholeFiles.tracked_only = False takes every file that lies there.'
    ) from None
  for name in dict.fromkeys(filter(None, os.fsdecode(listed).split('\0'))):  # a name in conflict is listed thrice
    path = str(folder / name)
    if local_files.is_there(path):
      yield name, _tracked_kind(path)


def _tracked_kind(path: str) -> str:
  if os.path.islink(path):
    return 'a link'
  return 'a submodule' if os.path.isdir(path) else local_files.kind(path)


def _is_bare_repository(folder: str) -> bool:
  """Whether a folder is git's own, without a checkout: by the names that git looks for."""
  return os.path.isfile(f'{folder}/HEAD') and os.path.isdir(f'{folder}/objects') and os.path.isdir(f'{folder}/refs')
