"""A roll call before a run of several processes: all are there, or the missing ones are named.

Process 0 listens. Each other process says in one line of JSON which one it is; when all are there,
or when something is wrong, each is told so in one line: GO, or the kind of error and its message.

Afterwards nothing more is sent, but the connections stay open for as long as the processes live: so
process 0, on whose end JAX would end all others, can tell when they are gone.
"""

from __future__ import annotations

import contextlib
import errno
import json
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from codemix.errors import CodemixError, UserError

GO = 'go'
RETRY_SECONDS = 0.2
LINE_SECONDS = 5  # a caller that says nothing for so long is not one of ours
BIND_SECONDS = 10  # the port of a run that is just ending comes free within this
SHOWN = 16  # missing processes that a message lists

Result = TypeVar('Result')


def call(port: int, count: int, timeout_s: float) -> list[socket.socket]:
  """As process 0: waits until the other `count - 1` processes have reported.

  Returns: a connection to each of them, for `wait_for_ends`.

  Raises:
    CodemixError: some did not come within `timeout_s` seconds.
    UserError: two processes have the same number or do not agree on `count`; the port is taken.
  """
  deadline = time.monotonic() + timeout_s
  callers: list[socket.socket] = []
  with _listen(port, count) as server, contextlib.ExitStack() as unless_all_come:
    present = {0}
    try:
      while len(present) < count:
        try:
          caller = _accept(server, deadline)
        except TimeoutError:
          raise CodemixError(_missing_message(present, count, timeout_s)) from None
        unless_all_come.callback(caller.close)
        if (hello := _read_hello(caller)) is None:
          caller.close()
          continue
        callers.append(caller)
        present.add(_checked_number(*hello, present, count))
    except CodemixError as error:
      _tell(callers, f'{type(error).__name__} {error}')
      raise
    _tell(callers, GO)
    unless_all_come.pop_all()
  return callers


def report(host: str, port: int, count: int, index: int, timeout_s: float) -> socket.socket:
  """As any other process: reports to process 0 and waits for its word.

  Returns: the connection, to be kept open for as long as this process lives.

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
    connection.sendall(json.dumps([index, count]).encode() + b'\n')
    word = connection.makefile('r', encoding='utf-8').readline().strip()
  except OSError:
    word = ''
  if word == GO:
    return connection
  connection.close()
  kind, _, message = word.partition(' ')
  error = UserError if kind == UserError.__name__ else CodemixError
  raise error(message or f'process 0 at {host}:{port} ended during start-up: see its log.')


def wait_for_ends(connections: Iterable[socket.socket], timeout_s: float) -> None:
  """Waits until the processes at the other ends have ended, and no longer than `timeout_s` seconds."""
  deadline = time.monotonic() + timeout_s
  with selectors.DefaultSelector() as open_ones:
    for connection in connections:
      open_ones.register(connection, selectors.EVENT_READ)
    while open_ones.get_map() and (left := deadline - time.monotonic()) > 0:
      for key, _ in open_ones.select(left):  # nothing is sent any more, so what comes is the end
        open_ones.unregister(key.fileobj)


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


def _accept(server: socket.socket, deadline: float) -> socket.socket:
  # A socket's limit of 0 would mean "do not block", and a negative one is an error.
  server.settimeout(max(deadline - time.monotonic(), 0.001))
  return server.accept()[0]


def _read_hello(caller: socket.socket) -> tuple[int, int] | None:
  """A caller's number and the number of processes it knows of; None: not one of ours."""
  caller.settimeout(LINE_SECONDS)
  try:
    index, count = json.loads(caller.makefile('r', encoding='utf-8').readline())
    return int(index), int(count)
  except (OSError, ValueError, TypeError):
    return None


def _checked_number(index: int, its_count: int, present: Iterable[int], count: int) -> int:
  if its_count != count:
    raise UserError(
      f'process {index} was started as one of {its_count}, process 0 as one of {count}: '
      'give all the same number of processes.'
    )
  if index in present:
    raise UserError(f'two processes were started as number {index}: give each its own.')
  return index


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
