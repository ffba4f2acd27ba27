"""The memory of a step's arrays stays with the process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

ACCEPTED = subprocess.run([sys.executable, '-c', 'import ctypes; exit(not ctypes.CDLL(None).mallopt(-3, 2**30))'], check=False).returncode == 0

CODE = """
import resource
import numpy as np
from codemix.models.cpu.heap import retain_heap

def page_faults():
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  for _ in range(10):
    np.ones(40 * 2**20, np.int8)  # above the 32 MiB up to which glibc learns to keep
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

page_faults()
given_back = page_faults()
retain_heap()
page_faults()
print(given_back, page_faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='the C library here is not glibc')
@pytest.mark.skipif(not ACCEPTED, reason='this glibc takes no array above 32 MiB from the heap')
def test_arrays_that_come_and_go_are_given_the_pages_of_those_before():
  on_cpus = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
  ran = subprocess.run([sys.executable, '-c', CODE], capture_output=True, text=True, check=True, env=on_cpus)
  given_back, kept = map(int, ran.stdout.split())
  assert given_back > 100
  assert kept < given_back / 10
