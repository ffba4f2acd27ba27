"""Calls a function now and then while a block runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def repeating(function: Callable[[], None], every_s: float) -> Iterator[None]:
  """Calls `function` every `every_s` seconds, in a thread, until the block ends."""
  ended = threading.Event()

  def repeat() -> None:
    while not ended.wait(every_s):
      function()

  thread = threading.Thread(target=repeat, daemon=True)
  thread.start()
  try:
    yield
  finally:
    ended.set()
    thread.join()
