"""Files that are one JSON value: a list of objects, or an object of them."""

from __future__ import annotations

import codecs
import dataclasses
import io
import json
from collections.abc import Iterator, Mapping
from typing import Annotated

from codemix.checked import From, checked
from codemix.data.raw.compression import Damaged
from codemix.data.raw.damage import EMPTY, damaged, foreign, lost_records
from codemix.data.raw.protocols import Piece, Reader
from codemix.data.raw.record import BadRecord
from codemix.data.raw.storage import BLOCK_BYTES, open_raw

_SPACE = ' \t\r\n'


@dataclasses.dataclass(frozen=True)
@checked
class JsonArray(Reader):
  """A whole `.json`, plain or compressed, read element by element rather than at once.

  Of a list each element is a row; of an object each value, with its name as the field 'key'
  where it has none. Elements behind a broken one cannot be found: the rest of that file is set
  aside, and an estimate of its rows counts as broken.

  Attributes:
    max_record_bytes: an element longer than this counts as broken.
  """

  stable_name, version = 'json_array', 1

  max_record_bytes: Annotated[int, From(1), 'bytes'] = 64 * 2**20

  def rows(self, piece: Piece) -> Iterator[tuple[str, Mapping] | BadRecord]:
    if other := foreign(piece.url):
      yield other
      return
    number = 0
    with open_raw(piece.url) as file:
      window = _Window(file, self.max_record_bytes)
      try:
        for number, (key, row) in enumerate(_elements(window), 1):
          place = f'{piece.url}:row {number}'
          if not isinstance(row, dict):
            yield BadRecord(place, 'not an object', f'but {type(row).__name__}')
          else:
            yield place, row if key is None else {'key': key, **row}
      except Damaged as error:
        yield damaged(piece.url, error, number, f'after row {number:,}', window.closed)
      except UnicodeDecodeError as error:
        yield _given_up(piece.url, 'not UTF-8', error.reason, number, window)
      except (ValueError, RecursionError) as error:
        yield _given_up(piece.url, 'not JSON', str(error)[:200], number, window)


def _given_up(url: str, reason: str, detail: str, number: int, window: _Window) -> BadRecord:
  """The rest of a file behind what is broken, with an estimate of the rows in it."""
  if window.is_blank():
    return BadRecord(url, EMPTY, 'there is nothing in it', expected=True)
  read, left = window.position, window.drain()
  if not left:
    lost = 1  # every element is whole
  elif not window.closed and window.last != window.closing:
    lost = None  # the file ends too soon
  else:
    lost = lost_records(number, left / read)
  where = f'after row {number:,}, byte {read:,} of its text'
  return BadRecord(url, reason, f'{where}: {detail}', lost=lost, after=number)


def _elements(window: _Window) -> Iterator[tuple[str | None, object]]:
  """(name, value) of the members of an object, (None, value) of those of a list.

  Raises ValueError: it is neither, or broken.
  """
  opening = window.take()
  if opening not in ('[', '{'):
    raise ValueError(f'a list or an object was expected, but {opening!r} found')
  window.closing = closing = ']' if opening == '[' else '}'
  while (following := window.peek()) != closing:
    key = None
    if opening == '{':
      key = window.value()
      _expect(window, ':')
    yield key, window.value()
    following = window.peek()
    if following != closing:
      _expect(window, ',')
  window.take()
  window.closed = True
  if rest := window.peek():
    raise ValueError(f'{rest!r} follows the end; if each line is a record, JsonLines reads it')


def _may_go_on(value: object, behind: str) -> bool:
  """Whether more of the text could make another number of what was read: 1 of '1', 0 of '0.'."""
  return isinstance(value, int | float) and behind in ('', *'0123456789.eE+-')


def _expect(window: _Window, character: str) -> None:
  if (found := window.take()) != character:
    raise ValueError(f'{character!r} was expected, but {found!r} found')


class _Window:
  """The part of a text that is being parsed; it grows until it holds a whole value."""

  def __init__(self, file: io.BufferedReader, limit: int):
    self._file, self._limit = file, limit
    self._decoder = codecs.getincrementaldecoder('utf-8-sig')()
    self._text, self._at, self._ended = '', 0, False
    self._bytes = 0  # that were read of the file
    self._error: UnicodeDecodeError | None = None  # that what was read ends with
    self._undecoded = 0  # bytes from there on
    self.last = ''  # the last character read that is not white space
    self.closing = ''  # what ends the list or object
    self.closed = False  # whether that was seen

  def peek(self) -> str:
    """The next character that is not white space; '' at the end."""
    while True:
      while self._at < len(self._text) and self._text[self._at] in _SPACE:
        self._at += 1
      if self._at < len(self._text):
        return self._text[self._at]
      if self._ended:
        return ''
      self._grow(BLOCK_BYTES)

  def take(self) -> str:
    character = self.peek()
    self._at += len(character)
    return character

  def value(self) -> object:
    """The next JSON value.

    Raises ValueError: there is none, or it is longer than the limit.
    """
    self.peek()
    while True:
      try:
        value, end = json.JSONDecoder().raw_decode(self._text, self._at)
        if self._ended or not _may_go_on(value, self._text[end : end + 1]):
          self._at = end
          return value
      except json.JSONDecodeError:
        if self._ended:
          raise
      waiting = len(self._text) - self._at
      if waiting > self._limit:
        raise ValueError(f'no element ends within {self._limit} bytes')
      # As much again as was in vain: the work stays proportional to the size of the element.
      self._grow(max(waiting, BLOCK_BYTES))

  @property
  def position(self) -> int:
    """Bytes of the text before the next character."""
    return max(self._bytes - self._undecoded - len(self._text[self._at :].encode('utf-8', 'surrogatepass')), 0)

  def is_blank(self) -> bool:
    """Whether the whole file holds nothing but white space."""
    return self._ended and not self.last

  def drain(self) -> int:
    """Bytes of the text from the next character to the end, or to a damage; nothing can be read afterwards."""
    left, self._text = self._bytes - self.position, ''
    try:
      while block := self._file.read1(BLOCK_BYTES):
        left += len(block)
        self._note(block)
    except Damaged:
      pass
    return left

  def _grow(self, count: int) -> None:
    """Reads `count` bytes more, less at the end.

    Raises:
      Damaged, UnicodeDecodeError: there is a damage, and all before it was taken.
    """
    if self._error:
      raise self._error
    blocks, waiting = [], count
    while waiting > 0:
      try:
        block = self._file.read1(min(waiting, BLOCK_BYTES))
      except Damaged:
        if not blocks:
          raise
        break
      if not block:
        self._ended = True
        break
      blocks.append(block)
      waiting -= len(block)
    data = b''.join(blocks)
    self._bytes += len(data)
    self._note(data)
    try:
      decoded = self._decoder.decode(data, final=self._ended)
    except UnicodeDecodeError as error:
      decoded, self._error = error.object[: error.start].decode('utf-8-sig'), error
      self._ended = False
      self._undecoded = len(error.object) - error.start
      if not decoded:
        raise
    self._text = self._text[self._at :] + decoded
    self._at = 0

  def _note(self, data: bytes) -> None:
    if stripped := data.rstrip():
      self.last = chr(stripped[-1])
