"""The memory of this machine or of the container that codemix runs in."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# The limits of cgroups, versions 2 and 1. 'max', or a number larger than the memory, means no limit.
_LIMITS = (Path('/sys/fs/cgroup/memory.max'), Path('/sys/fs/cgroup/memory/memory.limit_in_bytes'))


def memory_bytes() -> int:
  """Bytes that all processes of the machine or container may use together."""
  found = [os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')]
  for path in _LIMITS:
    with contextlib.suppress(OSError, ValueError):
      found.append(int(path.read_text()))
  return min(found)
