"""The same results in the same order, wherever the steps run; a worker that dies is an error that names its item."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codemix.errors import CodemixError, UserError
from codemix.storage import write_text
from codemix.workers import Beam, InProcess, Processes, beam

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Square:
  """A step that squares, and does something else at chosen items."""

  refuses: int = -1
  breaks: int = -1
  dies: int = -1

  def __call__(self, item: int) -> tuple[int, bool]:
    if item == self.refuses:
      raise UserError(f'item {item} is not wanted.')
    if item == self.breaks:
      raise KeyError(f'item {item} broke')
    if item == self.dies:
      os.kill(os.getpid(), signal.SIGKILL)
    return item * item


ITEMS = list(range(7))
SQUARES = [n * n for n in ITEMS]
KINDS = [InProcess(), Processes(1), Processes(3), Processes(20)]


@pytest.mark.parametrize('kind', KINDS, ids=str)
def test_results_come_in_the_order_of_the_items(kind):
  done = []
  assert kind.map(Square(), ITEMS, done.append) == SQUARES
  assert done == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize('kind', KINDS, ids=str)
def test_nothing_to_do_is_done(kind):
  assert kind.map(Square(), []) == []


@pytest.mark.parametrize('kind', KINDS[:2], ids=str)
def test_what_a_step_says_to_a_person_is_said(kind):
  with pytest.raises(UserError, match='item 3 is not wanted'):
    kind.map(Square(refuses=3), ITEMS)


def test_a_worker_that_breaks_shows_its_traceback_and_its_item():
  with pytest.raises(RuntimeError, match='(?s)^4:.*test_workers.py.*item 4 broke'):
    Processes(2).map(Square(breaks=4), ITEMS)


def test_a_worker_that_is_killed_is_an_error_with_its_item():
  with pytest.raises(CodemixError, match='the worker process at 2 was ended by SIGKILL'):
    Processes(2).map(Square(dies=2), ITEMS)


def test_an_error_ends_the_items_that_are_in_work(tmp_path):
  began = time.monotonic()
  with pytest.raises(UserError, match='the first one fails'):
    Processes(2).map(sleep_or_fail, [True, False])
  assert time.monotonic() - began < 60


def sleep_or_fail(fails: bool) -> None:
  if fails:
    raise UserError('the first one fails')
  time.sleep(600)


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
  script = f"""
from codemix.workers import Processes
from tests.workers.test_workers import write_pid_and_sleep
Processes(2).map(write_pid_and_sleep, [{str(tmp_path / 'a')!r}, {str(tmp_path / 'b')!r}])
"""
  parent = subprocess.Popen([sys.executable, '-c', script], cwd=ROOT)
  until(lambda: len(list(tmp_path.iterdir())) == 2)
  pids = [int(path.read_text()) for path in tmp_path.iterdir()]
  parent.kill()
  parent.wait()
  until(lambda: not any(is_running(pid) for pid in pids))


def write_pid_and_sleep(path: str) -> None:
  write_text(Path(path), str(os.getpid()))
  time.sleep(600)


def until(condition) -> None:
  deadline = time.monotonic() + 60
  while not condition():
    assert time.monotonic() < deadline
    time.sleep(0.05)


def is_running(pid: int) -> bool:
  try:
    return ') Z' not in Path(f'/proc/{pid}/stat').read_text()
  except FileNotFoundError:
    return False


@pytest.mark.parametrize('guard', ['', "if __name__ == '__main__':\n  "], ids=['no guard', 'its own step'])
def test_a_script_needs_a_main_guard_only_for_steps_of_its_own(tmp_path, guard):
  script = tmp_path / 'script.py'
  step = 'str' if not guard else 'step'
  script.write_text(
    f'from codemix.workers import Processes\ndef step(item):\n  return str(item)\n{guard}print(Processes(2).map({step}, [1, "a/__main__.py"]))\n'
  )
  ran = subprocess.run([sys.executable, script], capture_output=True, text=True, env={**os.environ, 'PYTHONPATH': str(ROOT)})
  assert (ran.stdout, ran.stderr) == ("['1', 'a/__main__.py']\n", '')


def test_what_cannot_be_sent_is_said_before_a_process_is_started():
  with pytest.raises(UserError, match='cannot be sent to another process'):
    Processes(2).map(lambda item: item, ITEMS)


@pytest.mark.parametrize('count', [0, -1, 2.5, '2'])
def test_a_senseless_count_is_refused(count):
  with pytest.raises(UserError, match='Processes.count'):
    Processes(count)


def test_cores_are_shared_out_among_the_processes(monkeypatch):
  monkeypatch.delenv('RAYON_NUM_THREADS', raising=False)
  cores = len(os.sched_getaffinity(0))
  assert set(Processes(cores).map(threads, ITEMS)) == {'1'}
  monkeypatch.setenv('RAYON_NUM_THREADS', '3')
  assert set(Processes(2).map(threads, ITEMS)) == {'3'}


def threads(item: int) -> str:
  return os.environ['RAYON_NUM_THREADS']


class TestBeam:
  """The real pipeline; Apache Beam takes seconds to import."""

  @pytest.fixture(autouse=True)
  def beam(self):
    pytest.importorskip('apache_beam')

  def test_results_come_in_the_order_of_the_items(self, monkeypatch, capfd):
    monkeypatch.setattr(beam, 'POLL_S', 0.01)
    done = []
    assert Beam().map(Square(), ITEMS, done.append) == SQUARES
    assert done[-1] == len(ITEMS)
    said = capfd.readouterr()
    assert said.out + said.err == ''

  def test_what_a_step_says_to_a_person_is_said(self, tmp_path):
    with pytest.raises(UserError, match='item 3 is not wanted'):
      Beam().map(Square(refuses=3), ITEMS, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []

  @pytest.mark.slow  # the runner starts two processes
  def test_workers_that_are_processes_give_the_same_and_are_as_quiet(self, capfd):
    options = ('--runner=DirectRunner', '--direct_num_workers=2', '--direct_running_mode=multi_processing')
    assert Beam(options).map(Square(), ITEMS) == SQUARES
    said = capfd.readouterr()
    assert said.out + said.err == ''

  def test_a_runner_that_beam_does_not_know_is_named(self):
    with pytest.raises(UserError, match='DirektRunner'):
      Beam(('--runner=DirektRunner',)).map(Square(), ITEMS)


def test_beam_that_is_not_installed_is_said_with_the_command_that_installs_it(monkeypatch):
  monkeypatch.setitem(sys.modules, 'apache_beam', None)
  with pytest.raises(UserError, match=r"pip install 'codemix\[beam\]'"):
    Beam().map(Square(), ITEMS)
