"""Steps in several processes on this machine."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Annotated, Any

from codemix.checked import From, checked
from codemix.errors import CodemixError
from codemix.workers.step import Progress, Step, no_progress, pickled

MAIN = b'\x8c\x08__main__'  # the module of what a script defines, as pickle writes it; not 'a/__main__.py'


@dataclasses.dataclass(frozen=True)
@checked
class Processes:
  """Several spawned processes on this machine, each with its part of the cores.

  A script whose own classes or functions are part of the step must do its work below
  `if __name__ == '__main__':`, since the processes import it.

  Attributes:
    count: of them; at most one for each item is started.
  """

  count: Annotated[int, From(1), 'processes'] = 2

  def map(
    self, function: Step, items: Sequence, progress: Progress = no_progress, folder: Path | None = None
  ) -> list:
    with submitted(function, items, self.count) as futures:
      for done, future in enumerate(as_completed(futures), 1):
        future.result()
        progress(done)
      return [future.result() for future in futures]


@contextlib.contextmanager
def submitted(function: Step, items: Sequence, count: int) -> Iterator[list[Future]]:
  """Runs a step in spawned processes, which are killed at the end of the block.

  Yields:
    A future for each item. Its errors are those of `Workers.map`.

  Raises CodemixError: a process died while it was awaited; the error names its item.
  """
  if not items:
    yield []
    return
  count = min(count, len(items))
  step, arguments = pickled(function, items)
  context, processes = _recording_context()
  pids = context.RawArray('q', len(items))  # of the process that began each item
  pool = ProcessPoolExecutor(count, context, _initialize, (step, pids))
  futures: list[Future] = []
  try:
    with _start_environment(count, imports_main=MAIN in step + arguments):
      try:
        futures += [pool.submit(_run, index, item) for index, item in enumerate(items)]
      except OSError as error:
        raise CodemixError(f'a worker process cannot be started: {error}') from error
    yield futures
  except BrokenProcessPool:
    pool.shutdown()  # until then the exit codes are not known
    raise _death(processes, pids, futures, items) from None
  finally:
    for process in processes:
      if process.pid:  # else it could not be started
        process.kill()
    pool.shutdown(cancel_futures=True)


def cores() -> int:
  """The cores that this process may use: a job may be confined to some."""
  return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _recording_context():
  """A spawn context, and the list of the processes that it has started."""
  spawn = multiprocessing.get_context('spawn')
  context, processes = copy.copy(spawn), []

  def process(*args, **kwargs):
    processes.append(spawn.Process(*args, **kwargs))
    return processes[-1]

  context.Process = process
  return context, processes


@contextlib.contextmanager
def _start_environment(count: int, imports_main: bool) -> Iterator[None]:
  """Shares the cores among the processes that are started in the block.

  A spawned process imports the main module of its parent. Where neither the step nor
  the items need it, it is hidden: a script without a main guard would run again in each process.
  """
  before, main = os.environ.get('RAYON_NUM_THREADS'), sys.modules['__main__']
  os.environ['RAYON_NUM_THREADS'] = before or str(max(cores() // count, 1))
  if not imports_main:
    sys.modules['__main__'] = types.ModuleType('__main__')
  try:
    yield
  finally:
    sys.modules['__main__'] = main
    if before is None:
      del os.environ['RAYON_NUM_THREADS']


_worker: tuple[Callable[[], Step], Any]  # in a worker: what unpickles the step once, and the array of pids


def _initialize(step: bytes, pids) -> None:
  global _worker
  _worker = functools.cache(lambda: pickle.loads(step)), pids
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent kills this process
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
  """Ends with a parent that was killed: this process must not write beside the next run."""
  multiprocessing.parent_process().join()
  os._exit(1)


def _run(index: int, item: Any) -> Any:
  load, pids = _worker
  pids[index] = os.getpid()
  try:
    return load()(item)
  except CodemixError:
    raise
  except Exception:
    raise RuntimeError(f'{item}:\n{traceback.format_exc()}') from None


def _death(processes: Sequence, pids: Sequence[int], futures: Sequence[Future], items: Sequence) -> CodemixError:
  """Names the item of the process that died; the pool has ended the others with SIGTERM."""
  dead = next((p for p in processes if p.exitcode not in (None, 0, -signal.SIGTERM)), processes[0])
  begun = [index for index, pid in enumerate(pids) if pid == dead.pid and futures[index].exception()] if futures else []
  code = dead.exitcode or 0
  how = f'was ended by {signal.Signals(-code).name}' if code < 0 else f'ended with exit code {code}'
  memory = ', which the system does when memory runs out: lower Processes.count' if code == -signal.SIGKILL else ''
  return CodemixError(
    f'the worker process at {items[begun[-1]] if begun else "its start"} {how}{memory}. Run the same command again: it continues with what is missing.'
  )
