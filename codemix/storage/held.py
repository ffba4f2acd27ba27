"""Writes below folders of a bucket whose lease this process holds.

A process that was stopped, or that could not reach the bucket, for longer than `lease.EXPIRY_S` may have lost its lease without knowing it, and
its next heartbeat may be seconds away. So each write asks first who holds the lease, and then is one put on condition that the object
is still as it was before the question: whoever took over and has written the object in between is not overwritten.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from codemix.storage.paths import key_value_store

# Folder -> what ends this process if the folder's lease is another's now. Filled by `lease.leased`.
HELD: dict[str, Callable[[], None]] = {}

_STAT = slice(0, 0)  # of a read that asks for the generation alone


def is_held(path: Path) -> bool:
  """Whether this process took the lease of a folder above `path`."""
  return bool(_above(path))


def require_held(path: Path) -> None:
  """Ends this process if it has lost the lease of a folder above `path`; without such a lease it does nothing."""
  for require in _above(path):
    require()


def write_held(path: Path, data: bytes) -> None:
  """Writes an object below a folder that this process holds; ends the process, and writes nothing, if it has lost it."""
  store, key = key_value_store(path)
  while True:
    before = store.read(key, byte_range=_STAT).result().stamp.generation
    require_held(path)
    if store.write(key, data, if_equal=before).result().generation:
      return
    # Another process of this run wrote it; or a write whose answer was lost was sent again, and refused.
    if store.read(key).result().value == data:
      return


def _above(path: Path) -> list[Callable[[], None]]:
  return [require for folder, require in list(HELD.items()) if str(path).startswith(f'{folder}/')]
