"""Folders whose names Orbax would misread."""

from __future__ import annotations

import contextlib
import glob
import tempfile
from collections.abc import Iterator
from pathlib import Path

from etils import epath

from codemix.storage import is_remote, make_folder


@contextlib.contextmanager
def safe_for_orbax(folder: Path) -> Iterator[Path | epath.Path]:
  """Yields the folder, or a link to it if Orbax would read its name as a pattern or URL.

  For a folder `run[12]` Orbax would collect the parts of a checkpoint in `run1`, or none.
  """
  if is_remote(folder):
    yield epath.Path(str(folder))
    return
  if not (glob.has_magic(str(folder)) or any(odd in str(folder) for odd in ('\\', ':/')) or not _is_text(folder)):
    yield folder
    return
  make_folder(folder)
  with tempfile.TemporaryDirectory(prefix='codemix-checkpoints-') as place:
    link = Path(place) / folder.name
    link.symlink_to(folder, target_is_directory=True)
    yield link


def _is_text(path: Path) -> bool:
  try:
    str(path).encode()
  except UnicodeEncodeError:
    return False
  return True
