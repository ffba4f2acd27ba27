"""A long call shows that it is still running, and how long it took."""

from __future__ import annotations

import threading

import pytest

from codemix.planner.progress import still_at_work


def test_a_line_is_shown_at_the_beginning_in_between_and_at_the_end():
  lines, shown_twice = [], threading.Event()

  def show(line: str) -> None:
    lines.append(line)
    if len(lines) == 3:
      shown_twice.set()

  with still_at_work('compiling', show, every_s=0.01):
    assert shown_twice.wait(30)
  assert lines[0] == 'compiling ...' and lines[1].startswith('compiling ... ')
  assert lines[-1].startswith('compiling: ')


def test_no_last_line_is_shown_after_a_failure():
  lines = []
  with pytest.raises(ValueError), still_at_work('compiling', lines.append, every_s=60):
    raise ValueError
  assert lines == ['compiling ...']
