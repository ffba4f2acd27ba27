"""A watchdog: a run that stands still ends with the stacks of all threads and the name of the process that is behind.

The code of a run says where it is, with `at` and `at_step`; all processes come to the same places in the same order.
A thread of each process measures how long it has been at its place. With several processes, process 0 learns the
places of all with their signs of life (`codemix.parallel.peers`), and ends the run when every process has been at its
place for too long: one that waits for a process which works is not stuck.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import math
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator

from codemix.errors import PeerEnded
from codemix.parallel import coordination, processes
from codemix.parallel.peers import Place, dump_stacks

TICK_S = 0.5

# Of codemix: the slowest steps that are known take a minute; a program of a pod compiles in up to a quarter of an hour.
STEP_S = 600.0
OTHERWISE_S = 1800.0
MEDIAN_STEPS = 20.0  # a step may take so many times the median of the last `KEPT_STEPS`
KEPT_STEPS = 32

_WAITING = ('jax', 'jaxlib', 'orbax')  # packages in which a process waits for others


@dataclasses.dataclass(frozen=True)
class _Mark:
  """A place of the run; `limit_s` is None for one of many steps, whose limit follows from those before."""

  number: int
  what: str
  hint: str
  limit_s: float | None
  began: float


class _Watchdog:
  """Measures the time since the last mark, in a thread.

  Args:
    limit_s: seconds that a place may take; None derives them.
  """

  def __init__(self, limit_s: float | None):
    self._limit_s = limit_s
    self._step_seconds: collections.deque[float] = collections.deque(maxlen=KEPT_STEPS)
    self._mark = _Mark(0, 'start-up', '', math.inf, time.monotonic())
    self._ended = threading.Event()
    self._thread = threading.Thread(target=self._watch, name='watchdog', daemon=True)

  def start(self) -> None:
    self._thread.start()

  def end(self) -> None:
    self._ended.set()
    self._thread.join()
    if peers := processes.peers():
      peers.report_place(None)

  def at(self, what: str, limit_s: float | None, hint: str, compiles: bool) -> None:
    limit_s = limit_s or max(self._limit_s or OTHERWISE_S, OTHERWISE_S if compiles else 0.0)
    self._mark = _Mark(self._mark.number + 1, what, hint, limit_s, time.monotonic())

  def at_step(self, what: str) -> None:
    before, now = self._mark, time.monotonic()
    if before.limit_s is None:
      self._step_seconds.append(now - before.began)
    self._mark = _Mark(before.number + 1, what, '', None, now)

  def still_there(self) -> None:
    self._mark = dataclasses.replace(self._mark, began=time.monotonic())

  def limit_of(self, mark: _Mark) -> float:
    """Seconds after which a place counts as one where the run is stuck."""
    if mark.limit_s is not None:
      return mark.limit_s
    if self._limit_s is not None:
      return self._limit_s
    return max(STEP_S, MEDIAN_STEPS * statistics.median(list(self._step_seconds) or [0.0]))

  def _watch(self) -> None:
    seen, spent, last = self._mark, 0.0, time.monotonic()
    while not self._ended.wait(TICK_S):
      now = time.monotonic()
      # Time in which this process itself was stopped does not count.
      spent = spent + min(now - last, 2 * TICK_S) if self._mark is seen else 0.0
      seen, last = self._mark, now
      overdue = spent > self.limit_of(seen)
      if peers := processes.peers():
        peers.report_place(Place(seen.number, seen.what, seen.hint, round(spent, 1), overdue, *(where() if overdue else ())))
      elif overdue:
        _end_alone(seen, spent)


_watchdog: _Watchdog | None = None


@contextlib.contextmanager
def watched(limit_s: float | None) -> Iterator[None]:
  """Ends the process with the exit code of `PeerEnded` if the run stands still in this context.

  Args:
    limit_s: seconds that a place may take (`Runtime.stuck_after`); None derives them: for a step `MEDIAN_STEPS`
      times the median step, and at least `STEP_S`; for anything else `OTHERWISE_S`.
  """
  global _watchdog
  outer, _watchdog = _watchdog, _Watchdog(limit_s)
  _watchdog.start()
  try:
    yield
  finally:
    ended, _watchdog = _watchdog, outer
    ended.end()


def at(what: str, limit_s: float | None = None, hint: str = '', compiles: bool = False) -> None:
  """Says where the run is; without `watched` it does nothing.

  Args:
    what: in words, such as 'the save of step 12'.
    limit_s: seconds that it may take; None for those of `watched`, infinity for any time.
    hint: a sentence for the message if all processes stay there.
    compiles: whether programs may be compiled there: it then has `OTHERWISE_S` at least, since a limit below the time of a
      compilation would end each start of the run.
  """
  if _watchdog:
    _watchdog.at(what, limit_s, hint, compiles)


def at_step(what: str) -> None:
  """`at` one of many steps, one after the other."""
  if _watchdog:
    _watchdog.at_step(what)


def still_there() -> None:
  """Says that the work at this place goes on, as after each batch of an evaluation: its time begins again."""
  if _watchdog:
    _watchdog.still_there()


def where() -> tuple[str, bool]:
  """The line of Python at which the main thread is, and whether it waits there for other processes.

  It does if JAX or Orbax, which calls JAX's barriers, was called last, or codemix's own coordination.
  """
  frame = sys._current_frames().get(threading.main_thread().ident)
  if frame is None:
    return 'no code', False
  line = f'{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno} in {frame.f_code.co_name}'
  while frame:
    module = frame.f_globals.get('__name__', '')
    if module.split('.')[0] in _WAITING or module == coordination.__name__:
      return line, True
    if module.startswith('codemix.'):
      break
    frame = frame.f_back
  return line, False


def _end_alone(mark: _Mark, spent: float) -> None:
  dump_stacks()
  print(
    f'codemix: the run has been at {mark.what} for {spent:,.0f} s, and counts as stuck (Runtime.stuck_after); the stacks above '
    f'show where.{mark.hint and " " + mark.hint} The same command goes on from the last checkpoint.',
    file=sys.stderr,
    flush=True,
  )
  with contextlib.suppress(OSError, ValueError):
    sys.stdout.flush()
  os._exit(PeerEnded.exit_code)
