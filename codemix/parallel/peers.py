"""What the processes of a run learn of each other while it lasts: who has ended, how, and who is silent.

The connections of the rendezvous stay open. Over them each process sends process 0 a sign of life, and
at its end its exit code. Process 0 sends signs of life to all, and forwards what it learns. A connection
that closes without an exit code was that of a killed process. A process that learns of a lost or failed
one prints a line and exits with the matching code, before JAX ends it with a stack trace of C++, exit
code 134, and no name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping

from codemix.errors import PeerEnded, Preempted

TICK_S = 0.5
ALIVE = b'\n'

# Seconds that a process may go on after another one has ended with an error: each reports an error
# that all of them meet, and all must save a checkpoint when one was asked to stop.
GRACE_S = {PeerEnded.exit_code: 0.0, Preempted.exit_code: 60.0}
USUAL_GRACE_S = 5.0


@dataclasses.dataclass(frozen=True)
class End:
  """How a process ended.

  Attributes:
    process: its number.
    exit_code: its own, or that of `PeerEnded` where it reported none.
    reason: in words.
  """

  process: int
  exit_code: int
  reason: str


class Peers:
  """The other processes, to which threads listen until this process exits.

  Args:
    index: this process's number.
    connections: by number: process 0's to all others; every other's to process 0.
    names: of all processes by number, such as 'process 1 (node-7, pid 4711)'.
    silence_s: seconds without a sign of life after which a process counts as lost.
  """

  def __init__(
    self, index: int, connections: Mapping[int, socket.socket], names: Mapping[int, str], silence_s: float
  ):
    self._index, self._names, self.silence_s = index, names, silence_s
    self._open = dict(connections)
    self._ends: dict[int, End] = {}
    self._changing, self._sending = threading.Lock(), threading.Lock()
    self._leaving = threading.Event()
    for number, connection in connections.items():
      connection.settimeout(TICK_S)
      threading.Thread(target=self._listen, args=(number, connection), daemon=True).start()
    threading.Thread(target=self._watch, daemon=True).start()

  def report_end(self, exit_code: int, reason: str) -> None:
    """Reports the end of this process to the others, once; from then on it does not follow theirs."""
    if not self._leaving.is_set():
      self._leaving.set()
      self._send(End(self._index, exit_code, f'ended with exit code {exit_code}: {reason}'))

  def wait_for_ends(self, timeout_s: float) -> None:
    """Waits until all connections have closed, for at most `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while self._open and time.monotonic() < deadline:
      time.sleep(TICK_S / 10)

  def _listen(self, number: int, connection: socket.socket) -> None:
    """Records what a process reports, until its connection closes."""
    unread, silent_s = b'', 0.0
    while True:
      began = time.monotonic()
      try:
        piece = connection.recv(2**16)
      except TimeoutError:
        # Time in which this process itself was stopped does not count.
        silent_s += min(time.monotonic() - began, 2 * TICK_S)
        if silent_s > self.silence_s:
          self._record(_lost(number, f'has given no sign of life for {self.silence_s:g} s'))
        continue
      except OSError:
        piece = b''
      silent_s = 0.0
      *lines, unread = (unread + piece).split(b'\n')
      for line in filter(None, lines):
        self._record(End(**json.loads(line)))
      if not piece:
        self._record(_lost(number, 'was killed, or its machine was lost'))
        del self._open[number]
        return

  def _record(self, end: End) -> None:
    with self._changing:
      if self._ends.setdefault(end.process, end) is not end:
        return  # the first report counts: the connection closes after it
    if self._index == 0:
      self._send(end, but=end.process)

  def _watch(self) -> None:
    """Sends signs of life, and ends this process some time after another one has failed."""
    sent, failed = 0.0, None
    while True:
      now = time.monotonic()
      if now - sent > self.silence_s / 10:
        self._send(None)
        sent = now
      end = next((end for end in list(self._ends.values()) if end.exit_code), None)
      if end and not self._leaving.is_set():
        failed = failed or now
        if now - failed >= GRACE_S.get(end.exit_code, USUAL_GRACE_S):
          self._follow(end)
      time.sleep(TICK_S / 2)

  def _follow(self, end: End) -> None:
    """Ends this process because another one has ended."""
    self._leaving.set()
    code, name = end.exit_code, self._names[end.process]
    advice = ' Start all processes again: the same command goes on from the last checkpoint.'
    reason = end.reason.rstrip('.') + '.' + (advice if code == PeerEnded.exit_code else '')
    print(f'codemix: {name} {reason}', file=sys.stderr, flush=True)
    with contextlib.suppress(OSError, ValueError):
      sys.stdout.flush()
    self._send(End(self._index, code, f'ended with exit code {code}, because {name} {end.reason}'))
    os._exit(code)

  def _send(self, end: End | None, but: int | None = None) -> None:
    """Sends all others an end, or a sign of life."""
    line = json.dumps(dataclasses.asdict(end)).encode() + b'\n' if end else ALIVE
    with self._sending:
      for number, connection in list(self._open.items()):
        with contextlib.suppress(OSError):  # the other end has closed, and its listener records that
          if number != but:
            connection.sendall(line)


def _lost(process: int, reason: str) -> End:
  return End(process, PeerEnded.exit_code, reason)
