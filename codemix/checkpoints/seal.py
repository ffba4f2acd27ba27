"""Seals: a digest file beside each committed checkpoint, to detect damage."""

from __future__ import annotations

import collections
import json
import math
from collections.abc import Collection
from pathlib import Path

import tensorstore as ts

from codemix.errors import UserError
from codemix.identity import digest
from codemix.storage import as_path, is_remote, read_json, remove, write_json
from codemix.storage.checksums import checksums, is_kept

STATE = 'state'  # the folder of a checkpoint's arrays
_ZARRAY = '/.zarray'  # end of the key of an array's description
_SEAL = {...: list}  # size and checksum of each file


def seal(checkpoint: Path) -> None:
  """Writes the digest file of a committed checkpoint, and removes those of deleted ones."""
  require_every_chunk(checkpoint / STATE)
  write_json(digest_file(checkpoint.parent, int(checkpoint.name)), checksums(checkpoint))
  drop_stray_seals(checkpoint.parent)


def require_every_chunk(state: Path) -> None:
  """Checks that every array has all of its chunks; a restore would fill missing ones with zeros.

  Raises:
    UserError: chunks are missing, for example because a process wrote them to another folder.
    NotImplementedError: the format is not zarr 2, the only one whose chunks this function can
      count.
  """
  store = ts.KvStore.open({'driver': 'ocdbt', 'base': state.as_uri()}).result()
  keys = [key.decode() for key in store.list().result()]
  found = collections.Counter(name.rpartition('/')[0] for name in keys if not name.endswith(_ZARRAY))
  for name in (key.removesuffix(_ZARRAY) for key in keys if key.endswith(_ZARRAY)):
    array = json.loads(store.read(f'{name}{_ZARRAY}').result().value)
    chunks = math.prod(-(-size // chunk) for size, chunk in zip(array['shape'], array['chunks'], strict=True))
    if (there := found.pop(name, 0)) != chunks:
      raise UserError(
        f'the checkpoint {state.parent} lacks {chunks - there} of the {chunks} parts of {name}: all processes must write to the same folder.'
      )
  if found or not keys:
    raise NotImplementedError(f'{state} has {next(iter(found), "nothing")}, which belongs to no array of zarr 2, so its chunks cannot be counted')


def sealed_steps(folder: Path) -> set[int]:
  """The steps that have a digest file, whether or not their checkpoint is there."""
  names = (path.name.removesuffix('.digest.json') for path in folder.glob('*.digest.json'))
  return {int(name) for name in names if name.isdecimal()}


def lost_steps(folder: Path, there: Collection[int]) -> set[int]:
  """The steps of checkpoints that were whole and are gone. Older ones than those that are `there` may have been deleted, with their digest file left."""
  return {step for step in sealed_steps(folder) if step > max(there, default=-1)}


def drop_stray_seals(folder: Path) -> None:
  """Removes the digest files of checkpoints that Orbax has deleted since."""
  for step in sealed_steps(folder):
    if not (folder / str(step)).exists():
      remove(digest_file(folder, step))


def damage(folder: Path, step: int, reread: bool = False) -> str | None:
  """What is wrong with a checkpoint, or None.

  Args:
    folder: a stage's `checkpoints` folder.
    step: the checkpoint's.
    reread: as of `storage.checksums`.
  """
  path = digest_file(folder, step)
  if not path.exists():
    return 'it was not completely written'
  try:
    expected = read_json(path, _SEAL)
  except UserError:
    return f'its digest file {path.name} cannot be read'
  found = checksums(folder / str(step), like=expected, reread=reread)
  different = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
  if not different:
    return None
  name = different[0]
  state = 'is missing' if name not in found else 'was added' if name not in expected else 'has changed'
  return f'its file {name} {state}'


def checked_bytes(folder: Path, step: int, reread: bool = False) -> tuple[int, int]:
  """Bytes of a checkpoint that `damage` reads, and bytes of which it compares the checksum that the bucket keeps."""
  sizes = collections.Counter()
  for size, checksum in read_json(digest_file(folder, step), _SEAL).values():
    sizes[is_remote(folder) and is_kept(checksum) and not reread] += size
  return sizes[False], sizes[True]


def sealed_digest(folder: Path, step: int) -> str:
  """One hash of all files of a sealed checkpoint, as recorded in its digest file."""
  return digest(read_json(digest_file(folder, step), _SEAL))


def digest_file(folder: Path, step: int) -> Path:
  """The path of a checkpoint's digest file: {name of a file: [size, checksum]}, as `storage.checksums` gives them."""
  return as_path(folder) / f'{step}.digest.json'
