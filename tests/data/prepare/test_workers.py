"""The same results in the same order, wherever the steps run; and a worker that dies is told of."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys

import pytest

from codemix.data.prepare import workers
from codemix.data.prepare.workers import Beam, InProcess, Processes
from codemix.errors import CodemixError, UserError


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
    monkeypatch.setattr(workers, 'POLL_S', 0.01)
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
