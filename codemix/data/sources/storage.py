"""Raw files wherever they lie (local, gs://, s3://, memory://): found, measured, opened as a stream.

Everything goes through fsspec, whose local file system is the plain one and
whose others are installed when they are used (gcsfs for gs://).
"""

from __future__ import annotations

import functools
import glob
import hashlib
import io
from collections.abc import Sequence

import fsspec

from codemix.data.sources.compression import Damaged, Decompressed, format_of
from codemix.errors import UserError

BLOCK_BYTES = 2**20  # of one read: large enough for a network, small beside a process's memory

# What reading a file raises when its bytes are not what they were. Other errors of reading
# (a network that is down) are no damage, and are not to be skipped over.
DAMAGE = (Damaged,)


def expand(patterns: str | Sequence[str], root: str = '') -> list[str]:
  """The files and folders that glob patterns match, sorted and each once.

  Args:
    patterns: paths or URLs, with `*`, `?`, `[ab]` and `**`.
    root: a folder or URL, put before those that are relative.

  Raises:
    UserError: a pattern matches nothing, or its file system is not installed.
  """
  found: set[str] = set()
  for pattern in [patterns] if isinstance(patterns, str) else patterns:
    full = join(root, pattern)
    matches = _matches(full)
    if not matches:
      raise UserError(f"no file matches '{full}'. Mend the pattern, or the folder it is looked for in.")
    found.update(matches)
  return sorted(found)


def join(root: str, path: str) -> str:
  """`path`, below `root` where it is relative."""
  relative = root and '://' not in path and not path.startswith('/')
  return f'{root.rstrip("/")}/{path}' if relative else path


def _matches(pattern: str) -> list[str]:
  system, path = file_system(pattern)
  try:
    if system.exists(path):  # before it is taken for a pattern: a name may hold brackets
      return [_named(system, path)]
    return [_named(system, match) for match in system.glob(path)] if glob.has_magic(path) else []
  except PermissionError as error:
    raise UserError(f"'{pattern}' cannot be listed: {error}") from error


def file_system(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
  """The file system of a path or URL, and its path there.

  Raises:
    UserError: there is no such file system, or it is not installed.
  """
  try:
    return fsspec.core.url_to_fs(url)
  except (ImportError, ValueError) as error:
    raise UserError(f"'{url}' cannot be read: {error}") from error


def _named(system: fsspec.AbstractFileSystem, path: str) -> str:
  return path if is_local(system) else system.unstrip_protocol(path)


def is_local(system: fsspec.AbstractFileSystem) -> bool:
  return 'file' in ([system.protocol] if isinstance(system.protocol, str) else system.protocol)


def is_folder(url: str) -> bool:
  system, path = file_system(url)
  return system.isdir(path)


def size(url: str) -> int:
  """Bytes as stored.

  Raises:
    UserError: the file is missing.
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
    return system.info(path)
  except FileNotFoundError:
    raise UserError(f"'{url}' does not exist.") from None


def digest_of(url: str) -> str:
  """sha256 of the stored bytes; read once in a process, unless the file changes."""
  return _digest_of(url, stamp(url))


@functools.cache
def _digest_of(url: str, stamp: str) -> str:
  sha256 = hashlib.sha256()
  with open_stored(url) as file:
    while block := file.read(BLOCK_BYTES):
      sha256.update(block)
  return sha256.hexdigest()


def is_compressed(url: str) -> bool:
  return format_of(url) is not None


def open_raw(url: str, start: int = 0) -> io.BufferedReader:
  """The contents of a file as a binary stream, in bounded memory; `.gz`, `.zst`, `.bz2` and `.xz` are undone.

  Args:
    url: the file; several gzip members, zstd frames and so on are one stream.
    start: the byte to begin at, of a file that is not compressed.

  Raises:
    UserError: the file is missing or may not be read. Reading it raises Damaged where compressed
      bytes are broken or end too soon, once all before them was given: `read1` loses none of it,
      while `read`, `readline` and others drop what one call had gathered before the damage.
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
  return io.BufferedReader(_Owned(file, file), BLOCK_BYTES)


def open_seekable(url: str):
  """The bytes of a file as they are stored, as fsspec gives them: for formats that jump about.

  Raises:
    UserError: the file is missing or may not be read.
  """
  system, path = file_system(url)
  try:
    return system.open(path, 'rb')
  except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
    raise UserError(f"'{url}' cannot be read: {error.strerror or error}") from None


class _Owned(io.RawIOBase):
  """`file` as a raw stream that also closes what lies under it."""

  def __init__(self, file, under):
    self._file, self._under = file, under

  def readable(self) -> bool:
    return True

  def readinto(self, buffer) -> int:
    return self._file.readinto(buffer)

  def close(self) -> None:
    if not self.closed:
      self._file.close()
      self._under.close()
    super().close()
