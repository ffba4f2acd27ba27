"""Builds two corpora from the Python installation itself, so that a first study needs no download.

`local_code` has programs without documentation, `local_text` the prose of that documentation: they
differ in kind, and hardly in subject.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from codemix.data.local_corpora.installation import (
  STANDARD_LIBRARY,
  Installation,
  InstalledFile,
  find_installation,
)
from codemix.data.local_corpora.prose import paragraphs
from codemix.data.local_corpora.read_files import read_files
from codemix.data.local_corpora.readers import read_code, read_prose
from codemix.data.local_corpora.split import (
  Extent,
  content_hash,
  shorten_code,
  shorten_prose,
  split,
  text_bytes,
)
from codemix.data.local_corpora.store import (
  LocalCorpora,
  has_corpora,
  open_local_corpora,
  write_corpora,
)
from codemix.data.raw.record import Record
from codemix.errors import UserError
from codemix.storage import local_path

CODE = Extent(least_bytes=20_000_000, most_bytes=24_000_000, validation_bytes=150_000)
TEXT = Extent(least_bytes=5_000_000, most_bytes=12_000_000, validation_bytes=100_000)

_LEAST_CHARACTERS = 300  # of a document of prose
_MOST_CHARACTERS = 4000  # a longer one is continued in another document
_TOPICS = 'pydoc_data/topics.py'  # the language reference that `help()` shows

Passages = Iterator[tuple[str, str, list[str]]]  # source, name and paragraphs


def build_local_corpora(
  directory: str | os.PathLike,
  *,
  distributions: Sequence[str] | None = None,
  modules: Sequence[str] | None = None,
  code: Extent = CODE,
  text: Extent = TEXT,
) -> LocalCorpora:
  """Builds `local_code` and `local_text` into a folder, or opens those that are there.

  The same installation gives the same bytes. Takes about 25 seconds on two cores.

  Args:
    directory: a new or empty folder, or one with corpora, which stay as they are.
    distributions: whose files to read; None for all that codemix requires.
    modules: of the standard library to read; None for all of it.
    code, text: how much of `local_code` and `local_text` is wanted.

  Raises UserError: the folder holds something else, or the installation has too little to read.
  """
  directory = local_path(directory, 'the folder of local corpora')
  if has_corpora(directory):
    return open_local_corpora(directory)
  installation = find_installation(distributions, modules)
  files, duplicates = _unique(installation.files)
  programs, code_dropped = _programs(files, code)
  documents, text_dropped = _documents(_prose(installation, files), text)
  for records, extent, kind in ((programs, code, 'code'), (documents, text, 'prose')):
    if text_bytes(records) < extent.least_bytes:
      raise UserError(
        f'this Python installation has {text_bytes(records) / 1e6:.1f} MB of {kind} where {extent.least_bytes / 1e6:.1f} MB'
        ' are needed: register a task over files of your own instead'
      )
  splits = {'local_code': split(programs, code, shorten_code)}
  splits['local_text'] = split(documents, text, shorten_prose)
  dropped = {'local_code': code_dropped + duplicates, 'local_text': text_dropped}
  return write_corpora(directory, splits, dropped, installation.versions)


def _unique(files: Iterable[InstalledFile]) -> tuple[list[InstalledFile], Counter[str]]:
  """The files in the order of the hash of their bytes, tests last; equal ones once."""
  ordered: dict[tuple[bool, str], InstalledFile] = {}
  dropped: Counter[str] = Counter()
  for file in files:
    key = (file.is_test, hashlib.sha256(file.location.read_bytes()).hexdigest())
    if ordered.setdefault(key, file) is not file:
      dropped['equal files'] += 1
  return [ordered[key] for key in sorted(ordered)], dropped


def _programs(files: Sequence[InstalledFile], extent: Extent) -> tuple[list[Record], Counter[str]]:
  """Reads Python files up to the wanted bytes."""
  python_files = [file for file in files if file.path.endswith('.py')]
  records: list[Record] = []
  dropped: Counter[str] = Counter()
  seen: set[str] = set()
  size = 0
  with contextlib.closing(read_files(read_code, python_files)) as programs:
    for index, (file, program) in enumerate(programs):
      text = program.get('text', '')
      if reason := program.get('dropped'):
        dropped[reason] += 1
      elif (key := content_hash(text)) in seen:
        dropped['equal programs'] += 1
      else:
        seen.add(key)
        size += len(text.encode())
        records.append(Record(text, file.source, 'python', file.name))
      if size >= extent.most_bytes:
        dropped['beyond the wanted bytes'] = len(python_files) - index - 1
        break
  return records, dropped


def _prose(installation: Installation, files: Sequence[InstalledFile]) -> Passages:
  """Yields the prose of manual pages, descriptions of distributions, readmes and modules."""
  if any(file.path == _TOPICS for file in files):
    topics = importlib.import_module('pydoc_data.topics').topics
    for name, topic in sorted(topics.items()):
      yield STANDARD_LIBRARY, f'{STANDARD_LIBRARY}:topics/{name}', paragraphs(topic)
  for name, description in sorted(installation.descriptions.items()):
    yield name, f'{name}:description', paragraphs(description)
  documented = [file for file in files if not file.is_test and file.path != _TOPICS]
  with contextlib.closing(read_files(read_prose, documented)) as read:
    for file, passages in read:
      yield file.source, file.name, [paragraph for passage in passages for paragraph in passage]


def _documents(prose: Passages, extent: Extent) -> tuple[list[Record], Counter[str]]:
  """Joins paragraphs to documents, up to the wanted bytes; each paragraph occurs once."""
  records: list[Record] = []
  dropped: Counter[str] = Counter()
  seen: set[str] = set()
  size = 0
  with contextlib.closing(prose):
    for source, name, found in prose:
      new = [paragraph for paragraph in dict.fromkeys(found) if paragraph not in seen]
      seen.update(new)
      dropped['equal paragraphs'] += len(found) - len(new)
      for number, text in enumerate(_joined(new)):
        if len(text) < _LEAST_CHARACTERS:
          dropped['tiny'] += 1
          continue
        size += len(text.encode())
        records.append(Record(text, source, 'en', f'{name}#{number}'))
      if size >= extent.most_bytes:
        break
  return records, dropped


def _joined(found: Iterable[str]) -> Iterator[str]:
  """Paragraphs, an empty line between them, in documents of a few thousand characters."""
  document: list[str] = []
  length = 0
  for paragraph in found:
    if document and length + len(paragraph) > _MOST_CHARACTERS:
      yield '\n\n'.join(document)
      document, length = [], 0
    document.append(paragraph)
    length += len(paragraph) + 2
  if document:
    yield '\n\n'.join(document)
