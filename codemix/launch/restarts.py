"""How often a run is started again: after failures so often as was asked for, after a preemption always."""

from __future__ import annotations

from codemix.errors import Preempted
from codemix.launch.exit_codes import RESTARTED


class Restarts:
  """What is left of the new starts of a run.

  Args:
    failures: after how many it is started again; 0: never, not after a preemption either.
  """

  def __init__(self, failures: int = 0):
    self._allowed = failures > 0
    self._left = failures

  def allow(self, code: int) -> bool:
    """Whether the run starts again after this exit code, which counts if it is that of a failure."""
    if code not in RESTARTED or not self._allowed:
      return False
    if code == Preempted.exit_code:
      return True
    self._left -= 1
    return self._left >= 0
