"""Starts the processes of runs as forks of one that has imported everything, which saves the seconds of the imports.

    python -m tests.faults.campaign.zygote

It reads an order as JSON from each line of its input, and answers with the process's id, then with its end.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping

from tests.faults import runs

POLL_S = 0.02
WITHOUT_THREADS = {'JE_ARROW_MALLOC_CONF': 'background_thread:false', 'OPENBLAS_NUM_THREADS': '1'}  # of pyarrow, and of numpy


class Zygote:
  """The process that forks, as seen by the one that gives the orders."""

  def __init__(self, environment: Mapping[str, str]):
    self._process = subprocess.Popen(
      [sys.executable, '-m', __name__], cwd=runs.ROOT, env={**environment, **WITHOUT_THREADS}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    self._changed = threading.Condition()
    self._started: list[int] = []
    self._ends: dict[int, int] = {}
    threading.Thread(target=self._listen, daemon=True).start()

  def start(self, order: Mapping[str, object]) -> int:
    """Starts a process; returns its id."""
    with self._changed:
      known = len(self._started)
      self._process.stdin.write(json.dumps(order) + '\n')
      self._process.stdin.flush()
      if not self._changed.wait_for(lambda: len(self._started) > known, timeout=120):
        raise RuntimeError('the zygote does not answer')
      return self._started[-1]

  def end_of(self, pid: int, within_s: float = 0.0) -> int | None:
    """How a process ended, as `subprocess` gives it: minus the signal, if it was one; None: it has not."""
    with self._changed:
      self._changed.wait_for(lambda: pid in self._ends, timeout=within_s)
      return self._ends.get(pid)

  def close(self) -> None:
    self._process.stdin.close()
    self._process.wait()

  def _listen(self) -> None:
    for line in self._process.stdout:
      pid, *code = json.loads(line)
      with self._changed:
        if code:
          self._ends[pid] = code[0]
        else:
          self._ends.pop(pid, None)  # of an earlier process with this number
          self._started.append(pid)
        self._changed.notify_all()


@contextlib.contextmanager
def zygote(environment: Mapping[str, str]) -> Iterator[Zygote]:
  found = Zygote(environment)
  try:
    yield found
  finally:
    found.close()


def _import_all() -> None:
  """Imports what a run uses, and starts nothing: no backend of JAX, no loop of fsspec, no threads."""
  import gcsfs  # noqa: F401
  import jax.experimental.multihost_utils  # noqa: F401
  import pandas  # noqa: F401
  import pyarrow.parquet  # noqa: F401
  import upath.implementations.cloud  # noqa: F401

  import codemix.storage.lease
  import codemix.studies.runner  # noqa: F401
  from tests.faults.campaign import member

  if threads := os.listdir('/proc/self/task')[1:]:
    raise RuntimeError(f'{len(threads)} threads were started by imports, which a fork would lose')
  from codemix import cli

  cli.VERBS['member'] = 'one of several processes', ''
  sys.modules['codemix.commands.member'] = member


def _become_member(order: Mapping[str, object]) -> None:
  """In the fork: does what the command does."""
  from codemix import cli

  os.setsid()
  log = os.open(order['log'], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
  os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
  for stream in (1, 2):
    os.dup2(log, stream)
  sys.argv = ['codemix', 'member', json.dumps(order)]
  cli.entry()


def _main() -> None:
  _import_all()
  zygote_id, running = os.getpid(), set()
  try:
    _serve(running)
  finally:
    if os.getpid() == zygote_id:  # and not one of its forks
      for pid in running:
        os.kill(pid, 9)


def _serve(running: set[int]) -> None:
  """Obeys orders until its input ends, or nobody reads its answers."""
  unread = b''
  say = lambda *words: os.write(1, json.dumps(words).encode() + b'\n')
  while True:
    if select.select([0], [], [], POLL_S)[0]:
      piece = os.read(0, 2**16)
      if not piece:
        return
      *lines, unread = (unread + piece).split(b'\n')
      for line in lines:
        if not (pid := os.fork()):
          _become_member(json.loads(line))
        running.add(pid)
        say(pid)
    for pid in list(running):
      found, status = os.waitpid(pid, os.WNOHANG)
      if found:
        running.remove(pid)
        say(pid, os.waitstatus_to_exitcode(status))


if __name__ == '__main__':
  _main()
