"""The two ways to compare an item with a corpus: as words, and as code without names."""

from __future__ import annotations

import abc
import dataclasses
from typing import Annotated, ClassVar

import numpy as np

from codemix.checked import From, UpTo, checked
from codemix.contamination import code_units
from codemix.contamination.normalise import UNIT_BASE, Units, alphabet, polynomial
from codemix.errors import UserError

Length = Annotated[int, From(1), UpTo(255), 'units']


@dataclasses.dataclass(frozen=True)
@checked
class Reading(abc.ABC):
  """How text is cut into units, and how many in a row make a match.

  Attributes:
    n: units of a window.
    minimum: a passage of fewer than n units is one window; with fewer units than
      `minimum` it is too short to be searched for.
  """

  name: ClassVar[str]
  n: Length
  minimum: Length

  def __post_init__(self):
    if self.minimum > self.n:
      raise UserError(
        f'{type(self).__name__}.minimum is {self.minimum} and {type(self).__name__}.n {self.n}; a shorter passage has at most the n units of a window.'
      )

  @abc.abstractmethod
  def units(self, codes: np.ndarray) -> Units:
    """The units of a text, given as `normalise.characters(text)`."""

  def keys(self, units: Units, at: np.ndarray, length: int) -> np.ndarray:
    """uint64 [K]: a hash of each window of `length` units at `at`; equal windows have equal hashes."""
    return window_hashes(_windows(units.values, at, length))

  @abc.abstractmethod
  def telling(self, units: Units, codes: np.ndarray, at: np.ndarray, length: int) -> np.ndarray:
    """bool [K]: whether these windows of an item are distinctive enough to be searched for."""

  def prefixes(self, units: Units) -> np.ndarray:
    """uint64 [w - minimum + 1]: a hash of the `minimum` units from each one on."""
    at = np.arange(max(len(units) - self.minimum + 1, 0))
    return polynomial(units.values, at, at + self.minimum, UNIT_BASE)


@dataclasses.dataclass(frozen=True)
@checked
class WordWindows(Reading):
  """Runs of letters and digits.

  13 words, or whole passages of at least 8, are from T. Brown et al., "Language
  models are few-shot learners" (2020), appendix C.
  """

  name = 'words'
  n: Length = 13
  minimum: Length = 8

  def units(self, codes: np.ndarray) -> Units:
    return alphabet(marks_count=False).units(codes)

  def telling(self, units: Units, codes: np.ndarray, at: np.ndarray, length: int) -> np.ndarray:
    """At least half of the words are not numbers, because '[1, 2, 3, 4, 5, 6, 7, 8]' is everywhere."""
    begins = codes[units.starts]
    number = (begins >= ord('0')) & (begins <= ord('9'))
    return 2 * _windows(number, at, length).sum(axis=1) <= length


@dataclasses.dataclass(frozen=True)
@checked
class CodeWindows(Reading):
  """Units of code without names; `docs/contamination.md` has the measurements behind the lengths."""

  name = 'code'
  n: Length = 30
  minimum: Length = 24

  def units(self, codes: np.ndarray) -> code_units.CodeUnits:
    return code_units.code_units(codes)

  def keys(self, units: Units, at: np.ndarray, length: int) -> np.ndarray:
    names, values = _windows(units.names, at, length), _windows(units.values, at, length)
    return window_hashes(code_units.canonical(names, values))

  def telling(self, units: Units, codes: np.ndarray, at: np.ndarray, length: int) -> np.ndarray:
    return code_units.telling(_windows(units.values, at, length))


READINGS = {reading.name: reading for reading in (WordWindows, CodeWindows)}


def window_hashes(windows: np.ndarray) -> np.ndarray:
  """uint64 [K] from uint64 [K, length]."""
  powers = np.asarray([pow(UNIT_BASE, j, 2**64) for j in range(windows.shape[1])], np.uint64)
  return (windows * powers).sum(axis=1, dtype=np.uint64)


def _windows(values: np.ndarray, at: np.ndarray, length: int) -> np.ndarray:
  return values[at[:, None] + np.arange(length)]
