"""Files that are one JSON value: a list of objects, or an object of them."""

from __future__ import annotations

import codecs
import dataclasses
import io
import json
from collections.abc import Iterator, Mapping
from typing import Annotated

from codemix.checked import From, checked
from codemix.data.sources.reading import Piece, Reader
from codemix.data.sources.record import BadRecord
from codemix.data.sources.storage import BLOCK_BYTES, DAMAGE, open_raw

_SPACE = ' \t\r\n'


@dataclasses.dataclass(frozen=True)
@checked
class JsonArray(Reader):
  """A whole `.json`, `.json.gz` or `.json.zst`, read element by element rather than at once.

  Of a list each element is a row; of an object each value, with its name as the field 'key'
  where it has none. What follows a broken element cannot be told apart: the rest of that file is
  set aside.

  Attributes:
    max_record_bytes: an element longer than this counts as broken.
  """

  max_record_bytes: Annotated[int, From(1), 'bytes'] = 64 * 2**20

  def rows(self, piece: Piece) -> Iterator[tuple[str, Mapping] | BadRecord]:
    number = 0
    with open_raw(piece.url) as file:
      try:
        for number, (key, row) in enumerate(_elements(_Window(file, self.max_record_bytes)), 1):
          place = f'{piece.url}:row {number}'
          if not isinstance(row, dict):
            yield BadRecord(place, 'not an object', f'but {type(row).__name__}')
          else:
            yield place, row if key is None else {'key': key, **row}
      except DAMAGE as error:
        yield BadRecord(piece.url, 'damaged file', f'after row {number}: {error}')
      except UnicodeDecodeError as error:
        yield BadRecord(piece.url, 'not UTF-8', f'after row {number}: {error.reason}')
      except (ValueError, RecursionError) as error:
        yield BadRecord(piece.url, 'not JSON', f'after row {number}: {str(error)[:200]}')


def _elements(window: _Window) -> Iterator[tuple[str | None, object]]:
  """(name, value) of the members of an object, (None, value) of those of a list.

  Raises:
    ValueError: it is neither, or broken.
  """
  opening = window.take()
  if opening not in ('[', '{'):
    raise ValueError(f'a list or an object was expected, but {opening!r} found')
  closing = ']' if opening == '[' else '}'
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

  def peek(self) -> str:
    """The next character that is no white space; '' at the end."""
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

    Raises:
      ValueError: there is none, or it is longer than the limit.
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

  def _grow(self, count: int) -> None:
    block = self._file.read(count)
    self._ended = len(block) < count
    self._text = self._text[self._at :] + self._decoder.decode(block, final=self._ended)
    self._at = 0
