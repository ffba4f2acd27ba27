"""Ends a process at a chosen moment of its work."""

from __future__ import annotations

import errno
import functools
import importlib
import inspect
import itertools
import os
import signal
import time

SLEEP, FULL, PAUSE = 'SLEEP', 'FULL', 'PAUSE'


def owner_of(target: str) -> tuple[object, str]:
  """'module:Class.method' -> the class or module that holds it, and its name there."""
  module, _, path = target.partition(':')
  owner = importlib.import_module(module)
  *parents, name = path.split('.')
  for parent in parents:
    owner = getattr(owner, parent)
  return owner, name


def interrupt(target: str, call: int, signal_name: str, pause_s: float = 0.0) -> None:
  """Replaces a function so that its `call`-th call begins with a signal to this process, or, for 'SLEEP', does not end, or, for 'FULL', finds the disk full.

  Args:
    pause_s: seconds for which it waits after the signal, or, for 'PAUSE', without one.
  """
  owner, name = owner_of(target)
  original = getattr(owner, name)
  calls = itertools.count(1)

  @functools.wraps(original)
  def wrapped(*args, **kwargs):
    if next(calls) == call:
      if signal_name == SLEEP:
        time.sleep(600)
      if signal_name == FULL:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
      if signal_name != PAUSE:
        os.kill(os.getpid(), getattr(signal, signal_name))
      time.sleep(pause_s)
    return original(*args, **kwargs)

  @functools.wraps(original)
  async def wrapped_coroutine(*args, **kwargs):
    return await wrapped(*args, **kwargs)

  setattr(owner, name, wrapped_coroutine if inspect.iscoroutinefunction(original) else wrapped)
