"""Code as units in which names do not count, in any language.

A unit is a name, a number, a keyword or one mark of punctuation; spacing and
case are gone. Names (everything that is no keyword and begins with no digit)
are told apart only inside a window: each by how far back it stood last, if it
did. Two windows are then equal where one is the other with its names changed
one to one: the parameterised match of B. S. Baker (J. Comput. Syst. Sci. 52,
1996), found by her "prev" encoding.

No language's own rules are known here. Words in comments and strings are names
like others, so prose looks like a row of names: windows that are mostly names
tell nothing and are not searched for (`telling`).
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from codemix.contamination.normalise import Units, alphabet, characters, mix

# Reserved in the common languages and no likely choice for a name; 'list', 'end' or 'type', which are
# reserved in some and names in others, are names.
KEYWORDS = tuple(
  '''
  and as assert async await begin bool boolean break byte case catch char class const continue def default defer
  del delete do done double elif else elseif elsif ensure enum except export extends extern false fi final finally
  float fn for foreach from func function global go goto if impl implements import in include instanceof int
  interface is lambda let long mod module mut namespace new nil none nonlocal not null nullptr operator or override
  package pass print private protected pub public raise require rescue return short signed sizeof static string
  struct sub super switch synchronized template then this throw throws trait true try typedef typename typeof
  undefined union unless unsafe unsigned until use using val var virtual void volatile when where while with yield
  '''.split()
)
NAME = np.uint64(0x9AE16A3B2F90404F)  # the value of every name
_SLOT_BITS = 16


@dataclasses.dataclass(frozen=True)
class CodeUnits(Units):
  """Units of code: `values` has NAME for each name.

  Attributes:
    names: uint64 [w], the hash of each unit as it is written.
  """

  names: np.ndarray


def code_units(codes: np.ndarray) -> CodeUnits:
  """The units of a text, given as `characters(text)`."""
  units = alphabet(marks_count=True).units(codes)
  lone = alphabet(marks_count=True)
  begins = codes[units.starts]
  # What begins a name: not a digit, and not a mark, which is a unit of one character.
  kinds = lone.kind.take(lone.simple.take(begins, mode='clip'), mode='clip')
  digit = (begins >= ord('0')) & (begins <= ord('9'))
  name = (kinds == 1) & ~digit & ~_is_keyword(units.values)
  return CodeUnits(np.where(name, NAME, units.values), units.starts, units.ends, units.values)


def canonical(names: np.ndarray, values: np.ndarray) -> np.ndarray:
  """Windows with each name as the distance to where it stood last in the window, 0 if it did not.

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


def telling(values: np.ndarray, names: np.ndarray) -> np.ndarray:
  """Whether windows say enough to be searched for: bool [K].

  At least half of the units are no names (prose is mostly names), of these at
  least six differ (tables of numbers and rules of dashes repeat a few), and
  three or more are keywords (which data and assertions lack).

  Args:
    values, names: uint64 [K, length], from CodeUnits.
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
  """uint64 [2**_SLOT_BITS]: each keyword's hash at the slot of its first bits; no two share one."""
  words = alphabet(marks_count=True).units(characters(' '.join(KEYWORDS).encode())).values
  slots = np.zeros(2**_SLOT_BITS, np.uint64)
  slots[words >> np.uint64(64 - _SLOT_BITS)] = words
  return slots
