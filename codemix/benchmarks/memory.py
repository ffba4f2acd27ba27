"""What memory this process holds, and the most that a function makes it hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def peak_growth(function: Callable[[], object]) -> int:
  """Bytes by which the process is larger at its largest, while the function runs, than before it."""
  Path('/proc/self/clear_refs').write_text('5')  # the peak counts from now on (proc(5))
  before = status_bytes('VmHWM')
  function()
  return status_bytes('VmHWM') - before


def status_bytes(field: str) -> int:
  """A figure of this process, such as VmRSS (resident now) or VmHWM (resident at most)."""
  status = dict(line.split(':', 1) for line in Path('/proc/self/status').read_text().splitlines())
  return int(status[field].split()[0]) * 2**10
