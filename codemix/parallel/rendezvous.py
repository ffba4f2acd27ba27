"""The rendezvous before a run of several processes: all join, or an error names the missing ones.

Process 0 listens. Each other process sends its number and name in a line of JSON. When all have joined,
or something is wrong, each gets a line back: GO and all names, or the type of an error and its message.
The connections are then used by `codemix.parallel.peers`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from codemix.errors import CodemixError, PeerEnded, UserError

GO = 'go'
RETRY_SECONDS = 0.2
LINE_SECONDS = 5  # a caller that is silent for so long is not a process of the run
BIND_SECONDS = 10  # in which the port of a run that is ending becomes free
LONGEST_LINE = 2**24  # bytes
SHOWN = 16  # missing processes that a message lists

Result = TypeVar('Result')
# Connections by process number (process 0's to all others, another's to process 0), and the names of all
# processes by number, such as 'process 1 (on node-7, pid 4711)'.
Members = tuple[Mapping[int, socket.socket], Mapping[int, str]]


def lead(port: int, count: int, timeout_s: float) -> Members:
  """As process 0: waits until the other `count - 1` processes have joined.

  Raises:
    PeerEnded: some did not join within `timeout_s` seconds.
    UserError: two processes have the same number or do not agree on `count`; the port is taken.
  """
  deadline = time.monotonic() + timeout_s
  members: dict[int, socket.socket] = {}
  names = {0: _name(0)}
  callers: list[socket.socket] = []
  with _listen(port, count) as server:
    try:
      while len(names) < count:
        server.settimeout(max(deadline - time.monotonic(), 0.001))  # 0 would mean "do not block"
        try:
          caller, _ = server.accept()
        except TimeoutError:
          raise PeerEnded(_missing_message(names, count, timeout_s)) from None
        if (hello := _read_hello(caller)) is None:
          caller.close()
          continue
        callers.append(caller)
        index, its_count, name = hello
        if index in members and _has_ended(members[index]):  # it was killed and started again
          del names[index]
        _check_number(index, its_count, name, names, count)
        members[index], names[index] = caller, name
    except CodemixError as error:
      _answer(callers, f'{type(error).__name__} {error}')
      for caller in callers:
        caller.close()
      raise
    _answer(callers, f'{GO} {json.dumps(names)}')
  return members, names


def join(host: str, port: int, count: int, index: int, timeout_s: float) -> Members:
  """As any other process: joins process 0 and waits for its answer.

  Raises:
    PeerEnded: process 0 cannot be reached within `timeout_s` seconds, or some did not join.
    UserError: that of process 0, so that all exit with the same code.
  """
  try:
    connection = _retry(lambda: socket.create_connection((host, port), LINE_SECONDS), timeout_s)
  except OSError as error:
    raise PeerEnded(
      f'process {index} did not reach process 0 at {host}:{port} in {timeout_s:g} s ({error}): '
      'is it running, and is the address right?'
    ) from error
  connection.settimeout(timeout_s + LINE_SECONDS)  # process 0 answers before its own limit
  try:
    connection.sendall(json.dumps([index, count, _name(index)]).encode() + b'\n')
    answer = _read_line(connection)
  except OSError:
    answer = ''
  kind, _, message = answer.partition(' ')
  if kind == GO:
    return {0: connection}, {int(number): name for number, name in json.loads(message).items()}
  connection.close()
  error = UserError if kind == UserError.__name__ else PeerEnded
  raise error(message or f'process 0 at {host}:{port} ended during start-up: see its log.')


def _retry(action: Callable[[], Result], seconds: float) -> Result:
  """`action()`, repeated for up to `seconds` seconds while it raises OSError."""
  deadline = time.monotonic() + seconds
  while True:
    try:
      return action()
    except OSError:
      if time.monotonic() > deadline:
        raise
      time.sleep(RETRY_SECONDS)


def _listen(port: int, count: int) -> socket.socket:
  both = socket.has_dualstack_ipv6()
  family = socket.AF_INET6 if both else socket.AF_INET
  bind = lambda: socket.create_server(('', port), family=family, backlog=count, dualstack_ipv6=both)
  try:
    return _retry(bind, BIND_SECONDS)
  except OSError as error:
    reason = 'is in use' if error.errno == errno.EADDRINUSE else f'cannot be opened ({error})'
    raise UserError(f'port {port} {reason} on process 0: choose another coordinator port.') from error


def _name(index: int) -> str:
  return f'process {index} (on {socket.gethostname()}, pid {os.getpid()})'


def _read_hello(caller: socket.socket) -> tuple[int, int, str] | None:
  """A caller's number, the number of processes it knows of, and its name; None: it is not of the run."""
  caller.settimeout(LINE_SECONDS)
  try:
    index, count, name = json.loads(_read_line(caller))
    return int(index), int(count), str(name)
  except (OSError, ValueError, TypeError):
    return None


def _read_line(connection: socket.socket) -> str:
  """A line, and no byte after it: those are for `Peers`."""
  line = b''
  while len(line) < LONGEST_LINE and (byte := connection.recv(1)) not in (b'', b'\n'):
    line += byte
  return line.decode()


def _has_ended(caller: socket.socket) -> bool:
  """Whether the process at the other end, which sends nothing after its hello, has exited."""
  caller.setblocking(False)
  try:
    return caller.recv(1, socket.MSG_PEEK) == b''
  except OSError as error:
    return not isinstance(error, BlockingIOError)
  finally:
    caller.settimeout(LINE_SECONDS)


def _check_number(index: int, its_count: int, name: str, names: Mapping[int, str], count: int) -> None:
  if its_count != count:
    raise UserError(
      f'{name} was started as one of {its_count}, process 0 as one of {count}: '
      'give all the same number of processes.'
    )
  if index in names:
    raise UserError(f'two processes were started as number {index}: give each its own.')


def _missing_message(present: Mapping[int, str], count: int, timeout_s: float) -> str:
  missing = sorted(set(range(count)) - set(present))
  listing = ', '.join(map(str, missing[:SHOWN])) + (', ...' if missing[SHOWN:] else '')
  return f'{len(present)} of {count} processes joined in {timeout_s:g} s; missing: {listing}.'


def _answer(callers: Sequence[socket.socket], line: str) -> None:
  for caller in callers:
    with contextlib.suppress(OSError):  # it has ended meanwhile, which `Peers` will report
      caller.sendall(line.encode() + b'\n')
