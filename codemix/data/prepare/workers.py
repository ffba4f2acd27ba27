"""Where steps run: in this process, in several on this machine, or on the runner of a Beam pipeline.

A step is a function of one item. It can be repeated (what it has finished it
finds again), it needs no other item's result, and it can be pickled. So all
three give the same results in the same order, and a job that was stopped goes
on with the items that were not done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

from codemix.checked import From, Name, checked
from codemix.errors import CodemixError, UserError
from codemix.files import write_bytes
from codemix.terminal import is_verbose

Step = Callable[[Any], Any]
Progress = Callable[[int], None]  # called in this process with the number of items done

POLL_S = 0.5


@runtime_checkable
class Workers(Protocol):
  """Something that runs a step for each of many items."""

  def map(
    self, function: Step, items: Sequence, progress: Progress = lambda done: None, folder: Path | None = None
  ) -> list:
    """The results of `function` for the items, in the items' order.

    Args:
      function: the step.
      items: what it is called with; `str(item)` names one in errors.
      progress: told how many are done.
      folder: which this process and the workers see, for what they hand back;
        needed where they run on other machines.

    Raises:
      CodemixError: the first that a step raised; or a worker died, with the item
        that it had.
      RuntimeError: a step raised something else; it holds the worker's traceback.
    """
    ...


@dataclasses.dataclass(frozen=True)
@checked
class InProcess:
  """One item after another, here. The tokenizer's own threads use all cores."""

  def map(self, function: Step, items: Sequence, progress: Progress = lambda done: None, folder: Path | None = None) -> list:
    results = []
    for item in items:
      results.append(function(item))
      progress(len(results))
    return results


@dataclasses.dataclass(frozen=True)
@checked
class Processes:
  """Several processes on this machine, each with its part of the cores.

  They are spawned: a script that uses this has its work below
  `if __name__ == '__main__':`.

  Attributes:
    count: of them; at most one for each item is started.
  """

  count: Annotated[int, From(1), 'processes'] = 2

  def map(self, function: Step, items: Sequence, progress: Progress = lambda done: None, folder: Path | None = None) -> list:
    pickled = _pickled(function, items)
    results: dict[int, Any] = {}
    waiting = iter(range(len(items)))
    with _started(min(self.count, len(items)), pickled) as workers:
      busy = {}
      for worker, index in zip(workers, waiting, strict=False):
        busy[worker.give(items[index])] = worker, index
      while busy:
        for connection in multiprocessing.connection.wait(list(busy)):
          worker, index = busy.pop(connection)
          results[index] = _result(worker.take(items[index]))
          progress(len(results))
          if (index := next(waiting, None)) is not None:
            busy[worker.give(items[index])] = worker, index
    return [results[index] for index in range(len(items))]


@dataclasses.dataclass(frozen=True)
@checked
class Beam:
  """A Beam pipeline on any runner, which its options name.

  The workers read and write the same paths as this process: on a cluster,
  `Data.directory` lies on a file system that is mounted at the same place on
  every machine, and codemix is installed in the workers' container.

  Attributes:
    options: the pipeline's options as on a command line, such as
      `'--runner=DirectRunner'`, `'--direct_num_workers=8'`,
      `'--direct_running_mode=multi_processing'`.
  """

  options: tuple[Name, ...] = ('--runner=DirectRunner',)

  def map(self, function: Step, items: Sequence, progress: Progress = lambda done: None, folder: Path | None = None) -> list:
    pickled = _pickled(function, items)
    with tempfile.TemporaryDirectory(prefix='beam-', dir=folder, ignore_cleanup_errors=True) as outcomes:
      with _counting(Path(outcomes), progress), _children_are_quiet():
        self._run(pickled, items, outcomes)
      return [_result(_read_outcome(Path(outcomes), index, item)) for index, item in enumerate(items)]

  def _run(self, pickled: bytes, items: Sequence, outcomes: str) -> None:
    beam, pipeline_options = _import_beam()
    try:
      # Workers that are processes of their own take their log level from here.
      quiet = [] if is_verbose() else ['--default_sdk_harness_log_level=CRITICAL']
      pipeline = beam.Pipeline(options=pipeline_options.PipelineOptions([*quiet, *self.options]))
    except ValueError as error:
      raise UserError(f'Beam.options {list(self.options)} name no pipeline that Beam can make: {error}') from None
    _ = (
      pipeline
      | beam.Create(list(enumerate(items)))
      | beam.Reshuffle()  # else a runner may fuse all items into one bundle
      | beam.Map(_beam_step, pickled, outcomes)
    )
    pipeline.run().wait_until_finish()


def _pickled(function: Step, items: Sequence) -> bytes:
  try:
    pickle.dumps(list(items))
    return pickle.dumps(function)
  except (pickle.PicklingError, AttributeError, TypeError) as error:
    raise UserError(
      f'this cannot be sent to another process: {error}. Define filters, layouts and readers at the top of a module, or set Data.workers to 1.'
    ) from None


# What a step came to: (True, result), (False, CodemixError) or (False, traceback as text).
Outcome = tuple[bool, Any]


def _attempt(function: Step, item: Any) -> Outcome:
  try:
    return True, function(item)
  except CodemixError as error:
    return False, error
  except Exception:
    return False, f'{item}:\n{traceback.format_exc()}'


def _result(outcome: Outcome) -> Any:
  succeeded, value = outcome
  if succeeded:
    return value
  raise value if isinstance(value, CodemixError) else RuntimeError(value)


class _Worker:
  """A spawned process that does one item at a time."""

  def __init__(self, pickled: bytes, environment: dict[str, str]):
    context = multiprocessing.get_context('spawn')
    self._connection, theirs = context.Pipe()
    self._process = context.Process(target=_serve, args=(theirs, pickled, environment), daemon=True)
    self._process.start()
    theirs.close()  # so that a read here ends when the process does

  def give(self, item: Any) -> multiprocessing.connection.Connection:
    """Hands over an item; returns what is readable when it is done."""
    with contextlib.suppress(BrokenPipeError):  # it has died; `take` says so
      self._connection.send(item)
    return self._connection

  def take(self, item: Any) -> Outcome:
    try:
      return self._connection.recv()
    except (EOFError, ConnectionResetError):
      self._process.join()
      code = self._process.exitcode
      how = f'was ended by {signal.Signals(-code).name}' if code < 0 else f'ended with exit code {code}'
      memory = ', which the system does when memory runs out: lower Processes.count' if code == -signal.SIGKILL else ''
      raise CodemixError(
        f'the worker process at {item} {how}{memory}. The same command goes on with what is not done.'
      ) from None

  def stop(self) -> None:
    self._process.kill()
    self._process.join()
    self._connection.close()


@contextlib.contextmanager
def _started(count: int, pickled: bytes) -> Iterator[list[_Worker]]:
  cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
  threads = os.environ.get('RAYON_NUM_THREADS') or str(max(cores // max(count, 1), 1))
  workers: list[_Worker] = []
  try:
    for _ in range(count):
      workers.append(_Worker(pickled, {'RAYON_NUM_THREADS': threads}))
    yield workers
  finally:
    for worker in workers:
      worker.stop()


def _serve(connection, pickled: bytes, environment: dict[str, str]) -> None:
  """What a spawned process runs."""
  os.environ.update(environment)  # before the tokenizer that `pickled` holds starts its threads
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends this process
  threading.Thread(target=_end_with_parent, daemon=True).start()
  function = None
  while True:
    try:
      item = connection.recv()
    except EOFError:
      return
    try:
      function = function or pickle.loads(pickled)
      outcome = _attempt(function, item)
    except Exception:
      outcome = False, f'{item}:\n{traceback.format_exc()}'
    connection.send(outcome)


def _end_with_parent() -> None:
  """A parent that was killed cannot say so; what it left behind must not write beside its successor."""
  multiprocessing.parent_process().join()
  os._exit(1)


def _import_beam():
  try:
    import apache_beam
    from apache_beam.options import pipeline_options
  except ImportError:
    raise UserError(
      "Data.workers is Beam(), and Apache Beam is not installed: pip install 'codemix[beam]', or set Data.workers to a number of processes."
    ) from None
  if not is_verbose():
    logging.getLogger('apache_beam').setLevel(logging.CRITICAL)  # what a worker fails with comes back through the pipeline
  return apache_beam, pipeline_options


def _beam_step(numbered: tuple[int, Any], pickled: bytes, outcomes: str) -> None:
  """Runs one item on a Beam worker; what it came to is a file, since a pipeline returns nothing.

  Errors for people are results: a runner would try them again. Others are left
  to the runner.
  """
  index, item = numbered
  failed = Path(outcomes) / 'failed'
  if failed.exists():
    return
  try:
    outcome: Outcome = True, pickle.loads(pickled)(item)
  except CodemixError as error:
    outcome = False, error
  write_bytes(Path(outcomes) / f'{index}.pickle', pickle.dumps(outcome))
  if not outcome[0]:
    write_bytes(failed, str(index).encode())


def _read_outcome(outcomes: Path, index: int, item: Any) -> Outcome:
  failed = outcomes / 'failed'
  path = outcomes / f'{failed.read_text() if failed.exists() else index}.pickle'
  if not path.exists():
    raise CodemixError(f'the Beam pipeline ended without {item}; its workers may not see {outcomes.parent}, which must be mounted there.')
  return pickle.loads(path.read_bytes())


@contextlib.contextmanager
def _children_are_quiet() -> Iterator[None]:
  """Processes that are started meanwhile write their stderr nowhere; this one's stays what it was.

  A runner's worker processes log before they read their log level. What they
  fail with comes back through the pipeline.
  """
  if is_verbose():
    yield
    return
  ours = sys.stderr
  ours.flush()
  kept = os.dup(2)
  nowhere = os.open(os.devnull, os.O_WRONLY)
  sys.stderr = os.fdopen(os.dup(kept), 'w', buffering=1)
  os.dup2(nowhere, 2)
  try:
    yield
  finally:
    os.dup2(kept, 2)
    sys.stderr.close()
    sys.stderr = ours
    os.close(kept)
    os.close(nowhere)


@contextlib.contextmanager
def _counting(outcomes: Path, progress: Progress) -> Iterator[None]:
  """Tells `progress` of the outcomes that appear, on whichever machine they are made."""
  ended = threading.Event()

  def count() -> None:
    told = 0
    while True:
      last = ended.wait(POLL_S)
      done = len(list(outcomes.glob('*.pickle')))
      if done > told:
        told = done
        progress(done)
      if last:
        return

  counter = threading.Thread(target=count, daemon=True)
  counter.start()
  try:
    yield
  finally:
    ended.set()
    counter.join()
