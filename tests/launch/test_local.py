"""Several processes on one machine: whatever happens to one, all end, and the same command goes on."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
import types
from pathlib import Path

import pytest

from codemix import cli
from codemix.errors import CodemixError, StorageUnavailable, UserError
from codemix.launch import local
from tests import tiny_study
from tests.commands.test_wrong_input import GIN
from tests.faults import runs
from tests.launch import small_run


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
  folder = tmp_path_factory.mktemp('data')
  tiny_study.prepare(folder, bytes_each=60_000)
  return folder


@pytest.fixture
def flags(data, tmp_path) -> list[str]:
  return small_run.flags(GIN, data, tmp_path)


def launch(*words: str) -> subprocess.Popen:
  return runs.start('codemix', 'launch', 'local', '--processes=2', '--cpu_devices=1', *words)


def until_saved(output: Path, process: subprocess.Popen, after: int = 0) -> int:
  """Waits for a checkpoint of a step later than `after`; returns the step."""
  while (step := small_run.saved_step(output)) <= after:
    assert process.poll() is None, process.stderr.read()
    time.sleep(0.02)
  return step


def started(output: Path) -> list[int]:
  """The pids of the processes that were started last."""
  return [int(re.findall(r'^---.* pid (\d+)$', log.read_text(), re.M)[-1]) for log in sorted((output / 'logs').iterdir())]


def gone(pid: int) -> bool:
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return True
  return False


def test_a_killed_process_and_a_request_to_stop_lose_nothing(data, tmp_path):
  flags = small_run.flags(GIN, data, tmp_path, steps=120)
  output = tmp_path / 'out'
  killed = launch('--restarts=1', *flags)
  step = until_saved(output, killed)
  before = started(output)
  os.kill(before[1], signal.SIGKILL)
  until_saved(output, killed, after=step + 20)  # all have been started again, and train
  now = started(output)
  assert all(map(gone, before)) and not set(now) & set(before)
  killed.send_signal(signal.SIGTERM)
  stopped = runs.finish(killed)
  assert stopped.returncode == 75, stopped.stderr
  assert '[1] was ended by SIGKILL' in stopped.stderr
  assert 'all processes start again' in stopped.stderr and all(map(gone, now))

  again = runs.finish(launch(*flags))
  assert again.returncode == 0, again.stderr
  assert again.stdout.splitlines() == [f'report: {output / "report.html"}']
  faulty = small_run.results(output)
  shutil.rmtree(output)
  assert runs.finish(launch(*flags)).returncode == 0
  assert small_run.results(output) == faulty
  assert '[0] ' in again.stderr and (output / 'logs' / 'process-0.log').read_text().count('--- ') == 1


def test_a_mistake_of_the_user_ends_all_at_once_and_is_not_tried_again(flags, tmp_path):
  ended = runs.finish(launch('--restarts=5', *flags, '--gin.Stage.batch=7'))
  assert ended.returncode == 2 and 'start again' not in ended.stderr
  assert re.search(r'^\[[01]\] codemix study: .*7', ended.stderr, re.M), ended.stderr


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    (('--processes=0', '--cpu_devices=1'), '--processes is 0; it is a number from 1'),
    (('--cpu_devices=1',), '--cpu_devices needs --processes'),
    (('--restarts=-1', '--processes=2', '--cpu_devices=1'), '--restarts is a number of times, 0 or more'),
    (('--processes=2', '--cpu_devices=1', '--gin.Recipe.sed=1'), 'sed'),
  ],
)
def test_wrong_flags_are_reported_before_anything_starts(words, message, flags, tmp_path):
  ended = runs.finish(runs.start('codemix', 'launch', 'local', *flags, *words))
  assert ended.returncode == 2 and message in ended.stderr and 'Traceback' not in ended.stderr
  assert not (tmp_path / 'out').exists()


def test_a_dry_run_prints_what_a_shell_can_run(flags, tmp_path):
  ended = runs.finish(launch('--dry_run', *flags, "--gin.Study.note='a b; c'"))
  prepare, *members = ended.stdout.splitlines()
  assert ended.returncode == 0 and not (tmp_path / 'out').exists()
  assert shlex.split(prepare) == ['codemix', 'prepare', *flags, "--gin.Study.note='a b; c'"]
  for number, line in enumerate(members):
    words = shlex.split(line)
    assert words[0] == 'JAX_PLATFORMS=cpu' and words[-1] == f'--process_id={number}' and words[-2] == '--num_processes=2'
    assert words[words.index('study') + 1 : -3] == [*flags, "--gin.Study.note='a b; c'"]


def test_gpus_are_divided_evenly_and_named_as_cuda_names_them(monkeypatch):
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '2,GPU-7f,4,5')
  assert local.visible_gpus() == ['2', 'GPU-7f', '4', '5']
  assert local.gpu_devices(2, local.visible_gpus()) == [{'CUDA_VISIBLE_DEVICES': '2,GPU-7f'}, {'CUDA_VISIBLE_DEVICES': '4,5'}]
  with pytest.raises(UserError, match='4 GPUs cannot be divided evenly among 3'):
    local.gpu_devices(3, local.visible_gpus())
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
  assert local.visible_gpus() == []


def test_a_process_that_does_not_end_is_ended_with_the_others(tmp_path, monkeypatch):
  monkeypatch.setattr(local, 'GRACE_S', 1)
  (tmp_path / 'sleeps.py').write_text('import time; time.sleep(600)')
  (tmp_path / 'fails.py').write_text('import sys; print("result"); print("why", file=sys.stderr); sys.exit(3)')
  environment = {'PYTHONPATH': str(tmp_path)}
  shown, results = [], []
  processes = local.LocalProcesses(tmp_path / 'logs', lambda number, line: shown.append((number, line)), results.append)
  assert local.run_together(processes, [local.Member(environment, ('sleeps',)), local.Member(environment, ('fails',))]) == 3
  assert (1, 'why') in shown and (1, 'ended with exit code 3; the others end, too') in shown and results == ['result']
  assert all(map(gone, started(tmp_path)))


def test_a_process_that_was_killed_is_named_and_not_the_one_that_noticed_it(tmp_path, monkeypatch):
  monkeypatch.setattr(local, 'TICK_S', 3)  # both end within a tick
  (tmp_path / 'notices.py').write_text('import sys; sys.exit(76)')
  (tmp_path / 'dies.py').write_text('import os, signal; os.kill(os.getpid(), signal.SIGKILL)')
  environment = {'PYTHONPATH': str(tmp_path)}
  shown = []
  processes = local.LocalProcesses(tmp_path / 'logs', lambda number, line: shown.append((number, line)), lambda line: None)
  assert local.run_together(processes, [local.Member(environment, ('notices',)), local.Member(environment, ('dies',))]) == 76
  assert shown == [(1, 'was ended by SIGKILL')]


CODES = {(76, 2): 2, (3, 76): 3, (76, 75): 75, (76, 76): 76, (0, 76): 76, (-signal.SIGSEGV, 76): 76, (-signal.SIGABRT, 1): 1, (-signal.SIGINT, 76): 130, (0, 0): 0}


@pytest.mark.parametrize('returned', CODES, ids=str)
def test_the_exit_code_is_the_first_that_a_new_start_does_not_help_against(returned, tmp_path):
  ended = types.SimpleNamespace
  processes = local.LocalProcesses(tmp_path, lambda number, line: None, lambda line: None)
  processes.running = {number: ended(poll=lambda: 0, returncode=code) for number, code in enumerate(returned)}
  assert local._wait(processes) == CODES[returned]


@pytest.mark.parametrize(
  ('restarts', 'codes', 'last'),
  [
    (1, [75, 75, 76, 75, 0], 0),  # a preemption is no failure
    (1, [76, 76, 0], 76),
    (2, [74, 75, 76, 2], 2),
    (0, [75, 0], 75),
    (5, [1], 1),
  ],
)
def test_failures_are_counted_and_preemptions_are_not(restarts, codes, last, flags, monkeypatch):
  left = iter(codes)
  monkeypatch.setattr(local, 'run_together', lambda processes, of: next(left))
  assert cli.main(['launch', 'local', '--processes=2', '--cpu_devices=1', f'--restarts={restarts}', *flags]) == last


def test_signals_reach_the_processes_and_their_handlers_are_put_back(tmp_path):
  (tmp_path / 'sleeps.py').write_text('import time; time.sleep(600)')
  processes = local.LocalProcesses(tmp_path / 'logs', lambda number, line: None, lambda line: None)
  handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
  with processes.stopped_by_signals():
    timer = threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    assert local.run_together(processes, [local.Member({'PYTHONPATH': str(tmp_path)}, ('sleeps',))] * 2) == 76
  assert processes.stopped_by == signal.SIGTERM
  assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers


@pytest.mark.parametrize(('restarts', 'code'), [(2, 0), (1, 74)])
def test_an_outage_while_it_prepares_is_a_failure_after_which_it_starts_again(restarts, code, flags, monkeypatch):
  errors: list[CodemixError] = [StorageUnavailable('the bucket does not answer.')] * 2

  def prepare(*arguments):
    if errors:
      raise errors.pop()

  monkeypatch.setattr('codemix.studies.preparation.prepare_in_own_process', prepare)
  monkeypatch.setattr(local, 'run_together', lambda processes, of: 0)
  assert cli.main(['launch', 'local', '--processes=2', '--cpu_devices=1', f'--restarts={restarts}', *flags]) == code
