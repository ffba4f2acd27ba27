"""Cuts text into hashed units that case, spacing and Unicode forms do not change.

Two readings use this: words, where punctuation separates units and is dropped,
and code, where each punctuation mark is a unit. All work is on whole arrays,
because a run's whole corpus is read: no unit is a Python object.

Each character is folded first: compatibility decomposition, upper case, full
case folding (after upper case, so that 'ı' and 'ſ' fold like 'i' and 's'), then
accents and invisible characters are dropped. A character folds to none, one or
several characters.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import unicodedata

import numpy as np

SEPARATOR = '\0'  # a character that is not part of a unit folds to this
_ZERO_WIDTH_SPACE = '\u200b'
# Characters from here on are ideographs of the supplementary planes or unassigned. Each folds to itself,
# except those of `_BEYOND`: ideographs encoded twice, and invisible characters.
_TABLE_SIZE = 0x20000
_BEYOND = (range(0x2F800, 0x2FA20), range(0xE0000, 0xE0200))
_INVISIBLE = 0xFE00  # a character in the table that folds to nothing
_APART, _JOINED, _ALONE = range(3)  # between units, part of a longer unit, a unit of its own

# Scripts written without spaces between words: each letter counts as a word, as ideographs do.
_UNSPACED = ('CJK', 'HIRAGANA', 'KATAKANA', 'THAI', 'LAO', 'KHMER', 'MYANMAR')


@dataclasses.dataclass(frozen=True)
class Units:
  """The units of a text, in order.

  Attributes:
    values: uint64 [w], a hash of each.
    starts, ends: int64 [w], the index of its first character and the index after its last.
  """

  values: np.ndarray
  starts: np.ndarray
  ends: np.ndarray

  def __len__(self) -> int:
    return len(self.values)


def characters(text: bytes) -> np.ndarray:
  """The text's code points: uint8 if it is ASCII, else uint32; an invalid byte counts as a character."""
  if text.isascii():
    return np.frombuffer(text, np.uint8)
  decoded = text.decode('utf-8', 'surrogateescape')
  return np.frombuffer(decoded.encode('utf-32-le', 'surrogatepass'), '<u4')


def byte_offsets(characters: np.ndarray) -> np.ndarray:
  """int64 [n + 1]: the byte where each of `characters(text)` begins, and the byte where the last ends."""
  if characters.dtype == np.uint8:
    return np.arange(len(characters) + 1)
  escaped = (characters >= 0xDC80) & (characters <= 0xDCFF)
  widths = 1 + (characters >= 0x80).astype(np.int64) + (characters >= 0x800) + (characters >= 0x10000)
  return np.concatenate([[0], np.cumsum(np.where(escaped, 1, widths))])


@dataclasses.dataclass(frozen=True)
class Alphabet:
  """Tables over code points that say how a character is read.

  Attributes:
    first: int64 [size + 1], where the folded characters of each character begin in `folded`.
    folded: uint32 [...], the folded characters of all characters, concatenated.
    simple: uint32 [size], the folded character, if there is exactly one.
    single: bool [size], whether there is exactly one.
    kind: uint8 [size], by folded character: between units, part of a unit, or a unit.
    value: uint64 [size], by folded character: a random odd number, 0 between units.
  """

  first: np.ndarray
  folded: np.ndarray
  simple: np.ndarray
  single: np.ndarray
  kind: np.ndarray
  value: np.ndarray

  def units(self, codes: np.ndarray) -> Units:
    """The units of a text, given as `characters(text)`."""
    folded, origin = self._fold(codes)
    starts, ends = _bounds(self.kind.take(folded, mode='clip'))
    values = _hashes(self._values(folded), starts, ends)
    if origin is not None:
      starts, ends = origin.of(starts), origin.of(ends - 1) + 1
    return Units(values, starts, ends)

  def is_letter(self, codes: np.ndarray) -> np.ndarray:
    """bool: whether these characters are parts of longer units, rather than units or separators."""
    return self.kind.take(self.simple.take(_read_beyond(codes), mode='clip'), mode='clip') == _JOINED

  def _fold(self, codes: np.ndarray) -> tuple[np.ndarray, _Origin | None]:
    """(folded characters, their origin or None if each character folds to one)."""
    if codes.dtype == np.uint8:  # ASCII folds one to one
      return self.simple[:128][codes], None
    if has_beyond := (codes >= _TABLE_SIZE).any():
      codes = _read_beyond(codes)
    inside = np.minimum(codes, _TABLE_SIZE - 1)
    folded = self.simple[inside]
    if has_beyond:
      folded = np.where(codes >= _TABLE_SIZE, codes, folded)
    odd = np.flatnonzero(~self.single[inside])
    if not len(odd):
      return folded, None
    first = self.first[inside[odd]]
    counts = self.first[inside[odd] + 1] - first
    origin = _Origin(odd, odd + np.cumsum(counts - 1) - (counts - 1), counts)
    repeats = np.ones(len(codes), np.int64)
    repeats[odd] = counts
    folded = np.repeat(folded, repeats)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    folded[np.repeat(origin.begins, counts) + within] = self.folded[np.repeat(first, counts) + within]
    return folded, origin

  def _values(self, folded: np.ndarray) -> np.ndarray:
    values = self.value.take(folded, mode='clip')
    beyond = folded >= _TABLE_SIZE
    if beyond.any():
      values[beyond] = mix(folded[beyond].astype(np.uint64)) | np.uint64(1)
    return values


@dataclasses.dataclass(frozen=True)
class _Origin:
  """Where folded characters came from.

  Attributes:
    odd: int64 [k], the characters that do not fold to one.
    begins: int64 [k], where the folded characters of each begin.
    counts: int64 [k], how many characters each folds to.
  """

  odd: np.ndarray
  begins: np.ndarray
  counts: np.ndarray

  def of(self, places: np.ndarray) -> np.ndarray:
    """int64: the characters from which the folded ones at `places` came."""
    last = np.searchsorted(self.begins, places, side='right') - 1
    beyond = places - self.begins[last]
    behind = self.odd[last] + np.where(beyond < self.counts[last], 0, beyond - self.counts[last] + 1)
    return np.where(last < 0, places, behind)


@functools.cache
def alphabet(marks_count: bool) -> Alphabet:
  """The tables of a reading; `marks_count`, for code, makes punctuation units and '_' a letter."""
  texts = [_folded(chr(code), marks_count) for code in range(_TABLE_SIZE)]
  counts = np.fromiter(map(len, texts), np.int64, _TABLE_SIZE)
  first = np.concatenate([[0], np.cumsum(counts)])
  folded = np.frombuffer(''.join(texts).encode('utf-32-le', 'surrogatepass'), '<u4')
  single = counts == 1
  simple = np.where(single, folded[np.minimum(first[:-1], len(folded) - 1)], 0).astype(np.uint32)
  kind = np.zeros(_TABLE_SIZE, np.uint8)
  for code in np.unique(folded).tolist():
    if code < _TABLE_SIZE and chr(code) != SEPARATOR:
      kind[code] = _kind(chr(code), marks_count)
  # The last entry is also used for all characters beyond the table.
  kind[-1] = _ALONE
  value = np.where(kind != _APART, mix(np.arange(_TABLE_SIZE, dtype=np.uint64)) | np.uint64(1), np.uint64(0))
  return Alphabet(first, folded, simple, single, kind, value)


def _read_beyond(codes: np.ndarray) -> np.ndarray:
  """The characters, with those of `_BEYOND` replaced by the character that they fold to."""
  beyond = np.flatnonzero(codes >= _TABLE_SIZE)
  if not len(beyond):
    return codes
  known, meant = _beyond()
  place = np.searchsorted(known[:-1], codes[beyond])
  codes = codes.copy()
  codes[beyond] = np.where(known[place] == codes[beyond], meant[place], codes[beyond])
  return codes


@functools.cache
def _beyond() -> tuple[np.ndarray, np.ndarray]:
  """uint32 (characters of `_BEYOND` that do not fold to themselves, ascending; what each folds to)."""
  meant = {}
  for code in itertools.chain(*_BEYOND):
    folded = _folded(chr(code), marks_count=True)
    if folded != chr(code) and folded != SEPARATOR:
      meant[code] = ord(folded) if folded else _INVISIBLE
  return np.array(list(meant), np.uint32), np.array(list(meant.values()), np.uint32)


def _folded(character: str, marks_count: bool) -> str:
  plain = unicodedata.normalize('NFKD', character).upper().casefold()
  kept = ''.join(_kept(c, marks_count) for c in unicodedata.normalize('NFKD', plain))
  return SEPARATOR if kept and not kept.strip(SEPARATOR) else kept  # so that '…' stays one character


def _kept(character: str, marks_count: bool) -> str:
  category = unicodedata.category(character)
  if category[0] == 'M' or (category == 'Cf' and character != _ZERO_WIDTH_SPACE):
    return ''
  if character.isalnum():
    return character
  if not marks_count or category[0] in 'CZ':
    return SEPARATOR
  return '"' if character in '\'`' else character  # the three quotes are equal, because formatters exchange them


def _kind(folded: str, marks_count: bool) -> int:
  if marks_count:
    return _JOINED if folded.isalnum() or folded == '_' else _ALONE
  unspaced = ord(folded) > 127 and unicodedata.name(folded, '').startswith(_UNSPACED)
  return _ALONE if unspaced else _JOINED


def _bounds(kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """int64 starts and ends of the units among characters of these kinds."""
  joined = np.zeros(len(kind) + 2, np.int8)
  joined[1:-1] = kind == _JOINED
  steps = np.diff(joined)
  alone = kind == _ALONE
  starts = np.flatnonzero((steps[:-1] == 1) | alone)
  ends = np.flatnonzero((steps[1:] == -1) | alone) + 1
  return starts, ends


def mix(x: np.ndarray) -> np.ndarray:
  """The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) on uint64, from one step on."""
  x = x + np.uint64(0x9E3779B97F4A7C15)
  x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
  x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
  return x ^ (x >> np.uint64(31))


def _hashes(values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
  return mix(polynomial(values, starts, ends, CHARACTER_BASE))


CHARACTER_BASE = 0xD6E8FEB86659FD93
UNIT_BASE = 0xA0761D6478BD642F


def polynomial(values: np.ndarray, starts: np.ndarray, ends: np.ndarray, base: int) -> np.ndarray:
  """The sum of values[start + j] * base**j over each [start, end), modulo 2**64: uint64.

  All ranges use one running sum (Karp and Rabin, IBM J. Res. Dev. 31, 1987),
  because an odd base has an inverse.
  """
  powers, inverses = _powers(base, 1 << max(len(values), 1).bit_length())
  sums = np.zeros(len(values) + 1, np.uint64)
  np.cumsum(values * powers[: len(values)], out=sums[1:])
  return (sums[ends] - sums[starts]) * inverses[starts]


@functools.lru_cache(maxsize=8)
def _powers(base: int, size: int) -> tuple[np.ndarray, np.ndarray]:
  """base**i and base**-i modulo 2**64 for i below `size`."""
  return _powers_of(base, size), _powers_of(pow(base, -1, 2**64), size)


def _powers_of(base: int, size: int) -> np.ndarray:
  factors = np.full(size, base, np.uint64)
  factors[0] = 1
  return np.cumprod(factors)
