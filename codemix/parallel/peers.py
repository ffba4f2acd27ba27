"""What the processes of a run learn of each other while it lasts: who has ended, how, and who is silent.

The connections of the rendezvous stay open. Over them each process sends process 0 a sign of life, and
at its end its exit code. Process 0 sends signs of life to all, and forwards what it learns. A connection
that closes without an exit code was that of a killed process. A process that learns of a lost or failed
one prints a line and exits with the matching code, before JAX ends it with a stack trace of C++, exit
code 134, and no name.

With their signs of life processes say where in the run they are (`codemix.parallel.watchdog`). When all
have been at their places for too long, process 0 names the one that is behind, and all write their
stacks and exit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import json
import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from codemix.errors import PeerEnded, Preempted

TICK_S = 0.5
STACKS_S = 1.0  # in which all write their stacks: the first exit makes the collectives of the others fail
ALIVE = b'\n'
PLACE = 'place'  # key of a message with a process's place
SHOWN = 4  # processes that a message names

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
    stuck: whether it stands still; then `reason` is a whole sentence, and all processes write their stacks.
  """

  process: int
  exit_code: int
  reason: str
  stuck: bool = False


@dataclasses.dataclass(frozen=True)
class Place:
  """Where in the run a process is.

  Attributes:
    number: of the place; all processes come to the same ones in the same order.
    what: in words.
    hint: a sentence for the case that all processes stay there.
    spent_s: seconds since the process came there.
    overdue: whether that is too long.
    line: where its main thread is, such as 'array.py:645 in _value'; '' if it is not overdue.
    waits: whether the main thread is in a call that waits for other processes.
  """

  number: int
  what: str
  hint: str
  spent_s: float
  overdue: bool
  line: str = ''
  waits: bool = False


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
    self._places: dict[int, Place | None] = {}
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

  def report_place(self, place: Place | None) -> None:
    """Says where in the run this process is; None if it is not watched."""
    before = self._places.get(self._index)
    self._places[self._index] = place
    if (place and place.overdue) != (before and before.overdue):  # else with the next sign of life
      self._send(None)

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
        self._read(number, json.loads(line))
      if not piece:
        self._record(_lost(number, 'was killed, or its machine was lost'))
        del self._open[number]
        return

  def _read(self, number: int, message: dict) -> None:
    if PLACE in message:
      place = message[PLACE]
      self._places[number] = place and Place(**place)
    else:
      self._record(End(**message))

  def _record(self, end: End) -> None:
    with self._changing:
      if self._ends.setdefault(end.process, end) is not end:
        return  # the first report counts: the connection closes after it
    if end.stuck:
      dump_stacks()
    if self._index == 0:
      self._send(end, but=None if end.stuck else end.process)

  def _watch(self) -> None:
    """Sends signs of life, and ends this process some time after another one has failed."""
    sent, failed = 0.0, None
    while True:
      now = time.monotonic()
      if now - sent > self.silence_s / 10:
        self._send(None)
        sent = now
      if self._index == 0 and (stuck := stuck_end([self._places.get(number) for number in sorted(self._names)], self._names)):
        self._record(stuck)
      end = next((end for end in list(self._ends.values()) if end.exit_code), None)
      if end and not self._leaving.is_set():
        failed = failed or now
        if now - failed >= GRACE_S.get(end.exit_code, USUAL_GRACE_S):
          self._follow(end)
      time.sleep(TICK_S / 2)

  def _follow(self, end: End) -> None:
    """Ends this process because another one has ended."""
    self._leaving.set()
    code, name = end.exit_code, '' if end.stuck else f'{self._names[end.process]} '
    advice = ' Start all processes again: the same command goes on from the last checkpoint.'
    reason = end.reason.rstrip('.') + '.' + (advice if code == PeerEnded.exit_code else '')
    print(f'codemix: {name}{reason}', file=sys.stderr, flush=True)
    if end.stuck:
      time.sleep(STACKS_S)
    with contextlib.suppress(OSError, ValueError):
      sys.stdout.flush()
    self._send(End(self._index, code, f'ended with exit code {code}, because {name}{end.reason}'))
    os._exit(code)

  def _send(self, end: End | None, but: int | None = None) -> None:
    """Sends all others an end, or a sign of life, with which process 0 learns where this one is."""
    place = self._places.get(self._index)
    message = dataclasses.asdict(end) if end else {PLACE: place and dataclasses.asdict(place)}
    line = ALIVE if self._index == 0 and not end else json.dumps(message).encode() + b'\n'
    with self._sending:
      for number, connection in list(self._open.items()):
        with contextlib.suppress(OSError):  # the other end has closed, and its listener records that
          if number != but:
            connection.sendall(line)


def stuck_end(places: Sequence[Place | None], names: Mapping[int, str]) -> End | None:
  """The end of a run of which every process is overdue at its place; None if one is not.

  Args:
    places: by number of the process; None for one that is not watched.
  """
  if not all(place and place.overdue for place in places):
    return None
  # At one place, those are behind that do not wait for others.
  order = lambda place: (place.number, place.waits)
  first, last = min(places, key=order), max(places, key=order)
  if order(first) == order(last):
    behind = range(len(places))
    said = f'all {len(places)} processes have been at {first.what} for {first.spent_s:,.0f} s, and count as stuck: {_lines(places)}. {first.hint}'
  else:
    behind = [number for number, place in enumerate(places) if order(place) == order(first)]
    who = ', '.join(names[number] for number in behind[:SHOWN]) + (f' and {len(behind) - SHOWN} more' if behind[SHOWN:] else '')
    verb, came = ('is', 'it has') if len(behind) == 1 else ('are', 'they have')
    there = last.what if last.number > first.number else 'that place'
    said = f'{who} {verb} behind: {came} been at {first.what} for {first.spent_s:,.0f} s (in {first.line}), while others wait at {there}'
  stacks = 'The stacks of all threads are above, in the log of each process'
  return End(behind[0], PeerEnded.exit_code, f'{said.strip().rstrip(".")}. {stacks}', stuck=True)


def _lines(places: Sequence[Place]) -> str:
  """Where the processes are in the code, the rarest line first: those that wait for it are together."""
  at = Counter(place.line for place in places)
  rarest = sorted(at, key=at.__getitem__)
  numbers = {line: [number for number, place in enumerate(places) if place.line == line] for line in rarest[:SHOWN]}
  return '; '.join(
    f'process{"es"[: 2 * (len(those) > 1)]} {", ".join(map(str, those[:SHOWN]))}{f" and {len(those) - SHOWN} more" if those[SHOWN:] else ""} in {line}'
    for line, those in numbers.items()
  )


def dump_stacks() -> None:
  """Writes the Python stacks of all threads to stderr, also while one of them waits in C++."""
  with contextlib.suppress(OSError, ValueError, AttributeError):  # a stderr that is closed
    sys.stderr.flush()
    faulthandler.dump_traceback(file=sys.__stderr__, all_threads=True)


def _lost(process: int, reason: str) -> End:
  return End(process, PeerEnded.exit_code, reason)
