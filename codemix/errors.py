"""What codemix says when it stops, and the exit code that goes with it.

A launcher reads the exit code to decide between "relaunch" and "wake a person",
so each reason for stopping has its own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CodemixError(Exception):
  """An expected way to stop; the message is for a person, without a traceback."""

  exit_code = 1


class UserError(CodemixError):
  """Something the user wrote or pointed at is wrong: relaunching will not help."""

  exit_code = 2


class NonFiniteError(CodemixError):
  """A loss or a gradient is NaN or infinite; nothing after it was saved."""

  exit_code = 3


class Preempted(CodemixError):
  """SIGTERM came; a checkpoint was saved and the same command resumes."""

  exit_code = 75  # EX_TEMPFAIL of sysexits.h: "try again later"


class PeerEnded(CodemixError):
  """Another process of the run was killed, or does not answer: the same command in all processes goes on."""

  exit_code = 76  # beside Preempted's: here too relaunching helps, but nothing was saved for it


def nearest(name: str, candidates: Iterable[str], ending: str = '', cutoff: float = 0.5) -> str:
  """` Did you mean 'x'?` for the candidate closest to `name`, else an empty string.

  Args:
    ending: that all candidates have, such as '.gin': it makes no two of them alike.
    cutoff: how alike they must be, from 0 to 1 (`difflib.get_close_matches`).
  """
  bare = sorted(candidate.removesuffix(ending) for candidate in candidates)
  asked = name.removesuffix(ending)
  close = [each for each in bare if each != asked and each.lower() == asked.lower()]
  close = close or difflib.get_close_matches(asked, bare, n=1, cutoff=cutoff)
  return f" Did you mean '{close[0]}{ending}'?" if close else ''
