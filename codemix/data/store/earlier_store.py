"""Finds the store of a split, also one that an older codemix named by another identity."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from pathlib import Path

from codemix.errors import UserError
from codemix.identity import digest
from codemix.storage import read_json

_COMPARED = ('format', 'task', 'split', 'tokenizer', 'shards')


def store_folder(
  stores: Path, identity: Mapping, is_same: Callable[[Mapping], bool], say: Callable, note: str = ''
) -> Path:
  """The folder that an identity names; if it has no store, that of an earlier one, if there is one.

  Args:
    is_same: whether what the documents are made of is the same in the identity of a manifest.
    say: reports that an earlier store is used, followed by `note`.
  """
  task, split = identity['task'], identity['split']
  folder = stores / f'{task}-{split}-{digest(identity)[:12]}'
  if (folder / 'manifest.json').exists():
    return folder
  for manifest in sorted(stores.glob(f'{glob.escape(f"{task}-{split}")}-*/manifest.json')):
    try:
      then = read_json(manifest, {'identity': dict})['identity']
    except UserError:  # damaged: opening it raises the error
      continue
    if all(then.get(key) == identity[key] for key in _COMPARED) and is_same(then):
      say(
        f'{task} {split}: prepared by an older codemix with the same settings; {manifest.parent.name} is used as it is. '
        f'`codemix prepare --again` prepares it again.{note}'
      )
      return manifest.parent
  return folder
