"""Says now and then that a long call is still at work."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

EVERY_S = 20.0


@contextlib.contextmanager
def still_at_work(what: str, show: Callable[[str], None], every: float = EVERY_S) -> Iterator[None]:
  """Shows `what` at the beginning, with the seconds every so often, and with their sum at the end.

  Args:
    what: as in 'compiling the train step'.
    show: takes a line.
    every: seconds between two lines.
  """
  done = threading.Event()
  began = time.perf_counter()

  def tell() -> None:
    while not done.wait(every):
      show(f'{what} ... {time.perf_counter() - began:.0f} s')

  show(f'{what} ...')
  teller = threading.Thread(target=tell, daemon=True)
  teller.start()
  try:
    yield
  finally:
    done.set()
    teller.join()
  show(f'{what}: {time.perf_counter() - began:.1f} s')
