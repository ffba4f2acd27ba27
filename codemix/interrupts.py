"""Ctrl-C reaches the program, wherever it arrives."""

from __future__ import annotations

import signal
import sys
import threading

AGAIN_S = 0.05


def keep() -> None:
  """Raises KeyboardInterrupt again where Python would drop it: in a destructor or a callback of the garbage collector.

  JAX has such a callback, which runs at each collection.
  """
  report = sys.unraisablehook

  def hook(unraisable) -> None:
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
      again = threading.Timer(AGAIN_S, _interrupt)
      again.daemon = True
      again.start()
    else:
      report(unraisable)

  sys.unraisablehook = hook


def _interrupt() -> None:
  signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # ends a wait for a lock, too
