"""A relay to process 0 that stays open when process 0 is killed.

When its connection to the coordination service breaks, JAX's client aborts the process from a C++
thread, with a stack trace and exit code 134. No Python hook can come first: jaxlib cannot convert the
argument of `missed_heartbeat_callback`. The relay holds this connection open, so that
`codemix.parallel.peers` has time to report which process was lost.

The relay is a process of its own, since some calls of JAX wait for the coordination service while they
hold the GIL. It runs this file as a script, without the rest of codemix.
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
  """Starts a relay from a port of this machine, which it returns, to `host:port`; it ends with this process.

  Args:
    timeout_s: seconds for which each connection to `host:port` is tried.
  """
  relay = subprocess.Popen(
    [sys.executable, '-I', '-S', __file__, host, str(port), str(timeout_s)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  )
  _alive.append(relay)
  return int(relay.stdout.readline())


_alive: list[subprocess.Popen] = []  # the relay runs until its stdin closes, as at garbage collection


def _main(host: str, port: str, timeout_s: str) -> None:
  for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)  # launchers signal all processes; the relay ends with its parent
  server = socket.create_server((LOCALHOST, 0))
  print(server.getsockname()[1], flush=True)
  _start(_serve, server, host, int(port), float(timeout_s))
  sys.stdin.read()  # until the parent ends


def _serve(server: socket.socket, host: str, port: int, timeout_s: float) -> None:
  while True:
    near, _ = server.accept()
    if far := _connect(host, port, timeout_s):
      for end in (near, far):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
      _start(_pass_on, near, far)
      _start(_pass_on, far, near)


def _connect(host: str, port: int, timeout_s: float) -> socket.socket | None:
  """None: there was no connection in time, which JAX reports after a limit of its own."""
  deadline = time.monotonic() + timeout_s
  while time.monotonic() < deadline:
    with contextlib.suppress(OSError):
      return socket.create_connection((host, port))
    time.sleep(AGAIN_S)
  return None


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
  """Passes bytes on, but not the end of the stream."""
  with contextlib.suppress(OSError):
    while piece := source.recv(PIECE):
      sink.sendall(piece)


def _start(work: Callable[..., None], *arguments: object) -> None:
  threading.Thread(target=work, args=arguments, daemon=True).start()


if __name__ == '__main__':
  _main(*sys.argv[1:])
