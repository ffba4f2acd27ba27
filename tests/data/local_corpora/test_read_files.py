"""Files are read on all cores in order, also where a process cannot be started or dies."""

from __future__ import annotations

import multiprocessing
import os
import sys
import sysconfig
from pathlib import Path

import pytest

from codemix.data.local_corpora import read_files as module
from codemix.data.local_corpora.installation import InstalledFile
from codemix.data.local_corpora.read_files import read_files
from codemix.data.local_corpora.readers import read_code, read_prose

FILES = [
  InstalledFile('python', path.name, path) for path in sorted(Path(sysconfig.get_path('stdlib')).glob('*.py'))[:60]
]


@pytest.fixture(autouse=True)
def small_jobs(monkeypatch):
  monkeypatch.setattr(module, 'WORTH_A_PROCESS', 10)
  monkeypatch.setattr(module, 'cores', lambda: 2)
  monkeypatch.setattr(module, 'CHUNK', 4)


@pytest.mark.parametrize('reader', [read_code, read_prose])
@pytest.mark.parametrize('count', [0, pytest.param(1, marks=pytest.mark.slow), 3])
def test_processes_give_what_this_one_would_in_order(reader, count, monkeypatch):
  monkeypatch.setattr(module, 'cores', lambda: count)
  assert list(read_files(reader, FILES)) == [(file, reader(str(file.location))) for file in FILES]


def pid_or_death(path: str) -> int:
  if Path(path).name == FILES[30].path and multiprocessing.parent_process():
    os.kill(os.getpid(), 9)
  return os.getpid()


def test_the_work_of_a_killed_process_is_done_here():
  pids = [pid for _, pid in read_files(pid_or_death, FILES)]
  assert len(pids) == len(FILES) and pids[30] == os.getpid()


@pytest.mark.parametrize('executable', ['/absent/python', '/bin/false'])
def test_where_no_process_can_be_started_the_work_is_done_here(executable):
  multiprocessing.set_executable(executable)
  try:
    assert [pid for _, pid in read_files(pid_or_death, FILES)] == [os.getpid()] * len(FILES)
  finally:
    multiprocessing.set_executable(sys.executable)


def test_no_process_outlives_a_reader_that_stops_early():
  results = read_files(read_code, FILES)
  next(results)
  assert multiprocessing.active_children()
  results.close()
  assert not multiprocessing.active_children()
