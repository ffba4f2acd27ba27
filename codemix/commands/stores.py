"""The token stores that folders of a command line are, or hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from codemix.errors import UserError


def find_stores(folders: Sequence[str]) -> list[Path]:
  """The folders of token stores: those named, those in them, and those in their folders `stores`.

  Raises:
    UserError: one is not a token store and holds none; the message says what it is.
  """
  return [store for folder in map(Path, folders) for store in _stores_of(folder)]


def _stores_of(folder: Path) -> list[Path]:
  if (folder / 'manifest.json').exists():
    return [folder]
  found = sorted({*folder.glob('*/manifest.json'), *folder.glob('stores/*/manifest.json')})
  if not found:
    raise UserError(f'{folder} is not a token store and holds none{_what_it_is(folder)}. Name a folder that `codemix prepare` printed.')
  return [manifest.parent for manifest in found]


def _what_it_is(folder: Path) -> str:
  if not folder.exists():
    return ': it does not exist'
  if not folder.is_dir():
    return ': it is a file'
  if any(next(folder.glob(pattern), None) for pattern in ('stage.json', '*/stage.json', 'stages/*/stage.json')):
    return ': it holds results of training, which `codemix report --output=DIR` and `codemix inspect --gin_file=FILE` show'
  return ': there is no manifest.json'
