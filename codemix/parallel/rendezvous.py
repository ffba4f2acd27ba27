"""A roll call before a run of several processes: all are there, or the missing ones are named.

Process 0 listens. Each other process says in one line of JSON which one it is, and where; when all
are there, or when something is wrong, each gets one line: GO and who they are, or the kind of
error and its message. The connections are then those of `codemix.parallel.peers`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from codemix.errors import CodemixError, UserError

GO = 'go'
RETRY_SECONDS = 0.2
LINE_SECONDS = 5  # a caller that says nothing for so long is not one of ours
BIND_SECONDS = 10  # the port of a run that is just ending comes free within this
LONGEST_LINE = 2**24  # bytes
SHOWN = 16  # missing processes that a message lists

Result = TypeVar('Result')


@dataclasses.dataclass(frozen=True)
class Present:
  """Processes that have all reported.

  Attributes:
    connections: process 0's to each other one by number; every other one's to process 0.
    names: of all by number, such as 'process 1 (on node-7, pid 4711)'.
  """

  connections: Mapping[int, socket.socket]
  names: Mapping[int, str]


def call(port: int, count: int, timeout_s: float) -> Present:
  """As process 0: waits until the other `count - 1` processes have reported.

  Raises:
    CodemixError: some did not come within `timeout_s` seconds.
    UserError: two processes have the same number or do not agree on `count`; the port is taken.
  """
  deadline = time.monotonic() + timeout_s
  callers: dict[int, socket.socket] = {}
  with _listen(port, count) as server, contextlib.ExitStack() as unless_all_come:
    names = {0: _name(0)}
    reported: list[socket.socket] = []
    try:
      while len(names) < count:
        try:
          caller = _accept(server, deadline)
        except TimeoutError:
          raise CodemixError(_missing_message(names, count, timeout_s)) from None
        unless_all_come.callback(caller.close)
        if (hello := _read_hello(caller)) is None:
          caller.close()
          continue
        reported.append(caller)
        index, its_count, name = hello
        if index in callers and _has_ended(callers[index]):  # it was killed and started again
          names.pop(index)
        _check_number(index, its_count, name, names, count)
        callers[index], names[index] = caller, name
    except CodemixError as error:
      _tell(reported, f'{type(error).__name__} {error}')
      raise
    _tell(reported, f'{GO} {json.dumps(names)}')
    unless_all_come.pop_all()
  return Present(callers, names)


def report(host: str, port: int, count: int, index: int, timeout_s: float) -> Present:
  """As any other process: reports to process 0 and waits for its word.

  Raises:
    CodemixError: process 0 cannot be reached within `timeout_s` seconds, or some did not come.
    UserError: what is one on process 0, so that all end with the same exit code.
  """
  try:
    connection = _retry(lambda: socket.create_connection((host, port), LINE_SECONDS), timeout_s)
  except OSError as error:
    raise CodemixError(
      f'process {index} did not reach process 0 at {host}:{port} in {timeout_s:g} s ({error}): '
      'is it running, and is the address right?'
    ) from error
  connection.settimeout(timeout_s + LINE_SECONDS)  # process 0 answers before its own limit
  try:
    connection.sendall(json.dumps([index, count, _name(index)]).encode() + b'\n')
    word = _read_line(connection)
  except OSError:
    word = ''
  kind, _, message = word.partition(' ')
  if kind == GO:
    names = {int(number): name for number, name in json.loads(message).items()}
    return Present({0: connection}, names)
  connection.close()
  error = UserError if kind == UserError.__name__ else CodemixError
  raise error(message or f'process 0 at {host}:{port} ended during start-up: see its log.')


def _retry(action: Callable[[], Result], seconds: float) -> Result:
  """`action()`, again and again while it raises OSError, for so many seconds."""
  deadline = time.monotonic() + seconds
  while True:
    try:
      return action()
    except OSError:
      if time.monotonic() > deadline:
        raise
      time.sleep(RETRY_SECONDS)


def _listen(port: int, count: int) -> socket.socket:
  family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
  dualstack = family == socket.AF_INET6
  bind = lambda: socket.create_server(
    ('', port), family=family, backlog=count, dualstack_ipv6=dualstack
  )
  try:
    return _retry(bind, BIND_SECONDS)
  except OSError as error:
    reason = 'is in use' if error.errno == errno.EADDRINUSE else f'cannot be opened ({error})'
    raise UserError(
      f'port {port} {reason} on process 0: choose another coordinator port.'
    ) from error


def _accept(server: socket.socket, deadline: float) -> socket.socket:
  # A socket's limit of 0 would mean "do not block", and a negative one is an error.
  server.settimeout(max(deadline - time.monotonic(), 0.001))
  return server.accept()[0]


def _name(index: int) -> str:
  return f'process {index} (on {socket.gethostname()}, pid {os.getpid()})'


def _read_hello(caller: socket.socket) -> tuple[int, int, str] | None:
  """A caller's number, the number of processes it knows of, and its name; None: not one of ours."""
  caller.settimeout(LINE_SECONDS)
  try:
    index, count, name = json.loads(_read_line(caller))
    return int(index), int(count), str(name)
  except (OSError, ValueError, TypeError):
    return None


def _read_line(connection: socket.socket) -> str:
  """A line, and nothing of what comes after it: that is for others to read."""
  line = b''
  while len(line) < LONGEST_LINE and (byte := connection.recv(1)) not in (b'', b'\n'):
    line += byte
  return line.decode()


def _has_ended(caller: socket.socket) -> bool:
  """Whether the process at the other end, which says nothing after its hello, has gone."""
  caller.setblocking(False)
  try:
    return caller.recv(1, socket.MSG_PEEK) == b''
  except BlockingIOError:
    return False
  except OSError:
    return True
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


def _missing_message(present: Iterable[int], count: int, timeout_s: float) -> str:
  missing = sorted(set(range(count)) - set(present))
  listing = ', '.join(map(str, missing[:SHOWN])) + (', ...' if missing[SHOWN:] else '')
  return (
    f'{count - len(missing)} of {count} processes joined in {timeout_s:g} s; missing: {listing}.'
  )


def _tell(callers: Sequence[socket.socket], word: str) -> None:
  for caller in callers:
    with contextlib.suppress(OSError):  # it has ended meanwhile, and JAX's heartbeat will say so
      caller.sendall(word.encode() + b'\n')
