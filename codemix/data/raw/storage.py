"""Finds, measures and opens raw files on local disks and, through fsspec, elsewhere (gs://, s3://, memory://).

A file system of fsspec is a package of its own, to be installed where it is used (gcsfs for gs://).
"""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import io
import re
from collections.abc import Sequence

import fsspec

from codemix.data.raw import local_files
from codemix.data.raw.compression import Damaged, Decompressed, format_of
from codemix.data.raw.local_files import absolute, printable
from codemix.errors import UserError
from codemix.terminal import warn_once

BLOCK_BYTES = 2**20  # of one read: large enough for a network, small beside a process's memory
_URL = re.compile(r'([a-z0-9]+::)*[A-Za-z][A-Za-z0-9+.-]*://')
_WITHIN = ('zip://', 'tar://', 'libarchive://')  # files within another, which `::` names
_LOCAL = fsspec.filesystem('file')

# Raised by reading a file whose bytes are damaged. Other errors, such as a network that is down, end the reading.
DAMAGE = (Damaged,)


def expand(patterns: str | Sequence[str], root: str = '') -> list[str]:
  """The files and folders that glob patterns match, sorted and each once.

  Raises UserError: a pattern is wrong or matches nothing; a folder cannot be listed; a file system
  is not installed.

  Args:
    patterns: paths or URLs, with `*`, `?`, `[ab]` and `**`.
    root: a folder or URL, put before those that are relative; a name, not a pattern.
  """
  return sorted({match for matches in _each(patterns, root).values() for match in matches})


def expand_files(patterns: str | Sequence[str], root: str = '') -> list[str]:
  """The files that glob patterns match, as `expand`.

  A folder beside them is skipped with a warning, where the last part of the pattern is `*`.

  Raises UserError: as `expand`; also where a pattern matches no file, something that is neither
  file nor folder, or a folder with the name of a file (`a.jsonl`, as Spark writes).
  """
  found: set[str] = set()
  for pattern, matches in _each(patterns, root).items():
    files = [match for match in matches if not is_folder(match)]
    if not files:
      raise UserError(_only_folders(pattern, matches))
    if '**' not in pattern.split('/'):  # which matches what is in the folders, too
      _warn_of_folders(pattern, sorted(set(matches).difference(files)))
    for file in files:
      if not is_url(file):
        _require_file(file)
    found.update(files)
  return sorted(found)


def _each(patterns: str | Sequence[str], root: str) -> dict[str, list[str]]:
  """What each pattern matches."""
  found = {}
  for pattern in [patterns] if isinstance(patterns, str) else patterns:
    _check(pattern)
    found[pattern] = _matches(pattern, root)
    if not found[pattern]:
      raise UserError(_no_match(pattern, root))
  return found


def _check(pattern: str) -> None:
  """Raises UserError where `**` is a part of a name."""
  for part in pattern.split('/'):
    if '**' in part and part != '**':
      before, _, after = part.partition('**')
      meant = pattern.replace(part, f'**/{before}*{after.lstrip("*")}', 1)
      raise UserError(f"'{printable(pattern)}': ** stands for folders, alone between slashes. Write '{printable(meant)}' for the files at any depth.")


def _no_match(pattern: str, root: str) -> str:
  where = f"'{printable(join(root, pattern))}'"
  if '{' in pattern and ',' in pattern:
    return f"no file matches {where}. Patterns do not have braces: write a list of patterns, one for each."
  if '\\' in pattern:
    return f"no file matches {where}. Folders are parted by / and not by \\ in a pattern."
  if pattern != pattern.strip():
    return f'no file matches {pattern!r}, which has white space at its end or beginning.'
  return f'no file matches {where}. Fix the pattern, or the folder it is looked for in.'


def _only_folders(pattern: str, matches: Sequence[str]) -> str:
  named = printable(pattern)
  if not glob.has_magic(pattern):
    return f"'{named}' is a folder: write '{named.rstrip('/')}/*' for the files in it, or '{named.rstrip('/')}/**/*' for those at any depth."
  return f"'{named}' matches only folders, no files: add the part of the pattern that names the files in them."


def _warn_of_folders(pattern: str, folders: Sequence[str]) -> None:
  """Warns of folders that a pattern matches beside files. Raises UserError where its last part is more than `*`."""
  if not folders:
    return
  named = ', '.join(f"'{printable(folder)}'" for folder in folders[:3]) + (f' and {len(folders) - 3} more' if len(folders) > 3 else '')
  above, _, last = printable(pattern).rpartition('/')
  deeper = '/'.join(filter(None, (above, '**', last)))
  if last.strip('*'):
    raise UserError(
      f"'{printable(pattern)}' matches a folder beside files: {named}. Add the files in it to Corpus.files (write '{deeper}' for those at any depth), "
      'or fix the pattern so that it matches files alone.'
    )
  warn_once(f"'{printable(pattern)}' matches folders beside files; what is in them is not read: {named}. Write '{deeper}' for the files at any depth.")


def join(root: str, path: str) -> str:
  """`path`, below `root` where it is relative."""
  relative = root and not is_url(path) and not path.startswith(('/', '~/'))
  return f'{root.rstrip("/")}/{path}' if relative else path


def is_url(path: str) -> bool:
  return _URL.match(path) is not None


def _matches(pattern: str, root: str) -> list[str]:
  full = join(root, pattern)
  if not is_url(full):
    return local_files.matches(pattern, root)
  system, path = file_system(full)
  if is_local(system):  # file://
    return local_files.matches(path)
  try:
    if system.exists(path):  # before it is taken for a pattern: a name may hold brackets
      return [system.unstrip_protocol(path)]
    if not glob.has_magic(pattern):
      return []
    _, path = file_system(full if is_url(pattern) else join(glob.escape(root), pattern))
    return [system.unstrip_protocol(match) for match in system.glob(local_files.with_negation(path))]
  except PermissionError as error:
    raise UserError(f"'{full}' cannot be listed: {error}") from error


def file_system(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
  """The file system of a path or URL, and its path there.

  Raises UserError: there is no such file system, or it is not installed.
  """
  if not is_url(url):
    return _LOCAL, absolute(url)
  try:
    if '://' in url.partition('::')[2] or url.startswith(_WITHIN):  # zip://*.csv::gs://bucket/a.zip
      return fsspec.core.url_to_fs(url)
    system, _ = fsspec.core.url_to_fs(url.partition('::')[0])
    return system, system._strip_protocol(url)  # `::` is a part of the name
  except (ImportError, ValueError) as error:
    raise UserError(f"'{url}' cannot be read: {error}") from error


def is_local(system: fsspec.AbstractFileSystem) -> bool:
  return 'file' in ([system.protocol] if isinstance(system.protocol, str) else system.protocol)


def is_folder(url: str) -> bool:
  return kind(url) == 'a folder'


def kind(url: str) -> str:
  """'' for a file, else 'a folder', 'a named pipe', 'a socket' or 'a device'; of what a link leads to.

  Raises UserError: a local one is not there or cannot be read, so this is unknown.
  """
  system, path = file_system(url)
  if is_local(system):
    return local_files.kind(path)
  return 'a folder' if system.isdir(path) else ''


def _require_file(url: str) -> None:
  if found := local_files.kind(url):
    raise UserError(f"'{printable(url)}' is {found}, which cannot be read as a file: remove it, or fix the pattern that matches it.")


def size(url: str) -> int:
  """Bytes as stored.

  Raises UserError: the file is missing.
  """
  return int(_info(url)['size'])


def stamp(url: str) -> str:
  """Changes when the file is written to: its size, and when or as what it was stored."""
  info = _info(url)
  keys = ('size', 'mtime', 'ino', 'created', 'etag', 'ETag', 'generation', 'LastModified')
  return '|'.join(f'{key}={info[key]}' for key in keys if key in info)


def _info(url: str) -> dict:
  system, path = file_system(url)
  try:
    with local_files.reading(url) if is_local(system) else contextlib.nullcontext():
      return system.info(path)
  except FileNotFoundError:
    raise UserError(f"'{url}' does not exist.") from None


def digest_of(url: str) -> str:
  """sha256 of the stored bytes; read once in a process, unless the file changes."""
  return _digest_of(url, stamp(url))


@functools.cache
def _digest_of(url: str, stamp: str) -> str:
  with open_stored(url) as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def open_raw(url: str, start: int = 0) -> io.BufferedReader:
  """The contents of a file as a binary stream, in bounded memory; `.gz`, `.zst`, `.bz2` and `.xz` are decompressed.

  Raises UserError: the file is missing or may not be read. Reading it raises Damaged where
  compressed bytes are broken or end too soon, once all before them was given: `read1` loses none of
  it, while `read`, `readline` and others drop what one call had gathered before the damage.

  Args:
    url: the file; several gzip members, zstd frames and so on are one stream.
    start: the byte to begin at, of a file that is not compressed.
  """
  form = format_of(url)
  if form is None:
    return open_stored(url, start)
  return io.BufferedReader(Decompressed(functools.partial(open_stored, url), form, functools.partial(size, url)), BLOCK_BYTES)


def open_stored(url: str, start: int = 0) -> io.BufferedReader:
  """The bytes of a file as they are stored, from `start`, as a stream."""
  file = open_seekable(url)
  if start:
    file.seek(start)
  return io.BufferedReader(file, BLOCK_BYTES)


def open_seekable(url: str):
  """The bytes of a file as they are stored, as a seekable stream, for formats such as parquet.

  Raises UserError: the file is missing, is not a file, or cannot be read.
  """
  system, path = file_system(url)
  if is_local(system):
    _require_file(path)  # a named pipe would be waited for
    with local_files.reading(path):
      return open(path, 'rb')
  try:
    return system.open(path, 'rb')
  except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
    raise UserError(f"'{url}' cannot be read: {error.strerror or error}") from None
