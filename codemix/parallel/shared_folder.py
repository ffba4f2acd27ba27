"""Whether a folder is the same for all processes: each looks there for a file of process 0."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from jax._src import distributed  # as in codemix.parallel.coordination

from codemix.errors import UserError
from codemix.parallel.coordination import decide
from codemix.storage import remove, write_bytes

SEEN_S = 30  # in which a file of another machine appears; NFS may answer from its cache for so long
AGAIN_S = 0.5


def require_shared(folder: Path, setting: str) -> None:
  """Writes a file in each process, and looks for that of process 0; a single process returns at once.

  Raises UserError: in all processes, naming those whose folder is another one; or it cannot be
  written to.

  Args:
    folder: one that exists in all processes.
    setting: the setting that names it, such as 'Runtime.output'.
  """
  state = distributed.global_state
  if state.client is None:
    return
  run = decide(secrets.token_hex(8), lambda tokens: tokens[0])
  mine = folder / f'.shared-{run}.{state.process_id}'
  try:
    write_bytes(mine, b'')
    decide(None, lambda _: None)  # all have written
    different = decide([str(folder.absolute()), _appears(folder, f'.shared-{run}.0')], _difference)
  finally:
    with contextlib.suppress(OSError):
      remove(mine)
  if different:
    raise UserError(
      f'{setting} is not one folder for all processes: {different}. Set it to a folder of a file system that all of them share.'
    )


def _appears(folder: Path, name: str) -> bool:
  """Whether a file is in the folder within `SEEN_S`."""
  deadline = time.monotonic() + SEEN_S
  while not any(path.name == name for path in folder.iterdir()):
    if time.monotonic() > deadline:
      return False
    time.sleep(AGAIN_S)
  return True


def _difference(answers: Sequence[tuple[str, bool]]) -> str:
  """Names the processes that do not see the file of process 0; '': there are none."""
  folders = [folder for folder, _ in answers]
  apart = [number for number, (_, seen) in enumerate(answers) if not seen]
  if not apart:
    return ''
  first, more = apart[0], f' (and {len(apart) - 1} more processes)' if apart[1:] else ''
  where = f'{folders[first]} in process {first}{more}'
  if folders[first] == folders[0]:
    return f'{folders[0]} in process 0 and {where} are different folders on different machines'
  return f'it is {folders[0]} in process 0, and {where}'
