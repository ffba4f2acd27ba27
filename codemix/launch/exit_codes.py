"""What launchers do after each exit code of a run."""

from __future__ import annotations

import signal
from collections.abc import Iterable

from codemix.errors import PeerEnded, Preempted, StorageUnavailable

# Exit codes after which the same command resumes; after any other, it would end in the same way.
RESUMABLE = (StorageUnavailable.exit_code, Preempted.exit_code, PeerEnded.exit_code)
# A shell's codes of a process that SIGKILL or SIGTERM ended, such as one on a machine that was taken away.
KILLED = (128 + signal.SIGKILL, 128 + signal.SIGTERM)
# A run of several machines is started again after these, and after no other.
RESTARTED = (*RESUMABLE, *KILLED)


def of_all(codes: Iterable[int]) -> int:
  """The exit code of a run, of those of its processes: the first that a new start does not help against.

  Otherwise that of a preemption, if there was one, else `PeerEnded`'s; 0 if all are 0.
  """
  failed = [code for code in codes if code]
  if final := [code for code in failed if code not in RESTARTED]:
    return final[0]
  if Preempted.exit_code in failed:
    return Preempted.exit_code
  return PeerEnded.exit_code if failed else 0
