"""Several processes that are asked to stop end at the place that they agree on, and the request is never lost.

JAX's part is replaced: it says once, at one place, that all have come there. `tests/faults/test_sigterm_together.py` has real processes.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest

import codemix
from codemix.errors import Preempted
from codemix.training import preemption, progress
from tests import tiny_study
from tests.faults import together
from tests.faults.runs import ROOT, assert_same, environment, result_of
from tests.in_process import use_one_device


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> codemix.Data:
  return tiny_study.prepare(tmp_path_factory.mktemp('data'), bytes_each=9_000)


def study() -> codemix.Study:
  """Two stages; the first has three steps, and is evaluated after the second."""
  recipe = tiny_study.recipe(tiny_study.stage('first', {'text': 0.5, 'code': 0.5}, 3, evaluate_every=2), tiny_study.cooldown({'text': 1.0}, 2))
  return codemix.Study(name='tiny', recipes={'only': recipe}, validation=('text',))


def run(data: codemix.Data, output: Path) -> None:
  codemix.run_study(study(), data, tiny_study.runtime(output, save_every=100))


@pytest.fixture(scope='module')
def undisturbed(data, tmp_path_factory) -> dict[str, object]:
  output = tmp_path_factory.mktemp('undisturbed')
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    run(data, output)
  return result_of(output)


@pytest.fixture
def agreed(monkeypatch):
  """Makes this process the first of several, which agree to stop at a place."""

  def at(place: int) -> list[int]:
    """Returns a list that fills with the places to which the process comes."""
    places: list[int] = []

    def reached(number: int) -> bool:
      places.append(number)
      return number == place

    monkeypatch.setattr(preemption, '_request', preemption._Request())
    monkeypatch.setattr(preemption, 'jax', types.SimpleNamespace(process_count=lambda: 2, process_index=lambda: 0))
    monkeypatch.setattr(preemption, 'multihost_utils', types.SimpleNamespace(reached_preemption_sync_point=reached))
    return places

  return at


# moment -> (place, step of the last checkpoint, stages that are done)
MOMENTS = {
  'before the first unit': (1, None, []),
  'after a step': (5, 1, []),
  'in an evaluation during training': (8, 2, []),
  'after the last step of a stage': (11, 3, ['first']),
  'in the evaluation of a stage': (14, 3, ['first']),
}


@pytest.mark.parametrize('moment', MOMENTS)
def test_several_processes_stop_where_they_agreed_and_go_on_to_the_same_end(moment, data, undisturbed, agreed, tmp_path, monkeypatch):
  use_one_device(monkeypatch)
  place, step, done = MOMENTS[moment]
  places = agreed(place)
  with pytest.raises(Preempted, match='asked to stop'):
    run(data, tmp_path)
  assert places == list(range(1, place + 1))
  assert [path.parent.name.partition('-')[0] for path in tmp_path.glob('stages/*/done.json')] == done
  assert [int(path.name.partition('.')[0]) for path in tmp_path.glob('stages/*/checkpoints/*.digest.json')] == ([step] if step else [])
  monkeypatch.undo()
  use_one_device(monkeypatch)
  run(data, tmp_path)
  assert_same(result_of(tmp_path), undisturbed)


def test_a_process_alone_stops_in_an_evaluation_during_training_and_saves_its_step(data, undisturbed, tmp_path, monkeypatch):
  use_one_device(monkeypatch)
  score = codemix.evaluation.held_out.score_documents
  monkeypatch.setattr('codemix.evaluation.held_out.score_documents', lambda *arguments: (signal.raise_signal(signal.SIGTERM), score(*arguments))[1])
  with pytest.raises(Preempted, match="stage 'first' was asked to stop and saved step 2"):
    run(data, tmp_path)
  monkeypatch.setattr('codemix.evaluation.held_out.score_documents', score)
  run(data, tmp_path)
  assert_same(result_of(tmp_path), undisturbed)


def test_a_request_is_kept_until_there_is_a_place_to_end(agreed):
  agreed(2)
  assert [preemption.stop_asked() for _ in range(4)] == [False, True, True, True]
  with pytest.raises(Preempted):
    preemption.stop_if_asked()


def test_threads_of_one_process_come_to_each_place_once(agreed):
  places = agreed(0)
  threads = [threading.Thread(target=lambda: [preemption.stop_asked() for _ in range(200)]) for _ in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert places == list(range(1, 801))


@pytest.mark.parametrize('stopped', [False, True])
def test_the_others_wait_for_what_process_0_does_alone_and_stop_with_it(stopped, agreed, monkeypatch):
  places, sent = agreed(3 if stopped else 0), []
  monkeypatch.setattr(preemption, 'from_first', lambda compute, timeout_s: sent.append(compute()) or sent[-1])

  def work() -> str:
    with progress.scoring_progress('stage', 'programs', 4, shown=False) as show:
      for done in range(4):
        show(done)
    return 'result'

  def both(index: int) -> str:
    monkeypatch.setattr(preemption.jax, 'process_index', lambda: index)
    return preemption.by_first(work, 'nothing')

  if stopped:
    for index in (0, 1):
      if index:
        preemption._request = preemption._Request()
        monkeypatch.setattr(preemption, 'from_first', lambda compute, timeout_s: sent[-1])
      with pytest.raises(Preempted):
        both(index)
    return
  assert both(0) == 'result' and places == [1, 2, 3, 4]
  preemption._request = preemption._Request()
  monkeypatch.setattr(preemption, 'from_first', lambda compute, timeout_s: sent[-1])
  assert both(1) == 'nothing'
  assert not preemption.stop_asked() and places[-1] == 5  # where process 0 comes next


def test_an_error_of_process_0_does_not_keep_the_others_waiting(agreed, monkeypatch):
  agreed(0)
  sent = []
  monkeypatch.setattr(preemption, 'from_first', lambda compute, timeout_s: sent.append(compute()))
  with pytest.raises(ZeroDivisionError):
    preemption.by_first(lambda: 1 / 0, None)
  assert sent == [[0, False]]


WORKER = """
import sys, time
from codemix.errors import Preempted
from codemix.parallel import processes
from codemix.training.preemption import by_first, stop_if_asked

index, port = int(sys.argv[1]), sys.argv[2]
processes.initialize(f'localhost:{port}', 2, index, timeout_s=120)

def work():
  while True:
    stop_if_asked()
    time.sleep(0.05)

stop_if_asked()
print('waits', flush=True)
try:
  by_first(work, None)
except Preempted as error:
  processes.leave(error.exit_code)
"""


@pytest.mark.slow
@pytest.mark.parametrize('asked', [0, 1])
def test_a_request_to_either_of_two_processes_ends_what_one_does_alone(asked):
  port = together.free_port()
  words = lambda index: [sys.executable, '-c', WORKER, str(index), str(port)]
  members = [subprocess.Popen(words(index), env=environment(), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for index in range(2)]
  for member in members:
    while member.stdout.readline() not in ('waits\n', ''):  # before it stand Gloo's greetings
      pass
  members[asked].send_signal(signal.SIGTERM)
  assert [code for code, _ in together.ends(members)] == [Preempted.exit_code] * 2
