"""Reads from /proc what the processes of a sandbox use together."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator

_TICKS = os.sysconf('SC_CLK_TCK')
_PAGE = os.sysconf('SC_PAGE_SIZE')
_GONE = (FileNotFoundError, ProcessLookupError)
# Fields of /proc/PID/stat after the name, which may have any characters: see proc_pid_stat(5).
_CPU, _THREADS, _RESIDENT = slice(11, 15), 17, 21


@dataclasses.dataclass(frozen=True)
class Usage:
  """Sums over a process and all its descendants.

  Attributes:
    cpu_seconds: with that of processes that ended.
    resident_bytes: a page that several processes share counts once for each.
  """

  cpu_seconds: float
  resident_bytes: int
  threads: int


def usage_of(process: int) -> Usage:
  """What a process and its descendants use."""
  ticks = pages = threads = 0
  for member in tree(process):
    with contextlib.suppress(*_GONE), open(f'/proc/{member}/stat') as file:
      fields = file.read().rpartition(') ')[2].split()
      ticks += sum(map(int, fields[_CPU]))
      pages += int(fields[_RESIDENT])
      threads += int(fields[_THREADS])
  return Usage(ticks / _TICKS, pages * _PAGE, threads)


def unshared_bytes(process: int) -> int:
  """Resident bytes of a process and its descendants; a shared page counts once."""
  total = 0
  for member in tree(process):
    with contextlib.suppress(*_GONE), open(f'/proc/{member}/smaps_rollup') as file:
      total += sum(int(line.split()[1]) << 10 for line in file if line.startswith('Pss:'))
  return total


def tree(process: int) -> Iterator[int]:
  """A process and its descendants."""
  waiting = [process]
  while waiting:
    member = waiting.pop()
    yield member
    with contextlib.suppress(*_GONE):
      for thread in os.listdir(f'/proc/{member}/task'):
        with contextlib.suppress(*_GONE), open(f'/proc/{member}/task/{thread}/children') as file:
          waiting += map(int, file.read().split())


def written(process: int, folder: str) -> tuple[int, int]:
  """(bytes, files) of the in-memory file system that a process has at `folder`; (0, 0) if it ended."""
  try:
    system = os.statvfs(f'/proc/{process}/root{folder}')
  except OSError:
    return 0, 0
  return (system.f_blocks - system.f_bfree) * system.f_frsize, system.f_files - system.f_ffree
