"""A record of the raw files that a token store was made from, by which later edits are found."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from codemix.data.raw.local_files import printable
from codemix.errors import UserError
from codemix.identity import file_digest
from codemix.storage import read_json, require_form, write_json

FILE = 'sources.json'
_LOCAL = {'size': int, 'mtime_ns': int}  # what is known of a file on a local file system
DIGEST_BYTES = 2**30  # of files whose time changed, re-read at open: about a second


def remember(folder: Path, digests: Mapping[str, str]) -> None:
  """Writes the digest of each raw file, and the size and time of those on a local file system.

  It is not part of the store's identity: a copy elsewhere has other paths and times.
  """
  files = {}
  for url, sha256 in digests.items():
    found = _stat(url)
    files[url] = {'sha256': sha256, **({'size': found.st_size, 'mtime_ns': found.st_mtime_ns} if found else {})}
  with contextlib.suppress(UserError):  # damaged: it is written again
    if _remembered(folder) == files:
      return
  write_json(folder / FILE, files)


def check(folder: Path, name: str) -> None:
  """Compares size and time of the raw files with the record; re-reads those that were touched.

  Only local files are compared, not those in a folder that was read whole. A
  missing file is not an error: a store is often used without its raw files.

  Raises UserError naming the first file that was edited.
  """
  left = DIGEST_BYTES
  for url, then in _remembered(folder).items():
    now = _stat(url)
    if now is None or 'size' not in then or (now.st_size, now.st_mtime_ns) == (then['size'], then['mtime_ns']):
      continue
    if now.st_size == then['size'] and now.st_size <= left:
      left -= now.st_size
      if file_digest(url) == then['sha256']:
        continue  # copied or touched
    raise _edited(name, url, then, now)


def check_none_added(folder: Path, name: str, urls: Sequence[str]) -> None:
  """Compares the files of a split that a corpus finds now with those that the store was made from.

  Where all of those are missing the corpus was moved, and nothing is compared.

  Raises UserError naming the first new file.
  """
  then = _remembered(folder)
  added = [url for url in urls if url not in then]
  if added and len(added) < len(urls):
    more = f' and {len(added) - 1:,} more' if len(added) > 1 else ''
    raise UserError(
      f"the raw file {printable(added[0])}{more} matches Corpus.files of '{name}', and was added after '{name}' was prepared. "
      'Run `codemix prepare` with the same gin files to prepare it again, or remove the file.'
    )


def verify(folder: Path, name: str, digest_of: Callable[[str], str]) -> int:
  """Re-reads every raw file, on any file system; returns their number.

  Args:
    digest_of: the digest of a file; of the corpus's reader, which knows which files of a folder it reads.

  Raises UserError naming the first that was edited or is missing.
  """
  files = _remembered(folder)
  for url, then in files.items():
    try:
      now = digest_of(url)
    except UserError as error:
      raise UserError(f'a raw file that {folder / FILE} names is not as it was: {error}') from None
    if now != then['sha256']:
      raise _edited(name, url, then, _stat(url))
  return len(files)


def _remembered(folder: Path) -> dict[str, dict]:
  path, fix = folder / FILE, 'Run `codemix prepare`, which writes it again.'
  files = read_json(path, {...: {'sha256': str}}, fix) if path.exists() else {}
  require_form([file for file in files.values() if file.keys() & _LOCAL.keys()], [_LOCAL], path, fix)
  if (strange := next((url for url in files if not _encodable(url)), None)) is not None:
    raise UserError(f'{path} is damaged: {strange!r} is not the name of a file. {fix}')
  return files


def _encodable(url: str) -> bool:
  """Whether a file may have this name: not empty, no NUL, and no lone surrogates but those for bytes that are not UTF-8."""
  try:
    return url != '' and b'\0' not in os.fsencode(url)
  except UnicodeEncodeError:
    return False


def _edited(name: str, url: str, then: dict, now: os.stat_result | None) -> UserError:
  sizes = f' ({then["size"]:,} bytes then, {now.st_size:,} now)' if now and 'size' in then and now.st_size != then['size'] else ''
  return UserError(
    f"the raw file {printable(url)} was edited after '{name}' was prepared from it{sizes}. "
    'Run `codemix prepare` with the same gin files to prepare it again, or restore the file.'
  )


def _stat(url: str) -> os.stat_result | None:
  if '://' in url:
    return None
  try:
    found = os.stat(url)
  except OSError:
    return None
  # A folder's own size and time do not change with the files in it.
  return found if stat.S_ISREG(found.st_mode) else None
