"""What the processes of a run hear of each other while it lasts: who has ended, how, and who is silent.

The connections of the roll call stay open. Over them each process reports to process 0 that it lives, and
with which exit code it ends; process 0 reports to each that it lives, and what it knows of the others.
A connection that ends without such a word was that of a process that was killed. Whoever hears that
another one is lost, or has failed, says so in a line and ends with the exit code that fits, before JAX
does so in its way: with a stack trace of C++, exit code 134, and no name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Iterable, Mapping

from codemix.errors import PeerEnded, Preempted

TICK_S = 0.5
ALIVE = b'\n'

# Seconds in which a process may come to its own end after another one ended with an error: an error
# that all meet, each reports itself; and a checkpoint at a stop must be saved by all.
GRACE_S = {PeerEnded.exit_code: 0.0, Preempted.exit_code: 60.0}
USUAL_GRACE_S = 5.0

@dataclasses.dataclass(frozen=True)
class End:
  """How a process ended.

  Attributes:
    process: its number.
    exit_code: its own, or that of `PeerEnded` where it did not say one.
    reason: in words.
  """

  process: int
  exit_code: int
  reason: str

  def line(self) -> bytes:
    return json.dumps(dataclasses.asdict(self)).encode() + b'\n'


class Peers:
  """The other processes, which a thread listens to until this process ends.

  Args:
    index: this process's number.
    connections: by number: process 0's to all others; every other's to process 0.
    names: of all processes by number, such as 'process 1 (node-7, pid 4711)'.
    silence_s: seconds without a word after which a process counts as lost.
  """

  def __init__(
    self, index: int, connections: Mapping[int, socket.socket], names: Mapping[int, str], silence_s: float
  ):
    self._index, self._names, self._silence_s = index, names, silence_s
    self._lines = {number: _Line(connection) for number, connection in connections.items()}
    self._ends: dict[int, End] = {}
    self._changing = threading.Lock()
    self._leaving = threading.Event()
    threading.Thread(target=self._listen, name='peers', daemon=True).start()

  def say_end(self, exit_code: int, reason: str) -> None:
    """Tells the others that this process ends, once; from then on they are not followed any more."""
    if not self._leaving.is_set():
      self._leaving.set()
      self._send(End(self._index, exit_code, f'ended with exit code {exit_code}: {reason}').line())

  def wait_for_ends(self, timeout_s: float) -> None:
    """Waits until the connections to all others have ended, and no longer than `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while any(line.open for line in self._lines.values()) and time.monotonic() < deadline:
      time.sleep(TICK_S / 10)

  def _listen(self) -> None:
    """Runs until the process ends."""
    with selectors.DefaultSelector() as open_ones:
      for number, line in self._lines.items():
        open_ones.register(line.connection, selectors.EVENT_READ, number)
      said = 0.0
      failed_since: float | None = None
      while True:
        began = time.monotonic()
        if open_ones.get_map():
          ready = [key.data for key, _ in open_ones.select(TICK_S)]
        else:
          ready = []
          time.sleep(TICK_S)
        for number in ready:
          self._hear(number)
          if not self._lines[number].open:
            open_ones.unregister(self._lines[number].connection)
        # While this process itself stood still it heard nobody: that time does not count.
        went_by = min(time.monotonic() - began, 2 * TICK_S)
        for number in self._lines.keys() - set(ready):
          self._note_silence(number, went_by)
        if time.monotonic() - said > self._silence_s / 10:
          self._send(ALIVE)
          said = time.monotonic()
        if (end := self._first_failure()) and not self._leaving.is_set():
          failed_since = failed_since or time.monotonic()
          if time.monotonic() - failed_since >= GRACE_S.get(end.exit_code, USUAL_GRACE_S):
            self._follow(end)

  def _hear(self, number: int) -> None:
    """Takes down what has come from a process; process 0 passes it on."""
    line = self._lines[number]
    for text in line.read():
      if text:
        self._take_down(End(**json.loads(text)))
    if not line.open:
      self._take_down(_lost(number, 'was killed, or its machine was lost'))

  def _note_silence(self, number: int, seconds: float) -> None:
    line = self._lines[number]
    line.silent_s += seconds
    if line.open and line.silent_s > self._silence_s:
      self._take_down(_lost(number, f'has given no sign of life for {self._silence_s:g} s'))

  def _take_down(self, end: End) -> None:
    with self._changing:
      if end.process in self._ends:  # the first word counts: an end that was said is followed by that of the connection
        return
      self._ends[end.process] = end
    if self._index == 0:
      self._send(end.line(), but=end.process)

  def _first_failure(self) -> End | None:
    return next((end for end in self._ends.values() if end.exit_code), None)

  def _follow(self, end: End) -> None:
    """Ends this process because another one has ended."""
    self._leaving.set()
    code = end.exit_code
    advice = ' Start all processes again: the same command goes on from the last checkpoint.'
    reason = end.reason.rstrip('.') + '.' + (advice if code == PeerEnded.exit_code else '')
    print(f'codemix: {self._names[end.process]} {reason}', file=sys.stderr, flush=True)
    with contextlib.suppress(OSError, ValueError):
      sys.stdout.flush()
    self._send(End(self._index, code, f'ended with exit code {code}, because {self._names[end.process]} {end.reason}').line())
    os._exit(code)

  def _send(self, data: bytes, but: int | None = None) -> None:
    for number, line in self._lines.items():
      if number != but and line.open:
        line.send(data)


class _Line:
  """A connection that is read line by line.

  Attributes:
    open: whether the other end has not ended yet.
    silent_s: seconds since something came from it.
  """

  def __init__(self, connection: socket.socket):
    connection.settimeout(TICK_S)  # of a send: what is sent is short, and a process that stands still takes it too
    self.connection = connection
    self.open, self.silent_s = True, 0.0
    self._unread = b''
    self._sending = threading.Lock()

  def read(self) -> Iterable[bytes]:
    """The lines that have come; to be called when something has."""
    try:
      piece = self.connection.recv(2**16)
    except TimeoutError:
      return ()
    except OSError:
      piece = b''
    self.silent_s = 0.0
    self.open = bool(piece)
    *lines, self._unread = (self._unread + piece).split(b'\n')
    return lines

  def send(self, data: bytes) -> None:
    with self._sending, contextlib.suppress(OSError):  # it has ended, and reading will say so
      self.connection.sendall(data)


def _lost(process: int, reason: str) -> End:
  return End(process, PeerEnded.exit_code, reason)
