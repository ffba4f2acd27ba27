"""What the results of a comparison are called in the folder of the stage whose answers were judged."""

from __future__ import annotations

PREFIX = 'judge/'
_BETWEEN = '-against-'


def comparison_name(task: str, other: str) -> str:
  """'judge/dolly-against-cooldown-0123456789ab'.

  Args:
    other: the folder of the stage that it is compared with, or 'itself'.
  """
  return f'{PREFIX}{task}{_BETWEEN}{other}'


def compared_with(name: str) -> str:
  """`other` of a name of a comparison; '' if the name is of another form."""
  return name.rpartition(_BETWEEN)[2] if _BETWEEN in name else ''
