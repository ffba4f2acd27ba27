"""Errors of a token store that is not as it was written."""

from __future__ import annotations

from pathlib import Path

from codemix.errors import UserError


def damaged(path: Path, why: str) -> UserError:
  return UserError(f'the token store is damaged at {path}: {why}. {anew(path.parent)}')


def anew(folder: Path) -> str:
  return f'Delete the folder {folder} and prepare it again.'
