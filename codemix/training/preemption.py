"""SIGTERM, with which a batch system announces that it will take the machine.

A process alone handles the signal itself. Several agree on where they stop, by JAX's coordination service, which also
knows of a TPU's maintenance notices. They number the places at which they may stop: after a step, between two batches of
an evaluation, between two units. All come to the same places in the same order. When one of them is asked to stop, the
service takes the first place to which none has come yet, and says so there, once; from then on the request is kept here,
until the work has come to where it can end.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TypeVar

import jax
from jax.experimental import multihost_utils

from codemix import interrupts
from codemix.errors import Preempted
from codemix.parallel.coordination import from_first
from codemix.training.rewinds import SpikeFound

FIRST_S = 24 * 3600  # that the others wait for what process 0 does alone; the watchdog ends it if it stands still

Result = TypeVar('Result')


class _Request:
  """Whether this process, or all of several, are to stop."""

  def __init__(self) -> None:
    self.came = False
    self.place = 0  # the number of the last place that all processes come to
    self._coming = threading.Lock()

  def came_here(self) -> bool:
    with self._coming:  # programs of a benchmark are executed in threads
      if not self.came and jax.process_count() > 1:
        self.place += 1
        self.came = multihost_utils.reached_preemption_sync_point(self.place)
      return self.came


_request = _Request()


def stop_asked() -> bool:
  """Whether to stop here.

  Several processes all call it at the same places in the same order, or one after the other in `by_first`. They get the same
  answer, and once it is yes, it stays so until they exit.
  """
  return _request.came_here()


def stop_if_asked() -> None:
  """Raises Preempted if `stop_asked`, for work whose results are on disk already."""
  if stop_asked():
    raise _preempted()


def _preempted() -> Preempted:
  return Preempted('asked to stop; whatever was finished is saved. The same command goes on from there.')


@contextlib.contextmanager
def stopping_at_once() -> Iterator[None]:
  """Raises Preempted when SIGTERM comes; several processes do so in `stop_if_asked`."""

  def stop(number: int, frame: FrameType | None) -> None:
    raise _preempted()

  with _handling(stop):
    yield


@contextlib.contextmanager
def stopping_after_a_step() -> Iterator[None]:
  """SIGTERM does not end the work at once: `stop_asked` says that it came.

  A process alone passes a signal that came too late for that, at the end, to the previous handler of SIGTERM; several keep it
  for the next place.
  """
  if jax.process_count() > 1:
    yield
    return
  try:
    with _handling(lambda *_: setattr(_request, 'came', True)):
      yield
  except SpikeFound:  # the steps end, and the stage does not
    _pass_on()
    raise
  except BaseException:
    _request.came = False
    raise
  _pass_on()


def _pass_on() -> None:
  if _request.came:
    _request.came = False
    signal.raise_signal(signal.SIGTERM)


@contextlib.contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
  """Handles SIGTERM, if JAX does not handle it for all processes."""
  with contextlib.nullcontext() if jax.process_count() > 1 else interrupts.handled(signal.SIGTERM, handler):
    yield


def by_first(work: Callable[[], Result], otherwise: Result) -> Result:
  """`work()` of process 0, for which the others wait; they get `otherwise`.

  Process 0 may come to places at which it stops, in several threads too; the others then stop here.

  Raises Preempted in all processes if they are asked to stop meanwhile, and PeerEnded after `FIRST_S`.
  """
  if jax.process_index():
    _request.place, _request.came = from_first(lambda: None, FIRST_S)
    if _request.came:
      raise _preempted()
    return otherwise
  try:
    return work()
  finally:  # also after an error, with which the others need not end
    from_first(lambda: [_request.place, _request.came], FIRST_S)
