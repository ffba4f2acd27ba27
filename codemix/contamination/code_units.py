"""Cuts code of any language into units that renaming does not change.

A unit is a name, a number, a keyword or one punctuation mark; spacing and case
are dropped. A name is any word that is not a keyword and does not begin with a
digit. Inside a window, a name is replaced by the distance to its last
occurrence. Two windows are then equal if renaming one to one turns one into the
other: the parameterised match of B. S. Baker (J. Comput. Syst. Sci. 52, 1996),
found by her "prev" encoding.

The rules of a language are not used. Words in comments and strings are names
too, so prose is mostly names, and windows that are mostly names are not
searched for (`telling`).
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from codemix.contamination.normalise import Units, alphabet, characters, mix

# Words that are reserved in the common languages and rarely used as names. 'end', 'type' and 'char' are
# reserved in some languages but common names in others, so they count as names.
_RESERVED = '''
  and as assert async await bool boolean break case catch class const continue def defer del delete do elif
  else elseif elsif enum except export extends extern false fi finally float fn for foreach from func function
  global goto if impl implements import in include instanceof int interface is lambda let mut namespace new
  nil none nonlocal not null nullptr or override pass print private protected pub public raise return signed
  sizeof static struct super switch synchronized then this throw throws trait true try typedef typename typeof
  undefined unless unsafe unsigned until using var virtual void volatile where while with yield
'''
KEYWORDS = tuple(_RESERVED.split())
NAME = np.uint64(0x9AE16A3B2F90404F)  # the value of every name
_SLOT_BITS = 16


@dataclasses.dataclass(frozen=True)
class CodeUnits(Units):
  """Units of code: `values` has NAME for each name.

  Attributes:
    names: uint64 [w], the hash of each unit's text; a name after a dot has another hash.
  """

  names: np.ndarray


def code_units(codes: np.ndarray) -> CodeUnits:
  """The units of a text, given as `characters(text)`."""
  letters = alphabet(marks_count=True)
  units = letters.units(codes)
  begins = codes[units.starts]
  digit = (begins >= ord('0')) & (begins <= ord('9'))
  name = letters.is_letter(begins) & ~digit & ~_is_keyword(units.values)
  # `counts` and the method in `x.counts` are two names: renaming one may leave the other.
  member = np.concatenate([[False], codes[units.starts[:-1]] == ord('.')]) & name
  names = np.where(member, ~units.values, units.values)
  return CodeUnits(np.where(name, NAME, units.values), units.starts, units.ends, names)


def canonical(names: np.ndarray, values: np.ndarray) -> np.ndarray:
  """Replaces each name by the distance to its last occurrence in the window, 0 for the first.

  Args:
    names, values: uint64 [K, length], from CodeUnits.

  Returns:
    uint64 [K, length].
  """
  length = names.shape[1]
  distance = np.zeros(names.shape, np.uint64)
  is_name = values == NAME
  for back in range(1, length):
    same = is_name[:, back:] & (names[:, back:] == names[:, :-back]) & (distance[:, back:] == 0)
    distance[:, back:][same] = back
  return np.where(is_name, mix(NAME + distance), values)


def telling(values: np.ndarray) -> np.ndarray:
  """Whether windows are distinctive enough to be searched for: bool [K].

  At least half of the units are not names (prose is mostly names), at least six
  of these differ (tables of numbers and rows of dashes repeat a few), and at
  least three are keywords (data and assertions have none).

  Args:
    values: uint64 [K, length], from CodeUnits.
  """
  is_name = values == NAME
  others = np.sort(np.where(is_name, np.uint64(0), values), axis=1)
  distinct = (np.diff(others, axis=1) != 0).sum(axis=1) + 1 - is_name.any(axis=1)
  keywords = _is_keyword(values).sum(axis=1)
  return (2 * is_name.sum(axis=1) <= values.shape[1]) & (distinct >= 6) & (keywords >= 3)


def _is_keyword(values: np.ndarray) -> np.ndarray:
  slots = _keyword_slots()
  return slots[values >> np.uint64(64 - _SLOT_BITS)] == values


@functools.cache
def _keyword_slots() -> np.ndarray:
  """uint64 [2**_SLOT_BITS]: the hash of each keyword in the slot of its first bits; no two share a slot."""
  words = alphabet(marks_count=True).units(characters(' '.join(KEYWORDS).encode())).values
  slots = np.zeros(2**_SLOT_BITS, np.uint64)
  slots[words >> np.uint64(64 - _SLOT_BITS)] = words
  return slots
