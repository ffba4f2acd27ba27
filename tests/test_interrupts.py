"""Ctrl-C is not lost where Python cannot raise it."""

from __future__ import annotations

import gc
import sys
import threading

import pytest

from codemix import interrupts


@pytest.fixture
def kept(monkeypatch):
  monkeypatch.setattr(sys, 'unraisablehook', others := [].append)
  interrupts.keep()
  return others.__self__


class Interrupted:
  """An object at whose end the user presses Ctrl-C."""

  def __init__(self, error: type[BaseException]):
    self.error = error

  def __del__(self):
    raise self.error


def test_ctrl_c_in_a_destructor_ends_a_wait_a_moment_later(kept):
  with pytest.raises(KeyboardInterrupt):
    Interrupted(KeyboardInterrupt)
    threading.Event().wait(30)
  assert not kept


def test_ctrl_c_in_a_collection_of_garbage_ends_a_wait_a_moment_later(kept):
  def collected(phase: str, _) -> None:
    gc.callbacks.remove(collected)
    raise KeyboardInterrupt

  gc.callbacks.append(collected)
  with pytest.raises(KeyboardInterrupt):
    gc.collect()
    threading.Event().wait(30)
  assert not kept


def test_other_errors_of_destructors_are_reported_as_before(kept):
  Interrupted(ZeroDivisionError)
  assert [each.exc_type for each in kept] == [ZeroDivisionError]
