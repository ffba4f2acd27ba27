"""Sources that are repeated equally often: an epoch of each has the rows of the smallest.

Variants of a corpus differ in size, since text without its comments is shorter. A stage draws equally many rows of each,
by the shares of its mixture; with epochs of one length each is also read equally often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codemix.errors import UserError


def companions(groups: Sequence[Sequence[str]], names: Sequence[str]) -> list[str]:
  """The sources whose sizes decide how far those of `names` are read, without these."""
  drawn = set(names)
  return list(dict.fromkeys(name for group in groups if drawn & set(group) for name in group if name not in drawn))


def epoch_rows(groups: Sequence[Sequence[str]], rows: Mapping[str, int]) -> dict[str, int]:
  """The rows of an epoch of each source that is in a group with others.

  Args:
    groups: `Data.matched`.
    rows: that each source has; of all members of a group or of none.

  Raises UserError: a member of a group fills no row.
  """
  found = {}
  for group in (group for group in groups if group[0] in rows):
    smallest = min(group, key=rows.__getitem__)
    if not rows[smallest]:
      raise UserError(f"'{smallest}' fills no row, and Data.matched reads {', '.join(group)} only as far as it reaches. Give it more data, or take it out of Data.matched.")
    found |= dict.fromkeys(group, rows[smallest])
  return found
