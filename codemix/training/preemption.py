"""SIGTERM: a batch system's word that the machine is wanted back in a moment."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import jax
from jax.experimental import multihost_utils

from codemix.errors import Preempted


@contextlib.contextmanager
def stopping_at_once() -> Iterator[None]:
  """Raises Preempted when SIGTERM comes: right wherever all that counts is on disk already."""

  def stop(number: int, frame: FrameType | None) -> None:
    raise Preempted('asked to stop; whatever was finished is saved. The same command goes on from there.')

  with _handling(stop):
    yield


@contextlib.contextmanager
def stopping_after_a_step() -> Iterator[Callable[[int], bool]]:
  """Yields a function of the step that says whether to save and stop after it.

  A signal that came too late for that goes, at the end, to whoever handled SIGTERM before.
  """
  if jax.process_count() > 1:
    # The processes must agree on the step; JAX's coordination service brings them to one.
    yield multihost_utils.reached_preemption_sync_point
    return
  asked = threading.Event()
  with _handling(lambda *_: asked.set()):
    yield lambda step: asked.is_set()
  if asked.is_set():
    signal.raise_signal(signal.SIGTERM)


@contextlib.contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
  """Handles SIGTERM, where Python may: in the main thread, and where JAX does not for all processes."""
  if threading.current_thread() is not threading.main_thread() or jax.process_count() > 1:
    yield
    return
  before = signal.signal(signal.SIGTERM, handler)
  try:
    yield
  finally:
    signal.signal(signal.SIGTERM, before)
