"""Digests of what a stage logged, taken when it is done: `files` in `done.json`.

A loss that somebody changes later still parses, and adds up with its neighbours. Stages that an earlier codemix finished have no such
digests; they are read as before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from codemix.storage.lines import read_lines

# Each depends on the stage's identity and the devices alone; timing.jsonl differs from run to run, and time.jsonl goes on.
SEALED = ('metrics.jsonl', 'plan.json', 'rate.csv')


def digests(folder: Path) -> dict[str, str]:
  """sha256 of each of `SEALED` that is there, by name; of lines in parts, as in a bucket, that of all of them."""
  found = {name: content_digest(folder / name) for name in SEALED}
  return {name: digest for name, digest in found.items() if digest is not None}


def content_digest(path: Path) -> str | None:
  """sha256 of a file, or of an append-only file of lines; None without it."""
  content = content_of(path)
  return None if content is None else hashlib.sha256(content).hexdigest()


def content_of(path: Path) -> bytes | None:
  """What a file holds, in one piece also where a bucket has it in parts; None without it."""
  if path.suffix == '.jsonl':
    return read_lines(path)
  return path.read_bytes() if path.is_file() else None


def unlike(folder: Path, sealed: Mapping[str, str]) -> str | None:
  """The first file that is not the one that was sealed, and what happened to it; None if there is none."""
  for name in SEALED:  # not what the file names, which leads wherever it says
    if name not in sealed:
      continue
    found = content_digest(folder / name)
    if found is None:
      return f'{folder / name} is missing'
    if found != sealed[name]:
      return f'{folder / name} was changed after its stage was done: its digest is not the one in done.json'
  return None
