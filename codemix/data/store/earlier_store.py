"""Finds the store of a split that an older codemix prepared, whose folder is named by another identity."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from pathlib import Path

from codemix.errors import UserError
from codemix.files import read_json

_COMPARED = ('format', 'task', 'split', 'tokenizer', 'shards')


def earlier_store(stores: Path, identity: Mapping, is_same: Callable[[Mapping], bool]) -> Path | None:
  """The folder of a whole store that was prepared with the same settings; None where there is none.

  Args:
    stores: the folder that holds stores.
    identity: of the store that is looked for, as it is described today.
    is_same: whether what the documents are made of is the same in the identity of a manifest.
  """
  name = glob.escape(f'{identity["task"]}-{identity["split"]}')
  for manifest in sorted(stores.glob(f'{name}-*/manifest.json')):
    try:
      then = read_json(manifest, {'identity': dict})['identity']
    except UserError:  # damaged: opening it raises the error
      continue
    if all(then.get(key) == identity[key] for key in _COMPARED) and is_same(then):
      return manifest.parent
  return None


def words_of_use(folder: Path) -> str:
  """The message of `prepare` about a store that `earlier_store` found."""
  return f'prepared by an older codemix with the same settings; {folder.name} is used as it is. `codemix prepare --again` prepares it again.'
