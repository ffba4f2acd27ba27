"""Files of one JSON object a line: `.jsonl`, plain or compressed."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from codemix.checked import From, checked
from codemix.data.raw.compression import Damaged, format_of
from codemix.data.raw.damage import EMPTY, damaged, foreign
from codemix.data.raw.protocols import Piece, Reader
from codemix.data.raw.record import CUT_SHORT, BadRecord
from codemix.data.raw.storage import BLOCK_BYTES, open_raw, size, stamp


@dataclasses.dataclass(frozen=True)
@checked
class JsonLines(Reader):
  """JSON lines, plain, gzip, zstd, bzip2 or xz. Blank lines are skipped, broken ones set aside.

  Of a damaged file every line before the damage is read.

  Attributes:
    max_line_bytes: a line longer than this is passed over as it streams by.
    piece_bytes: plain files are divided, at line ends, into parts of about this size.
  """

  stable_name, version = 'json_lines', 1

  max_line_bytes: Annotated[int, From(1), 'bytes'] = 64 * 2**20
  piece_bytes: Annotated[int, From(1), 'bytes'] = 64 * 2**20

  def pieces(self, urls: Sequence[str]) -> list[Piece]:
    return [piece for url in urls for piece in self._pieces(url)]

  def _pieces(self, url: str) -> list[Piece]:
    if format_of(url) or size(url) <= self.piece_bytes or _another_form(url):
      return [Piece(url)]
    starts = _line_starts(url, self.piece_bytes, stamp(url))
    stops = [start for start, _ in starts[1:]] + [None]
    return [
      Piece(url, start, stop, line) for (start, line), stop in zip(starts, stops, strict=True)
    ]

  def rows(self, piece: Piece) -> Iterator[tuple[str, Mapping] | BadRecord]:
    if piece.start == 0 and (other := _another_form(piece.url)):
      yield other
      return
    length = None if piece.stop is None else piece.stop - piece.start
    with open_raw(piece.url, piece.start) as file:
      yield from self._rows(piece, _blocks(file, length))

  def _rows(self, piece: Piece, blocks: Iterator[bytes]) -> Iterator[tuple[str, Mapping] | BadRecord]:
    url, number, rows, size = piece.url, piece.line - 1, 0, 0
    rest, damage = None, None
    try:
      for line, ended in _lines(blocks, self.max_line_bytes):
        row = self._row(f'{url}:{number + 1}', line)
        if not ended and isinstance(row, BadRecord):
          rest = row, line  # the last line, which is not whole; perhaps the damage follows
          continue
        number, size = number + 1, size + len(line or b'') + 1
        if row is not None:
          rows += 1
          yield _with_nul(row, line, size / rows) if isinstance(row, BadRecord) else row
    except Damaged as error:
      damage = error
    if damage:
      yield damaged(url, damage, rows, f'after line {number:,}', complete=rows > 0 and rest is None)
    elif rest:
      yield _unended(*rest, size / max(rows, 1))
    elif number < piece.line and piece.start == 0:
      yield BadRecord(url, EMPTY, 'there is nothing in it', expected=True)

  def _row(self, place: str, line: bytes | None) -> tuple[str, Mapping] | BadRecord | None:
    """A line as a row, None for a blank one."""
    if line is None:
      return BadRecord(place, 'too long', f'a line of more than {self.max_line_bytes} bytes')
    return parsed(place, line) if line.strip() else None


def _another_form(url: str) -> BadRecord | None:
  """A file that is not JSON lines at all, but another kind of file; not one that only begins so."""
  if other := foreign(url):
    with open_raw(url) as file:
      lines = file.read1(BLOCK_BYTES).split(b'\n')
    if all(isinstance(parsed('', line), BadRecord) for line in lines if line.strip()):
      return other
  return None


def _unended(row: BadRecord, line: bytes | None, usual: float) -> BadRecord:
  """The last line of a file, of which its end is missing."""
  if line is None or b'\0' in line or not line.lstrip().startswith(b'{'):
    return _with_nul(row, line, usual)
  detail = f'the file ends in the middle of this line; what followed it, if anything did, is not known ({row.detail})'
  return BadRecord(row.place, CUT_SHORT, detail)


def _with_nul(row: BadRecord, line: bytes | None, usual: float) -> BadRecord:
  """A line with NUL bytes, which a crash of the file system puts in place of what it lost: perhaps many lines.

  Args:
    row: what it is without that.
    line: its bytes.
    usual: bytes of a line.
  """
  if not (count := (line or b'').count(b'\0')):
    return row
  detail = f'{count:,} of its {len(line):,} bytes are NUL, as a crash of the file system leaves them'
  return BadRecord(row.place, row.reason, detail, lost=max(1, round(count / usual)) if usual else 1)


def parsed(place: str, line: bytes) -> tuple[str, Mapping] | BadRecord:
  """A line as a row, or the BadRecord that says why it is not one."""
  try:
    row = json.loads(line.decode('utf-8-sig'))
  except UnicodeDecodeError as error:
    return BadRecord(place, 'not UTF-8', str(error.reason))
  except (ValueError, RecursionError) as error:
    return BadRecord(place, 'NUL byte' if b'\0' in line else 'not JSON', str(error)[:200])
  if not isinstance(row, dict):
    return BadRecord(place, 'not an object', f'but {type(row).__name__}')
  return place, row


def _blocks(file: io.BufferedReader, length: int | None) -> Iterator[bytes]:
  """The next `length` bytes of a file, or all; `read1`, which loses nothing before a damage."""
  while length is None or length > 0:
    block = file.read1(BLOCK_BYTES if length is None else min(BLOCK_BYTES, length))
    if not block:
      return
    if length is not None:
      length -= len(block)
    yield block


def _lines(blocks: Iterator[bytes], limit: int) -> Iterator[tuple[bytes | None, bool]]:
  """(line, whether it ended) without the ends; None for one longer than `limit`.

  Where `blocks` raises Damaged, so does this, after the beginning of the line in work.
  """
  parts, size, damage = [], 0, None
  try:
    for block in blocks:
      *ends, tail = block.split(b'\n')
      for end in ends:
        size += len(end)
        yield (b''.join([*parts, end]) if size <= limit else None), True
        parts, size = [], 0
      size += len(tail)
      parts = [*parts, tail] if size <= limit else []
  except Damaged as error:
    damage = error
  if size:
    yield (b''.join(parts) if size <= limit else None), False
  if damage:
    raise damage


@functools.lru_cache(maxsize=1024)
def _line_starts(url: str, piece_bytes: int, stamp: str) -> list[tuple[int, int]]:
  """(byte, line number from 1) of the first line that begins at or after each piece's due.

  The whole file is read, so that a broken line can be named by its number
  without reading again all that stands before it.
  """
  starts, position, line = [(0, 1)], 0, 1
  with open_raw(url) as file:
    while block := file.read(BLOCK_BYTES):
      begin = 0
      while (due := starts[-1][0] + piece_bytes) <= position + len(block):
        end = block.find(b'\n', max(begin, due - 1 - position))
        if end < 0:
          break
        line += block.count(b'\n', begin, end + 1)
        begin = end + 1
        starts.append((position + begin, line))
      line += block.count(b'\n', begin)
      position += len(block)
  return starts if starts[-1][0] < position else starts[:-1]
