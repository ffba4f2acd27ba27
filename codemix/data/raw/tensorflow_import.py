"""Imports TensorFlow quietly and without GPUs: codemix reads files with it, and computes with JAX."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from codemix.errors import UserError
from codemix.terminal import is_verbose

_PACKAGES = ('seqio', 'tensorflow', 'tensorflow_datasets', 'tensorflow_text')


@contextlib.contextmanager
def suppress_stderr() -> Iterator[None]:
  """Drops what TensorFlow writes to stderr while it is imported, and hides GPUs from it.

  It writes before its log level can be set. It writes again when it first looks for devices, and it
  takes all memory of a GPU, which JAX needs: so it looks here, and finds none.

  Raises UserError: SeqIO or TensorFlow is not installed.
  """
  sys.stderr.flush()
  stderr, nowhere = os.dup(2), os.dup(2) if is_verbose() else os.open(os.devnull, os.O_WRONLY)
  os.dup2(nowhere, 2)
  try:
    yield
    if tensorflow := sys.modules.get('tensorflow'):
      with contextlib.suppress(RuntimeError):  # the program used TensorFlow before, and decides on its devices
        tensorflow.config.set_visible_devices([], 'GPU')
  except ModuleNotFoundError as error:
    if error.name not in _PACKAGES:
      raise
    raise UserError(
      f'{error.name} is not installed, which SeqIO tasks, SeqIO mixtures, TFRecords and Tfds need: pip install {error.name.replace("_", "-")}.'
    ) from None
  finally:
    os.dup2(stderr, 2)
    os.close(stderr)
    os.close(nowhere)
