"""Real processes that know of each other."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import pytest

from tests.faults import runs
from tests.faults.together import free_port


@pytest.fixture
def started():
  """Starts processes that know of each other, and ends what is left of them after the test."""
  members: list[subprocess.Popen] = []

  def start(*whats: Sequence[str], silence: float = 30) -> list[subprocess.Popen]:
    port = free_port()
    for index, what in enumerate(whats):
      words = ('tests.parallel.member', str(port), str(len(whats)), str(index), '--silence', str(silence), *what)
      members.append(runs.start(*words, devices=2))
    return members

  yield start
  for member in members:
    member.kill()
    member.wait()
