"""Files of one JSON object a line: `.jsonl`, `.jsonl.gz`, `.jsonl.zst`."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from codemix.checked import From, checked
from codemix.data.sources.reading import Piece, Reader
from codemix.data.sources.record import BadRecord
from codemix.data.sources.storage import BLOCK_BYTES, DAMAGE, is_compressed, open_raw, size, stamp


@dataclasses.dataclass(frozen=True)
@checked
class JsonLines(Reader):
  """JSON lines, plain, gzip or zstd. Blank lines are skipped, broken ones set aside.

  Attributes:
    max_line_bytes: a line longer than this is passed over as it streams by.
    piece_bytes: plain files are divided, at line ends, into parts of about this size.
  """

  max_line_bytes: Annotated[int, From(1), 'bytes'] = 64 * 2**20
  piece_bytes: Annotated[int, From(1), 'bytes'] = 64 * 2**20

  def pieces(self, urls: Sequence[str]) -> list[Piece]:
    return [piece for url in urls for piece in self._pieces(url)]

  def _pieces(self, url: str) -> list[Piece]:
    if is_compressed(url) or size(url) <= self.piece_bytes:
      return [Piece(url)]
    starts = _line_starts(url, self.piece_bytes, stamp(url))
    stops = [start for start, _ in starts[1:]] + [None]
    return [
      Piece(url, start, stop, line) for (start, line), stop in zip(starts, stops, strict=True)
    ]

  def rows(self, piece: Piece) -> Iterator[tuple[str, Mapping] | BadRecord]:
    number, length = piece.line, None if piece.stop is None else piece.stop - piece.start
    with open_raw(piece.url, piece.start) as file:
      try:
        for number, line in _lines(file, piece.line, length, self.max_line_bytes):
          place = f'{piece.url}:{number}'
          if line is None:
            yield BadRecord(place, 'too long', f'a line of more than {self.max_line_bytes} bytes')
          elif line.strip():
            yield parsed(place, line)
      except DAMAGE as error:
        yield BadRecord(piece.url, 'damaged file', f'after line {number}: {error}')


def parsed(place: str, line: bytes) -> tuple[str, Mapping] | BadRecord:
  """A line as a row, or why it is none."""
  try:
    row = json.loads(line.decode('utf-8-sig'))
  except UnicodeDecodeError as error:
    return BadRecord(place, 'not UTF-8', str(error.reason))
  except (ValueError, RecursionError) as error:
    return BadRecord(place, 'NUL byte' if b'\0' in line else 'not JSON', str(error)[:200])
  if not isinstance(row, dict):
    return BadRecord(place, 'not an object', f'but {type(row).__name__}')
  return place, row


def _lines(
  file: io.BufferedReader, number: int, length: int | None, limit: int
) -> Iterator[tuple[int, bytes | None]]:
  """(number, line) of the lines in the next `length` bytes; None for one longer than `limit`."""
  read = 0
  while length is None or read < length:
    line = file.readline(limit + 1)
    if not line:
      return
    read += len(line)
    if len(line) > limit and not line.endswith(b'\n'):
      line = None
      while part := file.readline(BLOCK_BYTES):
        read += len(part)
        if part.endswith(b'\n'):
          break
    yield number, line
    number += 1


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
