"""What must hold of the report of a study of 100 arms, 20 tasks and 5 seeds: its size, and that nobody waits for it."""

from __future__ import annotations

import time

import pytest

from codemix.report.content import MANY_RUNS
from codemix.report.write import write_report
from tests.report.large_study import TASKS, write_large_study
from tests.report.page import Page

LARGEST_PAGE = 5_000_000  # bytes
# In units of `unit`: it took 57 (16.5 s of the processor, the loop 0.29 s) on two quiet cores. The wish is 10 s.
LONGEST = 130


def unit() -> float:
  """Seconds of the processor for a loop in plain Python: how fast the machine is at this hour."""
  start, total = time.process_time(), 0
  for number in range(10**7):
    total += number
  return time.process_time() - start


def test_a_page_of_many_runs_leaves_out_what_nobody_reads_and_says_so(tmp_path):
  folder = write_large_study(tmp_path / 'study', arms=22, seeds=3, tasks=TASKS[:3], items=20, steps=24)
  assert MANY_RUNS < 22 * 3
  page = write_report(folder)
  shown = Page(page.read_text()).words
  words = ' '.join(shown)
  assert 'This study has 66 runs, more than 64' in words and 'seed 2' not in shown
  assert all(f'arm {arm:03d}' in words for arm in range(22))
  assert page.stat().st_size < LARGEST_PAGE // 4
  assert not (folder / 'report_files').exists()


@pytest.mark.slow
def test_a_hundred_arms_twenty_tasks_and_five_seeds(tmp_path):
  folder = write_large_study(tmp_path / 'study')
  write_report(write_large_study(tmp_path / 'small', arms=2, seeds=1, tasks=TASKS[:2]))  # imports
  before, start = unit(), time.process_time()
  page = write_report(folder)
  seconds, after = time.process_time() - start, unit()
  assert page.stat().st_size < LARGEST_PAGE
  # Of the processor, and beside a loop that other processes slow down as much.
  assert seconds / max(before, after) < LONGEST, f'{seconds:.1f} s, and {before:.2f} and {after:.2f} s for the loop'
