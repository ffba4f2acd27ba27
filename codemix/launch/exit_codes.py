"""What launchers do after each exit code of a run."""

from __future__ import annotations

from collections.abc import Iterable

from codemix.errors import PeerEnded, Preempted, StorageUnavailable

# codemix's own exit codes after which the same command resumes; after its others, it would end in the same way.
RESUMABLE = (StorageUnavailable.exit_code, Preempted.exit_code, PeerEnded.exit_code)
# A shell's codes of a process that one of these signals ended. SIGKILL and SIGTERM: such as one on a machine that was taken away.
# The others are crashes: libraries abort (libtpu, NCCL) when another machine is lost, and a machine may be broken. A mistake
# in a program crashes again, which costs as many starts as the launcher allows. Ctrl-C (130) and a closed pipe (141) are final.
_SIGNALS = (4, 6, 7, 8, 9, 11, 15)  # SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGSEGV, SIGTERM; Linux's, wherever a manifest is written
KILLED = tuple(128 + number for number in _SIGNALS)
# A run is started again after these, and after no other, by every launcher.
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
