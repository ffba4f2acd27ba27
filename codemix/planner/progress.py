"""Shows that a long call is still running."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from codemix.repeating import repeating


@contextlib.contextmanager
def still_at_work(what: str, show: Callable[[str], None], every_s: float = 20.0) -> Iterator[None]:
  """Shows `what` at the beginning, every `every_s` seconds with the time so far, and when it succeeded."""
  began = time.perf_counter()
  show(f'{what} ...')
  with repeating(lambda: show(f'{what} ... {time.perf_counter() - began:.0f} s'), every_s):
    yield
  show(f'{what}: {time.perf_counter() - began:.1f} s')
