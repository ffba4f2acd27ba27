"""Errors for people, and their exit codes.

Each reason for stopping has its own exit code, by which a launcher decides whether to relaunch.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

LONGEST = 2000  # characters of a message; a longer one is shortened in its middle


class CodemixError(Exception):
  """An expected way to stop; the message is for a person, without a traceback."""

  exit_code = 1

  def __str__(self) -> str:
    """The message in one line of at most LONGEST characters: what it repeats of a file may have any length."""
    message = super().__str__()
    if '\n' in message or '\r' in message:
      message = ' '.join(message.split())
    return message if len(message) <= LONGEST else f'{message[: LONGEST // 2]} ... {message[-LONGEST // 2 :]}'


class UserError(CodemixError):
  """The user's input is wrong: relaunching will not help."""

  exit_code = 2


class FolderUnavailable(UserError):
  """A folder cannot be used now: its disk is full or read-only, or another process works in it. What was to be computed is not to blame."""


class NonFiniteError(CodemixError):
  """A loss or a gradient is NaN or infinite, or a loss has spiked too often; no later state was saved."""

  exit_code = 3


class Preempted(CodemixError):
  """SIGTERM came; a checkpoint was saved and the same command resumes."""

  exit_code = 75  # EX_TEMPFAIL of sysexits.h: "try again later"


class PeerEnded(CodemixError):
  """A process of the run did not start, was killed, does not answer or lost its folder to another; the same command in all processes resumes."""

  exit_code = 76  # next to Preempted's: relaunching helps too, but no checkpoint was saved


class StorageUnavailable(CodemixError):
  """A bucket does not answer after many tries; the same command resumes when it does."""

  exit_code = 74  # EX_IOERR of sysexits.h; relaunching helps


def exit_code_of(returned: int) -> int:
  """The exit code of a process in a shell, of that of `subprocess`: 128 + n for -n, if signal n ended it."""
  return returned if returned >= 0 else 128 - returned


def of_process(returned: int, message: str) -> CodemixError:
  """The error of a process that this one waited for, with the exit code of that process.

  Args:
    returned: its exit code, as `subprocess` has it.
  """
  kinds = {kind.exit_code: kind for kind in (UserError, NonFiniteError, Preempted, PeerEnded, StorageUnavailable)}
  error = kinds.get(returned, CodemixError)(message)
  error.exit_code = exit_code_of(returned)
  return error


def of_collective(error: BaseException) -> bool:
  """Whether an error is that of a collective whose other end was lost, which JAX raises as a ValueError where it converts an array."""
  return re.search(r'\b(Gloo|NCCL)\b', str(error), re.IGNORECASE) is not None


def nearest(name: str, candidates: Iterable[str], ending: str = '', cutoff: float = 0.5) -> str:
  """` Did you mean 'x'?` for the candidate closest to `name`, else an empty string.

  Args:
    ending: an ending of all candidates, such as '.gin', ignored in the comparison.
    cutoff: the least similarity, from 0 to 1 (`difflib.get_close_matches`).
  """
  bare = sorted(candidate.removesuffix(ending) for candidate in candidates)
  asked = name.removesuffix(ending)
  close = [each for each in bare if each != asked and each.lower() == asked.lower()]
  close = close or difflib.get_close_matches(asked, bare, n=1, cutoff=cutoff)
  return f" Did you mean '{close[0]}{ending}'?" if close else ''
