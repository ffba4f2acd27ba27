"""Where a stage's time went: the parts add up, survive a kill, and what had to be done again is lost."""

from __future__ import annotations

import contextlib
import errno
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import codemix
from codemix.commands.inspect import stage_times
from codemix.errors import UserError
from codemix.evaluation import held_out
from codemix.studies import serial
from codemix.training import goodput, loop
from codemix.training.goodput import LOST, PARTS, TimeAccount, add_up, read_times, total
from tests import tiny_study

SECONDS = st.dictionaries(st.sampled_from(PARTS), st.floats(0, 100), max_size=4)


class Clock:
  """Time that goes on only when it is told to."""

  now = 0.0

  def monotonic(self) -> float:
    return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
  clock = Clock()
  monkeypatch.setattr(goodput.time, 'monotonic', clock.monotonic)
  return clock


@st.composite
def histories(draw):
  """Lines of processes, each of which goes on from a step that one before it had reached."""
  lines, reached = [], [0]
  for _ in range(draw(st.integers(1, 4))):
    step = draw(st.sampled_from(sorted(set(reached))))
    for number in range(draw(st.integers(1, 4))):
      line = {'seconds': draw(SECONDS)} if number else {'from': step, 'seconds': draw(SECONDS)}
      step += draw(st.integers(0, 5))
      lines.append({**line, 'step': step})
      reached.append(step)
  return lines


@given(histories())
def test_the_parts_and_what_is_lost_add_up_to_all_that_was_spent(lines):
  spent = sum(sum(line['seconds'].values()) for line in lines)
  times = add_up(lines)
  assert times.total == pytest.approx(spent)
  assert all(seconds >= -1e-9 for seconds in times.seconds.values())
  assert 0 <= times.goodput <= 1 + 1e-9
  assert times.resumed == sum('from' in line for line in lines) - 1


@given(histories(), st.integers(1, 1000))
def test_device_seconds_are_the_seconds_of_all_lines_times_their_devices(lines, devices):
  assert add_up(lines).device_seconds == 0
  counted = add_up([{**line, 'devices': devices} for line in lines])
  assert counted.device_seconds == pytest.approx(devices * counted.total)


@given(histories())
def test_what_is_lost_is_lost_for_good_and_a_further_process_adds_to_the_rest(lines):
  before = add_up(lines)
  after = add_up([*lines, {'from': 0, 'step': 0, 'seconds': {}}])  # from the very beginning
  assert after.seconds[LOST] >= before.seconds[LOST] - 1e-9
  moved = sum(
    sum(line['seconds'].get(part, 0.0) for part in ('step', 'data', 'save'))
    for line, begin in zip(lines, begins(lines), strict=True)
    if line['step'] > begin
  )
  assert after.seconds[LOST] == pytest.approx(moved)
  assert after.seconds['compile'] == pytest.approx(before.seconds['compile'])


def begins(lines):
  step = 0
  for line in lines:
    step = line.get('from', step)
    yield step
    step = line['step']


def test_steps_after_the_one_from_which_a_process_goes_on_are_lost_and_no_others():
  killed = [
    {'from': 0, 'step': 4, 'seconds': {'idle': 1.0, 'compile': 2.0, 'step': 4.0, 'data': 0.5}},
    {'step': 7, 'seconds': {'step': 3.0, 'save': 0.25}},
  ]
  resumed = [{'from': 4, 'step': 8, 'seconds': {'idle': 1.0, 'step': 4.0}}]
  assert add_up(killed).seconds[LOST] == 0
  times = add_up([*killed, *resumed])
  assert times.seconds == {
    'step': 8.0, 'compile': 2.0, 'data': 0.5, 'save': 0.0, 'evaluation': 0.0, 'idle': 2.0, LOST: 3.25
  }  # fmt: skip
  assert times.goodput == 8.0 / 15.75
  assert ', went on once: ' in str(times)
  assert 'lost 20.6%' in str(times)


def test_of_a_line_that_spans_a_later_beginning_the_share_of_its_steps_is_lost():
  lines = [{'from': 0, 'step': 10, 'seconds': {'step': 10.0}}, {'from': 4, 'step': 4, 'seconds': {}}]
  assert add_up(lines).seconds[LOST] == pytest.approx(6)


def test_time_is_spent_on_one_part_at_a_time(clock, tmp_path):
  with TimeAccount(tmp_path, 'idle') as account:
    clock.now += 1
    account.goes_on_from(3)
    with account.spent_on('step'):
      clock.now += 2
      with account.spent_on('save'):
        clock.now += 4
      clock.now += 8
      items = account.waiting_for('data', slowly(clock, 'ab'))
      assert next(items) == 'a'
      clock.now += 32
      assert list(items) == ['b']
    account.reached(5)
    clock.now += 64
  times = read_times(tmp_path)
  assert times.seconds == {'step': 42, 'compile': 0, 'data': 32, 'save': 4, 'evaluation': 0, 'idle': 65, LOST: 0}
  assert times.total == clock.now
  [line] = (tmp_path / 'time.jsonl').read_text().splitlines()
  assert json.loads(line)['from'] == 3
  assert json.loads(line)['step'] == 5


def slowly(clock, items):
  for item in items:
    clock.now += 16
    yield item


def test_a_part_ends_also_where_it_fails(clock, tmp_path):
  account = TimeAccount(tmp_path, 'idle')
  with pytest.raises(KeyError), account, account.spent_on('save'):
    clock.now += 2
    raise KeyError
  assert read_times(tmp_path).seconds['save'] == 2


def test_each_line_says_what_went_by_since_the_one_before(clock, tmp_path):
  with TimeAccount(tmp_path, 'step') as account:
    account.goes_on_from(0)
    for step in (1, 2):
      clock.now += step
      account.reached(step)
      account.write()
  lines = [json.loads(line) for line in (tmp_path / 'time.jsonl').read_text().splitlines()]
  assert [line['seconds']['step'] for line in lines] == [1, 2, 0]
  assert [line.get('from') for line in lines] == [0, None, None]


def test_where_another_process_writes_nothing_is_written(tmp_path):
  with TimeAccount(None, 'idle') as account, account.spent_on('step'):
    account.write()
  assert list(tmp_path.iterdir()) == []
  assert read_times(tmp_path) is None


def test_a_line_that_was_cut_off_harms_neither_the_sum_nor_the_next_line(tmp_path):
  path = tmp_path / 'time.jsonl'
  whole = '{"from": 0, "step": 2, "seconds": {"step": 1.0}}\n'
  path.write_text(whole + '{"step": 4, "sec')
  assert read_times(tmp_path).seconds['step'] == 1.0
  with TimeAccount(tmp_path, 'idle'):
    pass
  first, second = path.read_text().splitlines(keepends=True)
  assert first == whole
  assert json.loads(second)['seconds'].keys() == {'idle'}


@pytest.fixture
def disk(monkeypatch) -> SimpleNamespace:
  """On which an account writes: it can be `full`, and calls `at_write()` before each line."""
  disk = SimpleNamespace(full=False, at_write=lambda: None)

  def open_on_disk(path, *arguments, **settings):
    disk.at_write()
    return open('/dev/full' if disk.full else path, *arguments, **settings)

  monkeypatch.setattr(goodput, 'open', open_on_disk, raising=False)
  return disk


def test_time_that_a_full_disk_did_not_take_is_in_the_next_line(clock, disk, tmp_path):
  disk.full = True
  with TimeAccount(tmp_path, 'step') as account:
    account.goes_on_from(3)
    clock.now += 2
    account.reached(4)
    with pytest.raises(UserError, match=r'time\.jsonl: the disk is full'):
      account.write()
    disk.full = False
    clock.now += 1
  [line] = map(json.loads, (tmp_path / 'time.jsonl').read_text().splitlines())
  assert line == {'from': 3, 'step': 4, 'seconds': {'step': 3.0}}


def test_what_an_interrupted_write_did_not_take_is_in_the_next_line(clock, disk, tmp_path):
  def interrupt():
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt), TimeAccount(tmp_path, 'step') as account:
    account.goes_on_from(7)
    clock.now += 2
    disk.at_write = interrupt
    try:
      account.write()
    finally:
      disk.at_write = lambda: None
  [line] = map(json.loads, (tmp_path / 'time.jsonl').read_text().splitlines())
  assert line == {'from': 7, 'step': 7, 'seconds': {'step': 2.0}}


def test_half_a_line_that_a_full_disk_took_is_gone_before_the_next(clock, disk, tmp_path):
  path = tmp_path / 'time.jsonl'

  def fill_up():
    path.write_text(path.read_text() + '{"seco')
    raise OSError(errno.ENOSPC, 'full')

  with TimeAccount(tmp_path, 'step') as account:
    account.write()
    disk.at_write = fill_up
    with pytest.raises(UserError):
      account.write()
    disk.at_write = lambda: None
    clock.now += 1
  assert [json.loads(line)['seconds'] for line in path.read_text().splitlines()] == [{'step': 0.0}, {'step': 1.0}]


@pytest.mark.parametrize('error', [UserError('4 MiB are needed'), KeyError('a bug'), KeyboardInterrupt()], ids=repr)
def test_a_line_that_cannot_be_written_hides_no_error_that_is_under_way(disk, tmp_path, error):
  disk.full = True
  with pytest.raises(type(error)) as raised, TimeAccount(tmp_path, 'step') as account:
    with contextlib.suppress(UserError):
      account.write()
    raise error
  assert raised.value is error


def test_a_line_at_the_end_that_finds_no_room_is_a_mistake_the_user_can_fix(disk, tmp_path):
  disk.full = True
  with pytest.raises(UserError, match='the disk is full'), TimeAccount(tmp_path, 'step'):
    pass


def test_a_beginning_told_while_a_line_is_written_is_in_the_next_line(disk, tmp_path):
  with TimeAccount(tmp_path, 'step') as account:
    disk.at_write = lambda: account.goes_on_from(4)
    account.write()
    disk.at_write = lambda: None
  first, second = map(json.loads, (tmp_path / 'time.jsonl').read_text().splitlines())
  assert 'from' not in first
  assert second['from'] == 4


def test_an_account_that_is_not_entered_starts_no_thread(tmp_path, monkeypatch):
  monkeypatch.setattr(goodput, 'EVERY_S', 0.01)
  TimeAccount(tmp_path, 'idle')
  assert 'time account' not in {thread.name for thread in threading.enumerate()}


def test_a_run_that_is_refused_touches_nothing(tmp_path):
  (tmp_path / 'time.jsonl').write_text('{"half')
  with pytest.raises(UserError), TimeAccount(tmp_path / 'stage', 'idle'), TimeAccount(tmp_path, 'idle'):
    raise UserError
  assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [('time.jsonl', '{"half')]


KILLED = """
import os, pathlib, signal, sys, time
from codemix.training import goodput
goodput.EVERY_S = 0.05
with goodput.TimeAccount(pathlib.Path(sys.argv[1]), 'step') as account:
  account.goes_on_from(0)
  account.reached(1)
  time.sleep(1)
  os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_takes_no_more_with_it_than_the_time_since_the_last_line(tmp_path):
  ended = subprocess.run([sys.executable, '-c', KILLED, tmp_path], cwd=Path(loop.__file__).parents[2], check=False)
  assert ended.returncode == -signal.SIGKILL
  # A busy machine may be late with a line, but not a half of the time.
  assert read_times(tmp_path).seconds['step'] > 0.5


def test_several_stages_add_up():
  one = add_up([{'from': 0, 'step': 1, 'seconds': {'step': 1.0}}])
  two = add_up([{'from': 0, 'step': 1, 'seconds': {'step': 2.0, 'save': 1.0}}])
  both = total([one, two])
  assert (both.seconds['step'], both.total) == (3.0, 4.0)


def test_how_often_stages_went_on_adds_up_and_a_stage_that_never_stopped_adds_nothing():
  once = add_up([{'from': 0, 'step': 1, 'seconds': {'step': 1.0}}])
  twice = add_up([{'from': step, 'step': step, 'seconds': {'step': 1.0}} for step in (0, 1, 2)])
  never_began = add_up([{'seconds': {'idle': 1.0}}])
  assert total([once, once, once, never_began]).resumed == 0
  assert 'went on' not in str(total([once, once, once, never_began]))
  assert ', went on 2 times: ' in str(total([once, twice]))


def study() -> codemix.Study:
  stage = tiny_study.stage('balanced', {'text': 0.5, 'code': 0.5}, 8)
  return codemix.Study(name='account', recipes={'only': tiny_study.recipe(stage)}, validation=('text',))


class Interrupted(Exception):
  """Ends a run in the test's process."""


@pytest.fixture(scope='module')
def interrupted(tmp_path_factory) -> Path:
  """The folder of a stage of 8 steps, saved each 4, that was interrupted in step 7 and then went on to its end."""
  from tests.in_process import use_one_device

  root = tmp_path_factory.mktemp('account')
  data = tiny_study.prepare(root / 'data', bytes_each=6_000)
  write, calls = loop.StageLog.write, []

  def interrupt(*arguments):
    calls.append(arguments)
    if len(calls) == 7:
      raise Interrupted
    time.sleep(0.05)  # a step
    return write(*arguments)

  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    patch.setattr(loop.StageLog, 'write', interrupt)
    with pytest.raises(Interrupted):
      codemix.run_study(study(), data, tiny_study.runtime(root / 'run'))
    [folder] = (root / 'run').glob('stages/*')
    (root / 'before.jsonl').write_bytes((folder / 'time.jsonl').read_bytes())
    codemix.run_study(study(), data, tiny_study.runtime(root / 'run'))
  return root


def test_a_resumed_stage_keeps_what_earlier_processes_took_and_tells_what_was_lost(interrupted):
  [folder] = (interrupted / 'run').glob('stages/*')
  before = (interrupted / 'before.jsonl').read_text()
  assert (folder / 'time.jsonl').read_text().startswith(before)
  first = add_up(map(json.loads, before.splitlines()))
  times = read_times(folder)
  assert times.resumed == 1
  assert first.seconds[LOST] == 0
  assert times.seconds[LOST] > 0.05  # steps 5 and 6 were trained twice
  assert times.seconds['step'] >= 0.4  # eight that count
  assert times.seconds['compile'] >= first.seconds['compile'] > 0
  assert times.seconds['evaluation'] > 0
  assert times.seconds['save'] > 0
  assert times.seconds['data'] > 0


def test_a_line_is_there_for_each_save_at_the_very_step(interrupted):
  [folder] = (interrupted / 'run').glob('stages/*')
  lines = [json.loads(line) for line in (folder / 'time.jsonl').read_text().splitlines()]
  assert [line['from'] for line in lines if 'from' in line] == [0, 4]
  assert {4, 8} <= {line.get('step') for line in lines}


def test_inspect_shows_the_account_of_each_stage(interrupted, tmp_path):
  plan = codemix.plan_study(study(), codemix.Data(directory=str(interrupted / 'data'), tokenizer='bytes'))

  [shown] = stage_times(str(interrupted / 'run'), plan.stages())
  assert shown['stage'] == plan.stages()[0].folder_name
  assert shown['seconds'][LOST] > 0
  assert sum(shown['seconds'].values()) * shown['goodput'] == pytest.approx(shown['seconds']['step'])
  assert list(stage_times(str(tmp_path), plan.stages())) == []


def test_an_evaluation_that_was_left_out_is_counted_once(tmp_path, monkeypatch):
  from tests.in_process import use_one_device

  data = tiny_study.prepare(tmp_path / 'data', bytes_each=6_000)
  stages = [tiny_study.stage(name, {'text': share, 'code': 1 - share}, 4) for name, share in (('one', 0.5), ('two', 0.25))]
  two_stages = codemix.Study(name='account', recipes={'only': tiny_study.recipe(*stages)}, validation=('text',))
  use_one_device(monkeypatch)
  with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
    patch.setattr(serial, 'evaluate_stage', interrupt_at_once)
    codemix.run_study(two_stages, data, tiny_study.runtime(tmp_path / 'run'))

  jumped, score = [], held_out.score_documents
  clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 1000 * len(jumped))

  def score_slowly(*arguments, **settings):
    jumped.append(1)
    return score(*arguments, **settings)

  monkeypatch.setattr(held_out, 'score_documents', score_slowly)
  monkeypatch.setattr(serial, 'time', clock)
  monkeypatch.setattr(goodput, 'time', clock)
  codemix.run_study(two_stages, data, tiny_study.runtime(tmp_path / 'run'))
  seconds = total(map(read_times, (tmp_path / 'run').glob('stages/*'))).seconds
  assert seconds['evaluation'] >= 2000
  assert seconds['idle'] < 1000


def interrupt_at_once(*_):
  raise Interrupted
