"""Watches a running program from outside: reads its output and ends it if it exceeds a limit."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import signal
import subprocess
import time

from codemix.sandbox.bubblewrap import FOLDER, SHARED_MEMORY
from codemix.sandbox.launcher import BEGINS
from codemix.sandbox.limits import Limits
from codemix.sandbox.usage import unshared_bytes, usage_of, written

# Most programs end before the first look, so that it costs them nothing.
_FIRST_LOOK_SECONDS = 0.05
_LOOK_SECONDS = 0.025
_CHUNK_BYTES = 1 << 16
_MOST_FILES = 20_000  # even an empty file takes kernel memory
_LONGEST_REPORT_BYTES = 4096
_LAUNCHER = 1  # a process beside those of the program


@dataclasses.dataclass(frozen=True)
class Pipes:
  """Read ends of what comes out of a sandbox.

  Attributes:
    report: `BEGINS` from the launcher, then the random word from a program that ran to its end.
    status: bubblewrap's lines of JSON; closed when all processes have ended.
  """

  stdout: int
  stderr: int
  report: int
  status: int


@dataclasses.dataclass
class Ended:
  """How a program ended.

  Attributes:
    stopped: why it was stopped, as in `Outcome.status`; '' if it ended by itself.
    returncode: as `subprocess` gives it, of bubblewrap or the launcher.
    began: whether the launcher began; if not, the sandbox could not be made.
    stdout, stderr: what was written, at most `Limits.output_bytes` + 1 bytes each.
  """

  stopped: str
  returncode: int
  began: bool
  stdout: bytes
  stderr: bytes
  report: bytes


def supervise(process: subprocess.Popen, pipes: Pipes, limits: Limits, started: float, is_isolated: bool) -> Ended:
  """Waits until a program ends, or ends it if it exceeds a limit.

  On return none of the program's processes is left; without a sandbox, none of its process group.

  Args:
    process: bubblewrap, or the launcher alone, first of its process group.
    pipes: not closed here.
    started: `time.monotonic()` when it was started.
    is_isolated: whether it is bubblewrap.
  """
  watch = _Watch(process, pipes, limits, started, is_isolated)
  try:
    stopped = watch.follow()
  finally:
    watch.end()
  watch.drain()
  stdout, stderr, report = (bytes(watch.read[fd]) for fd in (pipes.stdout, pipes.stderr, pipes.report))
  return Ended(stopped, process.returncode, watch.began(), stdout, stderr, report.removeprefix(BEGINS))


class _Watch:
  """One program being followed.

  Attributes:
    first: number of the process from which all of the program's processes descend, or None until known.
    read: descriptor -> what came from it.
  """

  def __init__(self, process, pipes, limits, started, is_isolated):
    self.process, self.pipes, self.limits, self.is_isolated = process, pipes, limits, is_isolated
    self.first = None if is_isolated else process.pid
    self.deadline = started + limits.wall_seconds
    self.next_look = started + _FIRST_LOOK_SECONDS
    self.read = {fd: bytearray() for fd in dataclasses.astuple(pipes)}

  def follow(self) -> str:
    """Returns why the program must be stopped, or '' when it has ended by itself."""
    with selectors.DefaultSelector() as selector:
      for fd in self.read:
        os.set_blocking(fd, False)
        selector.register(fd, selectors.EVENT_READ)
      while self.pipes.status in selector.get_map():
        wait = min(self.deadline, self.next_look) - time.monotonic()
        for key, _ in selector.select(max(0.0, wait)):
          if not self._take(key.fd):
            selector.unregister(key.fd)
        if reason := self._too_much_output() or self._too_long() or self._too_much_used():
          return reason
    return ''

  def end(self) -> None:
    """Ends all remaining processes and waits for them."""
    with contextlib.suppress(ProcessLookupError):
      if not self.is_isolated:
        os.killpg(self.process.pid, signal.SIGKILL)
      elif self.first is not None and self.process.poll() is None:
        # The kernel ends a process namespace with its first process, before bubblewrap hears of it.
        os.kill(self.first, signal.SIGKILL)
      else:
        self.process.kill()
    try:
      self.process.wait(timeout=5)
    except subprocess.TimeoutExpired:
      self.process.kill()
      self.process.wait()

  def drain(self) -> None:
    """Reads the rest of the output."""
    for fd in self.read:
      while not self._too_much_output() and self._take(fd):
        pass

  def began(self) -> bool:
    return self.read[self.pipes.report].startswith(BEGINS)

  def _take(self, fd: int) -> bool:
    """Reads a chunk; returns whether there may be more."""
    try:
      data = os.read(fd, _CHUNK_BYTES)
    except BlockingIOError:
      return False
    kept = self.read[fd]
    room = self.limits.output_bytes if fd in (self.pipes.stdout, self.pipes.stderr) else _LONGEST_REPORT_BYTES
    kept += data[: room + 1 - len(kept)]
    if fd == self.pipes.status and self.first is None:
      self.first = _first_process(kept)
    return bool(data)

  def _too_much_output(self) -> str:
    written_bytes = len(self.read[self.pipes.stdout]) + len(self.read[self.pipes.stderr])
    return 'too much output' if written_bytes > self.limits.output_bytes else ''

  def _too_long(self) -> str:
    return 'timed out' if time.monotonic() >= self.deadline else ''

  def _too_much_used(self) -> str:
    if time.monotonic() < self.next_look or self.first is None:
      return ''
    self.next_look = time.monotonic() + _LOOK_SECONDS
    usage = usage_of(self.first)
    if usage.cpu_seconds > self.limits.cpu_seconds:
      return 'timed out'
    if usage.threads > self.limits.processes + _LAUNCHER:
      return 'failed'
    if usage.resident_bytes > self.limits.memory_bytes and self._resident_bytes() > self.limits.memory_bytes:
      return 'out of memory'
    if self.is_isolated and self.began():  # before, the first process may still see this machine's folders
      for folder in (FOLDER, SHARED_MEMORY):
        in_bytes, files = written(self.first, folder)
        if in_bytes > self.limits.file_bytes or files > _MOST_FILES:
          return 'too much output'
    return ''

  def _resident_bytes(self) -> int:
    try:
      return unshared_bytes(self.first)
    except PermissionError:
      return usage_of(self.first).resident_bytes


def _first_process(status: bytes) -> int | None:
  for line in bytes(status).splitlines(keepends=True):
    if line.endswith(b'\n') and b'child-pid' in line:
      return json.loads(line)['child-pid']
  return None
