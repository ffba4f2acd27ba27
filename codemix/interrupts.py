"""Signals: Ctrl-C reaches the program, wherever it arrives; others have a handler for a while."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

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


@contextlib.contextmanager
def handled(number: int, handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
  """Handles a signal in this context; outside of the main thread, where Python allows no handlers, it does nothing."""
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  before = signal.signal(number, handler)
  try:
    yield
  finally:
    signal.signal(number, before)


def _interrupt() -> None:
  signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # ends a wait for a lock, too
