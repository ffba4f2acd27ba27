"""A long call says that it is still at work, and how long it took."""

from __future__ import annotations

import threading

import pytest

from codemix.planner.progress import still_at_work


def test_it_is_told_at_the_beginning_in_between_and_at_the_end():
  lines, told_twice = [], threading.Event()

  def show(line: str) -> None:
    lines.append(line)
    if len(lines) == 3:
      told_twice.set()

  with still_at_work('compiling', show, every=0.01):
    assert told_twice.wait(30)
  assert lines[0] == 'compiling ...' and lines[1].startswith('compiling ... ')
  assert lines[-1].startswith('compiling: ')


def test_nothing_is_told_after_a_failure():
  lines = []
  with pytest.raises(ValueError), still_at_work('compiling', lines.append, every=60):
    raise ValueError
  assert lines == ['compiling ...']
