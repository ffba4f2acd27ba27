"""Waiting for what does not come back to Python before it ends, such as a call of JAX's coordination service."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar('Result')


def interruptible(wait: Callable[[], Result]) -> Result:
  """`wait()`, called in a thread, so that Ctrl-C ends the wait at once; what it raises is raised here."""
  ended: concurrent.futures.Future[Result] = concurrent.futures.Future()

  def run() -> None:
    try:
      ended.set_result(wait())
    except Exception as error:
      ended.set_exception(error)

  # A daemon: the threads of an executor would hold up the end of the process.
  threading.Thread(target=run, name='interruptible', daemon=True).start()
  return ended.result()
