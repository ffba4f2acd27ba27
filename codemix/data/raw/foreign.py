"""Recognizes files that are not what their names say: error pages, git-LFS pointers, other encodings and formats."""

from __future__ import annotations

import re

HEAD_BYTES = 512
LFS_POINTER = 'git-LFS pointer'
ENCODINGS = ('UTF-16 text', 'UTF-32 text')

_HTML = re.compile(rb'\s*(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body)\b', re.IGNORECASE | re.DOTALL)

# How a file begins, what it is called, and what to do about it.
_FORMS = (
  (re.compile(rb'version https?://(git-lfs\.github\.com|hawser\.github\.com)/spec/'), LFS_POINTER, 'the file itself was not fetched; run `git lfs pull` in its checkout'),
  (_HTML, 'HTML page', 'a server sent a page in place of the file; download it again'),
  (re.compile(rb'\s*(<\?xml[^>]*>\s*)?<Error>'), 'XML error message', 'a server sent an error in place of the file; download it again'),
  (re.compile(rb'\xff\xfe\x00\x00|\x00\x00\xfe\xff|[\x09-\x7e]\x00\x00\x00[\x09-\x7e]\x00\x00\x00|\x00\x00\x00[\x09-\x7e]\x00\x00\x00'), ENCODINGS[1], 'convert it with `iconv -f UTF-32 -t UTF-8`'),
  (re.compile(rb'\xff\xfe|\xfe\xff|[\x09-\x7e]\x00[\x09-\x7e]\x00|\x00[\x09-\x7e]\x00[\x09-\x7e]'), ENCODINGS[0], 'convert it with `iconv -f UTF-16 -t UTF-8`'),
  (re.compile(rb'\x1f\x8b\x08'), 'gzip data', 'name it with the ending .gz, or decompress it'),
  (re.compile(rb'\x28\xb5\x2f\xfd'), 'zstd data', 'name it with the ending .zst, or decompress it'),
  (re.compile(rb'BZh[1-9]\x31\x41\x59\x26\x53\x59'), 'bzip2 data', 'name it with the ending .bz2, or decompress it'),
  (re.compile(rb'\xfd7zXZ\x00'), 'xz data', 'name it with the ending .xz, or decompress it'),
  (re.compile(rb'\x04\x22\x4d\x18'), 'lz4 data', 'decompress it'),
  (re.compile(rb'PK\x03\x04|PK\x05\x06'), 'zip archive', 'unpack it'),
  (re.compile(rb'7z\xbc\xaf\x27\x1c'), '7z archive', 'unpack it'),
  (re.compile(rb'.{257}ustar', re.DOTALL), 'tar archive', 'unpack it'),
  (re.compile(rb'PAR1'), 'parquet file', 'read it with the reader Parquet'),
  (re.compile(rb'ARROW1'), 'Arrow file', 'write it as parquet, which the reader Parquet reads'),
  (re.compile(rb'SQLite format 3\x00'), 'SQLite database', 'export it as JSON lines'),
)


def foreign_form(head: bytes) -> tuple[str, str] | None:
  """(what it is called, what to do about it) by the first HEAD_BYTES of a file; None for text, or what is not known."""
  return next(((form, advice) for pattern, form, advice in _FORMS if pattern.match(head)), None)
