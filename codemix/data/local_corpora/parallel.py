"""Reads many files on all cores, with the results in the order of the files.

The workers are plain `python -c` processes that talk through pipes. `multiprocessing` would
import the caller's main module in each of them (which runs a script that has no
`if __name__ == '__main__'` once more), or fork a process that may hold the threads of JAX.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from codemix.data.local_corpora.reading import read_code, read_prose

_READERS: dict[str, Callable[[str], Any]] = {'code': read_code, 'prose': read_prose}
_WORTH_A_PROCESS = 100  # files: starting a worker takes as long as reading some tens of them
_WORKER = 'import sys; from codemix.data.local_corpora.parallel import serve; serve(sys.argv[1])'


def read_files(kind: str, paths: Sequence[str], processes: int | None = None) -> Iterator[Any]:
  """Yields what the reader `kind` ('code' or 'prose') makes of each file, in order.

  What a worker does not answer (it was killed, or Python cannot start another) is read here.

  Args:
    kind: which reader.
    paths: of the files.
    processes: the most workers to start; None for one per core, 0 to read all files here.
  """
  most = _cores() if processes is None else processes
  count = min(most, len(paths) // _WORTH_A_PROCESS)
  workers: list[subprocess.Popen] = []
  try:
    with contextlib.suppress(OSError):
      for first in range(count):
        workers.append(_start(kind, paths[first::count]))
    for index, path in enumerate(paths):
      turn = index % count if workers else 0
      line = workers[turn].stdout.readline() if turn < len(workers) else ''
      yield json.loads(line) if line.endswith('\n') else _READERS[kind](path)
  finally:
    for worker in workers:
      worker.kill()
      worker.wait()
      worker.stdout.close()


def serve(kind: str) -> None:
  """What a worker runs: paths from standard input, a line of JSON for each to standard output."""
  try:
    for path in json.load(sys.stdin):
      print(json.dumps(_READERS[kind](path)))
    sys.stdout.flush()
  except (BrokenPipeError, KeyboardInterrupt):
    os._exit(1)  # the reader is gone, or Ctrl-C reached both: one traceback, its own, is enough


def _cores() -> int:
  if hasattr(os, 'sched_getaffinity'):  # Linux, where a job may be confined to some cores
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def _start(kind: str, paths: Sequence[str]) -> subprocess.Popen:
  # The caller's own import path, so that a worker finds the codemix that the caller runs;
  # `-P` keeps modules of the working folder from standing in for those of the library.
  python_path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
  worker = subprocess.Popen(
    [sys.executable, '-P', '-c', _WORKER, kind],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    env={**os.environ, 'PYTHONPATH': python_path},
    text=True,
    encoding='utf-8',
  )
  with contextlib.suppress(BrokenPipeError), worker.stdin:  # it may have died already
    json.dump(list(paths), worker.stdin)
  return worker
