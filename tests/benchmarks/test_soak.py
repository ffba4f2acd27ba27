"""The soak tells a process that leaks from one that does not, and ends as a preempted run does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from codemix.benchmarks.soak import Sample, figures
from tests.faults import runs


def of(memory: float, handles: float, threads: float) -> dict[str, float]:
  """The figures of two hours with so much more of each in an hour; MiB of memory, and a first quarter that grows fast."""
  samples = [
    Sample(seconds, int(2**20 * (500 + memory * seconds / 3600 - 1000 * max(0, 1 - seconds / 1800))), int(100 + handles * seconds / 3600), int(50 + threads * seconds / 3600))
    for seconds in range(0, 7200, 10)
  ]
  return {figure.name: figure.value for figure in figures(samples)}


def test_slopes_are_those_after_the_warm_up():
  found = of(memory=36, handles=60, threads=-20)
  assert found['memory an hour'] == pytest.approx(36, rel=0.01)
  assert found['handles an hour'] == pytest.approx(60, rel=0.02) and found['threads an hour'] == pytest.approx(-20, rel=0.05)
  assert found['memory at the end'] - found['memory after the warm-up'] == pytest.approx(36 * 1.5, rel=0.02)


@pytest.mark.slow
def test_a_minute_of_it_trains_saves_and_tells_its_goodput(tmp_path):
  words = ('bench', 'soak', f'--folder={tmp_path}', '--size=minutes=1', '--size=interval=50', '--size=begin=100', '--size=every_s=1')
  ran = subprocess.run([sys.executable, '-m', 'codemix', *words], env=runs.environment(), capture_output=True, text=True, timeout=400, check=False)
  assert ran.returncode == 0, ran.stderr
  assert 'goodput' in ran.stdout and 'memory an hour' in ran.stdout
