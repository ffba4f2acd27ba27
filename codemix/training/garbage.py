"""Python's garbage collector, kept from stopping steps."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def frozen_gc() -> Iterator[None]:
  """Lets the collector search only what comes into being from here on.

  Else the objects that a save makes set off, now and then, a search through all that JAX and the
  other packages hold: 0.1 s and more in which no step can be started, on any of the hosts that
  wait for this one.
  """
  gc.collect()
  gc.freeze()
  try:
    yield
  finally:
    gc.unfreeze()
