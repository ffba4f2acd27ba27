"""A way to process 0 that stays open when process 0 is killed.

The moment its connection to the coordination service breaks, JAX's client aborts the process from a
thread of C++, with a stack trace and exit code 134, and offers no hook that could come first (that of
`missed_heartbeat_callback` cannot be a Python function: jaxlib does not convert its argument). The
relay takes this connection, and does not break, so `codemix.parallel.peers` has the time to say which
process was lost.

It is a process of its own: some calls of JAX wait for the coordination service without letting go of
the interpreter, and a thread of the same one would then wait for them. As that process, this file is
run as a script, without the rest of codemix.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

LOCALHOST = '127.0.0.1'
PIECE = 2**16  # bytes
AGAIN_S = 0.1


def open_relay(host: str, port: int, timeout_s: float) -> int:
  """Starts a process that passes on what is sent to a port of this machine, for as long as this one lives.

  Args:
    host, port: where to.
    timeout_s: seconds for which a connection to there is tried, from when the first one is asked for.

  Returns:
    the port, of LOCALHOST.
  """
  relay = subprocess.Popen(
    [sys.executable, '-I', '-S', __file__, host, str(port), str(timeout_s)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  )
  _alive.append(relay)
  return int(relay.stdout.readline())


_alive: list[subprocess.Popen] = []  # an object that is let go of would close the relay's stdin, by which it lives


def _main(host: str, port: str, timeout_s: str) -> None:
  for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)  # a launcher sends them to all processes; this one ends with its parent
  server = socket.create_server((LOCALHOST, 0))
  print(server.getsockname()[1], flush=True)
  _start(_serve, server, host, int(port), float(timeout_s))
  sys.stdin.read()  # its end is that of the parent


def _serve(server: socket.socket, host: str, port: int, timeout_s: float) -> None:
  while True:
    near, _ = server.accept()
    if far := _connect(host, port, timeout_s):
      for end in (near, far):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
      _start(_pass_on, near, far)
      _start(_pass_on, far, near)


def _connect(host: str, port: int, timeout_s: float) -> socket.socket | None:
  """None: it was not there in time; JAX has a limit of its own, and says that it has passed."""
  deadline = time.monotonic() + timeout_s
  while time.monotonic() < deadline:
    with contextlib.suppress(OSError):
      return socket.create_connection((host, port))
    time.sleep(AGAIN_S)
  return None


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
  """Passes on bytes, but never the end of them."""
  with contextlib.suppress(OSError):
    while piece := source.recv(PIECE):
      sink.sendall(piece)


def _start(work: Callable[..., None], *arguments: object) -> None:
  threading.Thread(target=work, args=arguments, daemon=True).start()


if __name__ == '__main__':
  _main(*sys.argv[1:])
