"""The memory of a step's arrays stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import resource
import numpy as np
from codemix.parallel.host_allocator import keep_freed_memory

def page_faults():
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  for _ in range(10):
    np.ones(40 * 2**20, np.int8)  # above the 32 MiB up to which glibc learns to keep
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

page_faults()
given_back = page_faults()
keep_freed_memory()
page_faults()
print(given_back, page_faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='the C library here is not glibc')
def test_arrays_that_come_and_go_are_given_the_pages_of_those_before():
  ran = subprocess.run([sys.executable, '-c', CODE], capture_output=True, text=True, check=True)
  given_back, kept = map(int, ran.stdout.split())
  assert given_back > 100
  assert kept < given_back / 10
