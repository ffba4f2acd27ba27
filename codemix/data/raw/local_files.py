"""Resolves paths and glob patterns on the local file system, with an error where a folder cannot be read.

fsspec and pathlib skip folders that cannot be listed and read brackets in the name of a folder as a
pattern; files would be missing, or others be read, without an error.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import glob
import os
import stat
import unicodedata
from collections.abc import Callable, Iterator

from codemix.errors import UserError
from codemix.terminal import warn_once

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
_NOT_TO_BE_READ = (*_NOT_THERE, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENXIO)
_KINDS = {
  stat.S_IFDIR: 'a folder',
  stat.S_IFIFO: 'a named pipe',
  stat.S_IFSOCK: 'a socket',
  stat.S_IFCHR: 'a device',
  stat.S_IFBLK: 'a device',
  stat.S_IFLNK: 'a link',
}
_LINE_ENDS = ('Cc', 'Zl', 'Zp')  # categories of characters that would break a line, or a terminal


def printable(path: str) -> str:
  """A path as text that can be stored and stands in one line: bytes that are not UTF-8, and control characters, are escaped."""
  if path.isascii() and path.isprintable():
    return path
  try:
    data = os.fsencode(path)
  except UnicodeEncodeError:  # not the name of a file, but text that a user wrote
    data = path.encode('utf-8', 'backslashreplace')
  text = data.decode('utf-8', 'backslashreplace')
  if text.isprintable():
    return text
  return ''.join(c.encode('unicode_escape').decode() if unicodedata.category(c) in _LINE_ENDS else c for c in text)


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
  """Turns an error about a path into a UserError that names it; other errors of the disk pass through."""
  try:
    yield
  except OSError as error:
    if error.errno not in _NOT_TO_BE_READ:
      raise
    raise UserError(f"'{printable(path)}' cannot be read: {error.strerror}.") from None
  except ValueError as error:  # a NUL byte, or half of a surrogate pair
    raise UserError(f"'{printable(path)}' cannot be read: {error}.") from None


def absolute(path: str, root: str = '') -> str:
  """The path below `root` and the working folder; `~` at its beginning is the user's home."""
  full = os.path.join(os.getcwd(), os.path.expanduser(root), os.path.expanduser(path))
  parts = [part for part in full.split('/') if part not in ('', '.')]
  up = max((at for at, part in enumerate(parts) if part == '..'), default=-1)
  # Behind a link, `..` is not the folder that is written before it.
  above = os.path.realpath('/' + '/'.join(parts[: up + 1])) if up >= 0 else '/'
  return os.path.join(above, *parts[up + 1 :])


def matches(pattern: str, root: str = '') -> list[str]:
  """Absolute paths of the files and folders that a glob pattern leads to, each once.

  Raises UserError: a folder on the way cannot be listed.

  Args:
    pattern: parts with `*`, `?` or `[ab]`, or `**` for all folders below. A part without `*` is a
      name where a file or folder has exactly this name.
    root: the folder of a relative pattern; always a name, never a pattern.
  """
  pattern = os.path.expanduser(pattern)
  found = ['/' if pattern.startswith('/') else absolute(root)]
  parts = [part for part in pattern.split('/') if part not in ('', '.')]
  if parts and parts[-1] == '**':
    parts.append('*')
  for part in parts:
    found = list(dict.fromkeys(path for folder in found for path in _below(folder, part)))
  return [path for path in found if parts or is_there(path)]


def _below(folder: str, part: str) -> Iterator[str]:
  """What one part of a pattern matches below a folder; nothing where `folder` is not a folder."""
  _warn_of_broken_link(folder)
  path = os.path.join(folder, part)
  if part == '**':
    yield from folders(folder)
  elif '*' not in part and is_there(path):
    yield os.path.realpath(path) if part == '..' else path
  elif glob.has_magic(part):
    yield from (entry.path for entry in _entries(folder) if fnmatch.fnmatchcase(entry.name, with_negation(part)))


def with_negation(pattern: str) -> str:
  """The pattern with a shell's `[^ab]` as Python's `[!ab]`."""
  return pattern.replace('[^', '[!')


def folders(folder: str) -> Iterator[str]:
  """A folder and all folders below it, links followed, each once, since links may form a circle."""
  seen, waiting, linked = set(), [folder], []
  while waiting or linked:
    if not waiting:
      linked.sort(reverse=True)
    path = waiting.pop() if waiting else linked.pop()
    with reading(path):
      about = os.stat(path)
    if (about.st_dev, about.st_ino) in seen:
      warn_once(f"the link '{printable(path)}' leads to a folder that is read already, and is passed over")
      continue
    seen.add((about.st_dev, about.st_ino))
    yield path
    for entry in _entries(path):
      if _is_folder(entry):
        (linked if entry.is_symlink() else waiting).append(entry.path)


def _warn_of_broken_link(path: str) -> None:
  if os.path.islink(path) and not os.path.exists(path):
    warn_once(f"the link '{printable(path)}' leads nowhere; if it was a folder of data, they are missing")


def _is_folder(entry: os.DirEntry) -> bool:
  if entry.is_symlink():
    _warn_of_broken_link(entry.path)
  try:
    return entry.is_dir()
  except OSError as error:
    if error.errno in _NOT_THERE:  # a link that leads in a circle
      return False
    with reading(entry.path):
      raise


def _entries(folder: str) -> list[os.DirEntry]:
  """The entries of a folder; none where it is not a folder."""
  with reading(folder):
    try:
      with os.scandir(folder) as entries:
        return list(entries)
    except OSError as error:
      if error.errno in _NOT_THERE:
        return []
      raise


def walk(folder: str, leave_out: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
  """(path below the folder, kind) of everything in it but folders; links are not followed.

  Raises UserError: a folder cannot be listed.

  Args:
    leave_out: called with the path of each folder below; where it returns True, that folder is skipped.
  """
  waiting = ['']
  while waiting:
    within = waiting.pop()
    for entry in _entries(os.path.join(folder, within)):
      path = os.path.join(within, entry.name)
      if entry.is_dir(follow_symlinks=False):
        if not leave_out(path):
          waiting.append(path)
      elif entry.is_file(follow_symlinks=False):
        yield path, ''
      else:
        with reading(entry.path):
          yield path, _KINDS.get(stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode), 'no file')


def is_there(path: str) -> bool:
  """Whether a path exists; a broken link does.

  Raises UserError: a folder above cannot be read.
  """
  with reading(path):
    try:
      os.lstat(path)
    except OSError as error:
      if error.errno in _NOT_THERE:
        return False
      raise
  return True


def kind(path: str) -> str:
  """'' for a file, else 'a folder', 'a named pipe', ...; of what a link leads to.

  Raises UserError: it is not there, or cannot be read.
  """
  with reading(path):
    mode = os.stat(path).st_mode
  return '' if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), 'no file')
