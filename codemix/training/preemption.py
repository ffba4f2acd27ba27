"""SIGTERM, with which a batch system announces that it will take the machine."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import jax
from jax.experimental import multihost_utils

from codemix.errors import Preempted
from codemix.training.rewinds import SpikeFound


@contextlib.contextmanager
def stopping_at_once() -> Iterator[None]:
  """Raises Preempted when SIGTERM comes, for work whose results are on disk already."""

  def stop(number: int, frame: FrameType | None) -> None:
    raise Preempted('asked to stop; whatever was finished is saved. The same command goes on from there.')

  with _handling(stop):
    yield


@contextlib.contextmanager
def stopping_after_a_step() -> Iterator[Callable[[int], bool]]:
  """Yields a function of the step: whether to save and stop after it.

  A signal that came too late for that is passed, at the end, to the previous handler of SIGTERM.
  """
  if jax.process_count() > 1:
    # The processes must agree on the step; JAX's coordination service decides it.
    yield multihost_utils.reached_preemption_sync_point
    return
  asked = threading.Event()
  try:
    with _handling(lambda *_: asked.set()):
      yield lambda step: asked.is_set()
  except SpikeFound:  # the steps end, and the stage does not
    if asked.is_set():
      signal.raise_signal(signal.SIGTERM)
    raise
  if asked.is_set():
    signal.raise_signal(signal.SIGTERM)


@contextlib.contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
  """Handles SIGTERM in the main thread, if JAX does not handle it for all processes."""
  if threading.current_thread() is not threading.main_thread() or jax.process_count() > 1:
    yield
    return
  before = signal.signal(signal.SIGTERM, handler)
  try:
    yield
  finally:
    signal.signal(signal.SIGTERM, before)
