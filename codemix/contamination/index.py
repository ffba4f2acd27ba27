"""The windows of all items, as sorted 64-bit hashes that fit in each worker's memory.

With the 0.88M windows of the 21 files of `docs/contamination.md` and the 3e11
words of 400B tokens, 0.015 false matches are expected in a whole run.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from codemix.contamination.normalise import Units, characters
from codemix.contamination.readings import Reading

_CHUNK = 2**14  # windows of one length compared at a time


@dataclasses.dataclass(frozen=True)
class Passages:
  """The windows of each passage.

  Attributes:
    first: int64 [P + 1], where each passage's windows begin in `grams`.
    grams: int64 [...], numbers of windows in an Index, in the order of each passage.
  """

  first: np.ndarray
  grams: np.ndarray

  def counts(self) -> np.ndarray:
    """int64 [P]: windows of each passage."""
    return np.diff(self.first)

  def found(self, hit: np.ndarray) -> np.ndarray:
    """int64 [P]: how many windows of each passage are found; `hit` is bool [G]."""
    sums = np.concatenate([[0], np.cumsum(hit[self.grams])])
    return sums[self.first[1:]] - sums[self.first[:-1]]


@dataclasses.dataclass(frozen=True)
class Index:
  """The distinct windows of one reading.

  Attributes:
    reading: words or code.
    keys: uint64 [G], sorted.
    lengths: the lengths that windows have, in units.
    prefixes: uint64 [...], the distinct hashes of how windows begin.
  """

  reading: Reading
  keys: np.ndarray
  lengths: tuple[int, ...]
  prefixes: np.ndarray

  @functools.cached_property
  def _filter(self) -> tuple[np.ndarray, np.uint64]:
    """(bits indexed by the first bits of a prefix, at most one in 32 set; the shift that gives that index)."""
    bits = max(int(len(self.prefixes) * 32).bit_length(), 13)
    shift = np.uint64(64 - bits)
    slots = np.unique(self.prefixes >> shift)
    flags = np.zeros(2**bits, bool)
    flags[slots] = True
    return np.packbits(flags, bitorder='little'), shift

  def find(self, units: Units) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The windows of a text that are in the index: (number, first unit, last unit), int64 [hits] each."""
    prefixes = self.reading.prefixes(units)
    bits, shift = self._filter
    slots = prefixes >> shift
    maybe = np.flatnonzero((bits[slots >> np.uint64(3)] >> (slots & np.uint64(7)).astype(np.uint8)) & 1)
    maybe = maybe[_among(self.prefixes, prefixes[maybe])[1]]
    found = [
      self._compare(units, part, length)
      for length in self.lengths
      for part in _parts(maybe[maybe + length <= len(units)])
    ]
    return tuple(np.concatenate(column) for column in zip(*found, strict=True)) if found else (np.zeros(0, np.int64),) * 3

  def _compare(self, units: Units, at: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    keys = self.reading.keys(units, at, length)
    places, same = _among(self.keys, keys)
    return places[same], at[same], at[same] + length - 1


def build_index(reading: Reading, passages: Sequence[str]) -> tuple[Index, Passages]:
  """Indexes the windows of passages; too short passages and windows that are not distinctive are left out."""
  keys, prefixes, counts, lengths = [], [], [], set()
  for passage in passages:
    codes = characters(passage.encode('utf-8', 'surrogatepass'))
    units = reading.units(codes)
    length = min(len(units), reading.n)
    at = np.arange(len(units) - length + 1 if length >= reading.minimum else 0)
    if len(at):
      at = at[reading.telling(units, codes, at, length)]
    counts.append(len(at))
    if len(at):
      lengths.add(length)
      keys.append(reading.keys(units, at, length))
      prefixes.append(reading.prefixes(units)[at])
  all_keys = np.concatenate(keys) if keys else np.zeros(0, np.uint64)
  distinct, grams = np.unique(all_keys, return_inverse=True)
  all_prefixes = np.unique(np.concatenate(prefixes)) if prefixes else np.zeros(0, np.uint64)
  index = Index(reading, distinct, tuple(sorted(lengths)), all_prefixes)
  return index, Passages(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), grams.astype(np.int64))


def _parts(at: np.ndarray) -> list[np.ndarray]:
  return [at[i : i + _CHUNK] for i in range(0, len(at), _CHUNK)]


def _among(distinct: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """(the position of each value in the sorted `distinct`, bool: whether it is there)."""
  places = np.minimum(np.searchsorted(distinct, values), max(len(distinct) - 1, 0))
  return places, distinct[places] == values if len(distinct) else np.zeros(len(values), bool)
