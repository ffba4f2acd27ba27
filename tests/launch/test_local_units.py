"""A study on this machine, several stages at once: they wait for each other, and come to what one process computes."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemix.launch import local, local_units
from codemix.launch.local_units import LocalUnits, StageJob, stage_jobs
from codemix.launch.restarts import Restarts
from tests.faults import runs
from tests.launch.test_local import gone, started
from tests.studies import two_arms

BY_UNIT = ('codemix', 'launch', 'local', '--by_unit', '--processes=2', '--cpu_devices=1')


@given(st.dictionaries(st.sampled_from('abcdef'), st.tuples(st.sets(st.sampled_from('abcdef')), st.booleans()), min_size=1))
def test_a_stage_is_one_job_of_all_that_is_left_of_it_and_needs_the_stages_that_are_left(stages):
  needs = {}
  for stage, (parents, trained) in sorted(stages.items()):
    needs |= {} if trained else {f'train/{stage}': tuple(f'train/{parent}' for parent in sorted(parents) if parent < stage)}
    needs[f'evaluate/{stage}'] = (f'train/{stage}',)
  jobs = stage_jobs(needs)
  assert [key for job in jobs for key in job.units] == list(needs) and [job.stage for job in jobs] == sorted(stages)
  for job in jobs:
    parents, trained = stages[job.stage]
    assert job.needs == (set() if trained else {parent for parent in parents if parent < job.stage and parent in stages and not stages[parent][1]})


@dataclasses.dataclass(frozen=True)
class Program(StageJob):
  """A job that notes when it begins and ends, and ends with the next of `codes`, of one letter each, then with 0."""

  codes: str = ''

  def member(self, gin_arguments, devices):
    return local.Member(devices, ('program', self.stage, self.codes))


PROGRAM = """
import os, pathlib, sys, time
stage, codes = sys.argv[1:]
log = pathlib.Path(os.environ['NOTES'])
tries = log.read_text().count(f'begin {stage} ') if log.exists() else 0
with open(log, 'a') as file:
  print('begin', stage, os.environ['DEVICE'], file=file, flush=True)
  time.sleep(0.1)
  code = codes[tries] if tries < len(codes) else ''
  if code in ('', 'e'):  # e: the evaluation fails
    print('trained', stage, os.environ['DEVICE'], file=file, flush=True)
  print('end', stage, os.environ['DEVICE'], file=file, flush=True)
if code == 's':
  os.kill(os.getpid(), 11)
os._exit(dict(f=3, e=3, r=76, u=2, p=75).get(code, 0))
"""


@pytest.fixture
def units(tmp_path, monkeypatch) -> LocalUnits:
  """Two processes, with a device each."""
  (tmp_path / 'program.py').write_text(PROGRAM)
  monkeypatch.setattr(local_units, 'TICK_S', 0.01)
  environment = {'PYTHONPATH': str(tmp_path), 'NOTES': str(tmp_path / 'notes')}
  processes = local.LocalProcesses(tmp_path / 'logs', lambda number, line: None, lambda line: None)
  return LocalUnits(processes, (), [{**environment, 'DEVICE': str(number)} for number in range(2)], lambda: ended_well(tmp_path), restarts=Restarts(1))


def ended_well(tmp_path: Path) -> set[str]:
  """Keys of the stages of which a try is done, as `study.json` would have them: the programs note it."""
  return {f'train/{stage}' for what, stage, _ in notes(tmp_path) if what == 'trained'}


def job(stage: str, needs: str = '', codes: str = '') -> Program:
  return Program(stage, (f'train/{stage}',), frozenset(needs), codes)


def notes(tmp_path: Path) -> list[tuple[str, str, str]]:
  return [tuple(line.split()) for line in (tmp_path / 'notes').read_text().splitlines()]


def test_a_free_process_takes_the_next_stage_whose_parents_are_done(units, tmp_path):
  assert units.run([job('a'), job('b', 'a'), job('c', 'a'), job('d'), job('e', 'bd')]) == 0
  seen, working = [], {}
  for what, stage, device in notes(tmp_path):
    if what == 'begin':
      assert device not in working, 'two stages on one device'
      assert {'b': {'a'}, 'c': {'a'}, 'e': {'b', 'd'}}.get(stage, set()) <= set(seen)
      working[device] = stage
    elif what == 'end':
      assert working.pop(device) == stage
      seen.append(stage)
  assert sorted(seen) == list('abcde') and not units.failed and not units.left_out
  assert {device for _, _, device in notes(tmp_path)} == {'0', '1'}


def test_one_that_fails_stops_those_alone_that_need_it(units, tmp_path):
  assert units.run([job('a', codes='f'), job('b', 'a'), job('c', 'b'), job('d'), job('e', 'd')]) == 3
  assert {stage for _, stage, _ in notes(tmp_path)} == set('ade')
  assert units.failed == {'a': 3} and units.left_out == ('b', 'c')


def test_no_stage_needs_the_evaluation_of_another(units, tmp_path):
  assert units.run([job('a', codes='e'), job('b', 'a')]) == 3
  assert {stage for _, stage, _ in notes(tmp_path)} == set('ab') and units.failed == {'a': 3} and not units.left_out


def test_a_mistake_of_the_user_is_not_made_once_for_each_stage(units, tmp_path):
  assert units.run([job('a', codes='u'), job('b', 'a'), job('c', 'a'), job('d', 'a'), job('e', 'a')]) == 2
  assert {stage for _, stage, _ in notes(tmp_path)} == {'a'} and units.left_out == tuple('bcde')


def test_after_a_stage_was_done_also_by_an_earlier_run_it_is_a_matter_of_the_stage(units, tmp_path):
  assert units.run([job('a')]) == 0
  assert units.run([job('b', codes='u'), job('c', 'b'), job('d'), job('e')]) == 2
  assert {stage for _, stage, _ in notes(tmp_path)} == set('abde') and units.left_out == ('c',)


def test_one_that_may_succeed_the_next_time_is_tried_again_so_often_as_was_said(units, tmp_path):
  assert units.run([job('a', codes='r'), job('b', 'a')]) == 0 and not units.failed
  assert [stage for what, stage, _ in notes(tmp_path) if what == 'begin'] == list('aab')
  assert units.run([job('c', codes='r'), job('d', 'c')]) == 76
  assert units.failed == {'c': 76} and units.left_out == ('d',)


@pytest.mark.parametrize('codes', ['ppr', 'pps'])  # a preemption of one process; one that was lost, or crashed
def test_a_preemption_is_no_failure_that_counts(codes, units, tmp_path):
  assert units.run([job('a', codes=codes), job('b', 'a')]) == 0 and not units.failed
  assert [stage for what, stage, _ in notes(tmp_path) if what == 'begin'] == list('aaaab')
  assert units.run([job('c', codes='pr')]) == 76 and units.failed == {'c': 76}


def test_when_asked_to_stop_it_begins_nothing_more(units, tmp_path):
  stop = threading.Thread(target=lambda: (wait_for_a_line_of(tmp_path / 'notes'), units.processes.stop(signal.SIGTERM)))
  stop.start()
  assert units.run([job('a'), job('b', 'a')]) in (75, 76)  # 76: the program has no handler of SIGTERM
  stop.join()
  assert {stage for _, stage, _ in notes(tmp_path)} == {'a'} and not units.processes.running


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_asked_to_stop_before_it_began_it_begins_nothing(units, tmp_path, number, code):
  units.processes.stop(number)
  assert units.run([job('a')]) == code and not (tmp_path / 'notes').exists()


def test_a_log_that_cannot_be_written_is_named(units, tmp_path):
  (tmp_path / 'logs' / 'process-1.log').mkdir(parents=True)
  with pytest.raises(IsADirectoryError, match=r'process-1\.log'):
    units.run([job('a'), job('b')])
  assert not units.processes.running


def wait_for_a_line_of(path: Path) -> None:
  while not (path.exists() and path.read_text().endswith('\n')):
    time.sleep(0.01)


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
  return two_arms.write(tmp_path_factory.mktemp('units'))


def test_two_processes_come_to_what_one_does_and_then_have_nothing_left(root, tmp_path):
  alone = runs.finish(runs.start('codemix', 'study', *two_arms.flags(root, tmp_path / 'alone')))
  assert alone.returncode == 0, alone.stderr
  output = tmp_path / 'out'
  ended = runs.finish(runs.start(*BY_UNIT, *two_arms.flags(root, output)))
  assert ended.returncode == 0, ended.stderr
  assert ended.stdout.splitlines() == [f'report: {output / "report.html"}'] and (output / 'report.html').is_file()
  runs.assert_same(runs.result_of(output), runs.result_of(tmp_path / 'alone'))
  # The second and third stage, which need the first, trained at once.
  assert all((output / 'logs' / f'process-{number}.log').read_text().count('goodput') for number in range(2))
  again = runs.finish(runs.start(*BY_UNIT, *two_arms.flags(root, output)))
  assert again.returncode == 0 and '[1]' not in again.stderr and all(map(gone, started(output)))


def test_a_dry_run_names_the_command_that_lists_the_units(root, tmp_path):
  ended = runs.finish(runs.start(*BY_UNIT, '--dry_run', *two_arms.flags(root, tmp_path / 'out')))
  assert ended.returncode == 2 and '`codemix study --list_commands`' in ended.stderr and not (tmp_path / 'out').exists()
