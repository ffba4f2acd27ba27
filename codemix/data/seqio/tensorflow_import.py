"""TensorFlow as a reader of files alone: not to be seen on the terminal, and away from the accelerators."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from codemix.terminal import is_verbose


@contextlib.contextmanager
def suppress_stderr() -> Iterator[None]:
  """Drops what TensorFlow writes to stderr while it is imported, and hides GPUs from it.

  It writes before it can be told not to. When it looks for devices first, it writes again (that there
  is no CUDA, say), and on a GPU it takes all memory, which is JAX's: so it looks here, and finds none.
  """
  sys.stderr.flush()
  kept, nowhere = os.dup(2), os.dup(2) if is_verbose() else os.open(os.devnull, os.O_WRONLY)
  os.dup2(nowhere, 2)
  try:
    yield
    if tensorflow := sys.modules.get('tensorflow'):
      with contextlib.suppress(RuntimeError):  # the program has used it before: its devices are the program's affair
        tensorflow.config.set_visible_devices([], 'GPU')
  finally:
    os.dup2(kept, 2)
    os.close(kept)
    os.close(nowhere)
