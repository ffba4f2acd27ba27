"""Starts processes that train the small study together."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.faults import runs


def free_port() -> int:
  with socket.socket() as probe:
    probe.bind(('localhost', 0))
    return probe.getsockname()[1]


def start(
  place, output: Path, port: int, count: int, index: int, *flags: str, data: Path | None = None, root: Path = runs.ROOT, variables: Mapping[str, str] | None = None
) -> subprocess.Popen:
  """Starts process `index` of `count`.

  Args:
    place: the fixture of `tests/faults/conftest.py`.
    data: another folder than that of `place`.
    root: another checkout than this one.
    variables: of the environment, beside those of this process.
  """
  words = (data or place.data, output, place.cache, port, count, index, *flags)
  return subprocess.Popen(
    [sys.executable, '-m', 'tests.faults.member', *map(str, words)],
    cwd=root,
    env={**runs.environment(), 'PYTHONPATH': str(root), **(variables or {})},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def ends(members: Sequence[subprocess.Popen], within_s: float = 120) -> list[tuple[int, str]]:
  """Exit code and stderr of each; none of them is left behind."""
  try:
    return [(ended.returncode, ended.stderr) for ended in [runs.finish(member, within_s) for member in members]]
  finally:
    for member in members:
      member.kill()
      member.wait()
