"""A result folder that is whole or absent.

On a disk it is written beside its place, and renamed when it is complete. For a bucket it is written on the local disk, and uploaded
when it is complete; the file by which a result is known comes last.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from codemix.errors import UserError
from codemix.storage import is_remote, make_folder, put_folder, remove, require_writable, writing


@contextlib.contextmanager
def whole_folder(out: Path, overwrite: bool, made_by: str) -> Iterator[Path]:
  """Yields an empty folder that becomes `out` if nothing is raised, and is removed otherwise.

  Raises UserError: `out` exists, and may not be overwritten or is of something else.

  Args:
    overwrite: whether an earlier result is replaced.
    made_by: the name of a file by which an earlier result is known.
  """
  require_place(out, overwrite, made_by)
  if is_remote(out):
    with tempfile.TemporaryDirectory(prefix='codemix-') as place:
      yield (part := Path(place))
      remove(out / made_by)  # a folder without it is not taken for a result
      remove(out)
      put_folder(part, out, last=made_by)
    return
  part, old = (out.with_name(f'.{out.name}.{os.getpid()}.{what}') for what in ('part', 'old'))
  remove(part)
  make_folder(part)
  try:
    yield part
    with writing(out):
      if out.exists():
        out.rename(old)
      part.rename(out)
    remove(old)
  finally:
    remove(part)


def require_place(out: Path, overwrite: bool, made_by: str) -> None:
  """Raises what `whole_folder` would raise, before any work is done."""
  if not out.name or out.name == '..':
    raise UserError(f"'{out}' cannot be the result's folder: name one that does not exist.")
  if is_remote(out):
    require_writable(out, 0)
  if not out.exists() and not out.is_symlink():
    return
  if out.is_symlink() or not out.is_dir():
    raise UserError(f'{out} exists and is not a folder: name another one.')
  if not any(out.iterdir()):
    return
  if not overwrite:
    raise UserError(f'{out} exists: name another folder, or write --overwrite to replace it.')
  if not (out / made_by).exists():
    raise UserError(f'{out} has no {made_by}, so it is not an earlier result that --overwrite may replace: name another folder.')
