"""A Python solution and its tests as one program for the sandbox, in which the solution cannot change the tests."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path


def tested_program(solution: str, tests: str, names: Iterable[str]) -> str:
  """The program that runs `tests` on `solution`, each in a process of its own.

  Tests and solution exchange plain data: None, bool, int, float, complex, str, bytes, list, tuple, dict, set
  and frozenset of these. Any other object stays with the solution; the tests can call it, read and set its
  attributes, and pass it back, but not compare it.

  Args:
    solution: Python source.
    tests: Python source that raises an error if the solution is wrong.
    names: the functions and classes of the solution that the tests use.
  """
  worker = _source('plain_data') + _source('solution_side')
  sources = _source('plain_data') + _source('tests_side')
  return f'{sources}\nrun_tests({solution!r}, {tests!r}, {sorted(names)!r}, {worker!r})\n'


@functools.cache
def _source(name: str) -> str:
  return Path(__file__).with_name(f'{name}.py').read_text(encoding='utf-8')
