"""Whether a folder is the same for all processes: each looks there for files of the others."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from jax._src import distributed  # as in codemix.parallel.coordination

from codemix.errors import UserError
from codemix.files import writing
from codemix.parallel.coordination import decide

SEEN_S = 30  # in which a file of another machine appears; NFS may answer from its cache for so long
AGAIN_S = 0.5


def require_shared(folder: Path, setting: str) -> None:
  """Writes a file in each process, and looks for those of the others; a single process returns at once.

  Process 0 looks for the files of all, every other process for that of process 0.

  Args:
    folder: one that exists in all processes and that they can write to.
    setting: the setting that names it, such as 'Runtime.output'.

  Raises:
    UserError: in all processes, naming those whose folder is another one.
  """
  state = distributed.global_state
  if state.client is None:
    return
  run = decide(secrets.token_hex(8), lambda tokens: tokens[0])
  name = lambda number: f'.shared-{run}.{number}'
  mine = folder / name(state.process_id)
  try:
    with writing(folder):
      mine.touch()
    decide(None, lambda _: None)  # all have written
    others = range(1, state.num_processes) if state.process_id == 0 else [0]
    unseen = _unseen(folder, {name(number): number for number in others})
    different = decide([str(folder.absolute()), unseen], _difference)
  finally:
    with contextlib.suppress(OSError):
      mine.unlink(missing_ok=True)
  if different:
    raise UserError(
      f'{setting} is not one folder for all processes: {different}. Set it to a folder of a file system that all of them share.'
    )


def _unseen(folder: Path, names: dict[str, int]) -> list[int]:
  """The processes whose files do not appear within `SEEN_S`."""
  deadline = time.monotonic() + SEEN_S
  while (missing := names.keys() - set(os.listdir(folder))) and time.monotonic() < deadline:
    time.sleep(AGAIN_S)
  return sorted(names[name] for name in missing)


def _difference(seen: Sequence[tuple[str, list[int]]]) -> str:
  """Names the processes that do not see process 0's file, or whose file process 0 does not see; '': none."""
  folders = [folder for folder, _ in seen]
  apart = sorted({*seen[0][1], *(number for number, (_, unseen) in enumerate(seen) if unseen)} - {0})
  if not apart:
    return ''
  first, more = apart[0], f' (and {len(apart) - 1} more processes)' if apart[1:] else ''
  where = f'{folders[first]} in process {first}{more}'
  if folders[first] == folders[0]:
    return f'{folders[0]} in process 0 and {where} are different folders on different machines'
  return f'it is {folders[0]} in process 0, and {where}'
