"""A result folder that is whole or absent: written beside its place, and renamed when it is complete."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from codemix.errors import UserError
from codemix.storage import make_folder, remove, writing


@contextlib.contextmanager
def whole_folder(out: Path, overwrite: bool, made_by: str) -> Iterator[Path]:
  """Yields an empty folder that becomes `out` if nothing is raised, and is removed otherwise.

  Raises UserError: `out` exists, and may not be overwritten or is of something else.

  Args:
    overwrite: whether an earlier result is replaced.
    made_by: the name of a file by which an earlier result is known.
  """
  require_place(out, overwrite, made_by)
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
