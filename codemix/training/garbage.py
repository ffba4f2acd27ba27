"""Keeps Python's garbage collector from delaying steps."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def frozen_gc() -> Iterator[None]:
  """Freezes existing objects so that the GC scans only new ones.

  Without this, the objects that a save creates sometimes trigger a scan of everything that JAX and
  other packages hold. It takes 0.1 s or more, in which neither this host nor the hosts that wait
  for it start a step.
  """
  gc.collect()
  gc.freeze()
  try:
    yield
  finally:
    gc.unfreeze()
