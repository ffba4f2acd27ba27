"""A way to process 0 that stays open when process 0 is killed.

The moment its connection to the coordination service breaks, JAX's client aborts the process from a
thread of C++, with a stack trace and exit code 134, and offers no hook that could come first (that of
`missed_heartbeat_callback` cannot be a Python function: jaxlib does not convert its argument). Through
the relay this connection is one inside the process, which does not break, so `codemix.parallel.peers`
has the time to say which process was lost.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from codemix.parallel.roll_call import retry

LOCALHOST = '127.0.0.1'
PIECE = 2**16  # bytes


def open_relay(host: str, port: int, timeout_s: float) -> int:
  """Passes on what is sent to a port of this machine, for as long as the process lives.

  Args:
    host, port: where to.
    timeout_s: seconds for which a connection to there is tried, from when the first one is asked for.

  Returns:
    the port, of LOCALHOST.
  """
  server = socket.create_server((LOCALHOST, 0))
  _start(_serve, server, host, port, timeout_s)
  return server.getsockname()[1]


def _serve(server: socket.socket, host: str, port: int, timeout_s: float) -> None:
  while True:
    near, _ = server.accept()
    try:
      far = retry(lambda: socket.create_connection((host, port)), timeout_s)
    except OSError:  # JAX has a limit of its own, and says that it has passed
      continue
    for end in (near, far):
      end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _start(_pass_on, near, far)
    _start(_pass_on, far, near)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
  """Passes on bytes, but never the end of them."""
  with contextlib.suppress(OSError):
    while piece := source.recv(PIECE):
      sink.sendall(piece)


def _start(work: Callable[..., None], *arguments: object) -> None:
  threading.Thread(target=work, args=arguments, name='relay to process 0', daemon=True).start()
