"""A run that stands still ends; one that is slow, or waits for another, does not."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from codemix.errors import PeerEnded
from codemix.parallel.first_collective import HINT, first_collective
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.peers import Place, stuck_end
from tests.faults import runs

STUCK = PeerEnded.exit_code
NAMES = {number: f'process {number} (on node-{number}, pid {number})' for number in range(3)}


def place(number: int, overdue: bool = True, line: str = 'a.py:1 in f', waits: bool = True) -> Place:
  return Place(number, f'step {number}', 'A hint.', 700.0, overdue, line, waits)


def ends(members):
  return [(ended.returncode, ended.stdout, ended.stderr) for ended in [runs.finish(member, 60) for member in members]]


def test_a_run_is_stuck_only_if_every_process_is_overdue():
  assert stuck_end([place(3), place(3, overdue=False), place(3)], NAMES) is None
  assert stuck_end([place(3), None, place(3)], NAMES) is None
  assert stuck_end([place(3)] * 3, NAMES).exit_code == STUCK


def test_those_behind_are_named_with_their_place_and_that_of_the_others():
  end = stuck_end([place(5), place(3), place(4)], NAMES)
  assert end.process == 1
  assert end.reason.startswith(f'{NAMES[1]} is behind: it has been at step 3 for 700 s (in a.py:1 in f), while others wait at step 5. The stacks')
  both = stuck_end([place(3), place(3), place(4)], NAMES).reason
  assert both.startswith(f'{NAMES[0]}, {NAMES[1]} are behind: they have been at step 3')


def test_those_that_stay_at_one_place_are_told_apart_by_their_lines():
  said = stuck_end([place(3), place(3, line='b.py:2 in g'), place(3)], NAMES).reason
  assert said.startswith('all 3 processes have been at step 3 for 700 s, and count as stuck: process 1 in b.py:2 in g; processes 0, 2 in a.py:1 in f. A hint.')


def test_at_one_place_those_are_behind_that_do_not_wait_for_others():
  end = stuck_end([place(3), place(3, line='b.py:2 in g', waits=False), place(3)], NAMES)
  assert end.process == 1
  assert end.reason.startswith(f'{NAMES[1]} is behind: it has been at step 3 for 700 s (in b.py:2 in g), while others wait at that place. The stacks')
  assert stuck_end([place(3), place(3), place(2)], NAMES).process == 2  # one that is at an earlier place, though it waits there


@pytest.mark.parametrize('standing', [0, 1])
def test_a_process_that_stands_still_in_python_ends_all_with_their_stacks_and_its_name(standing, started):
  members = started(*[['stand'] if index == standing else ['compute', 'watched'] for index in range(2)])
  for index, (code, _, said) in enumerate(ends(members)):
    assert code == STUCK, said
    last = said.splitlines()[-1]
    assert re.search(rf'codemix: process {standing} \(on .*\) is behind: it has been at step 20 for \d+ s \(in member.py:\d+ in run\), while others wait at that place', last), said
    # The stack of the main thread shows where: in Python, or in a collective of C++.
    assert 'Current thread 0x' in said and ('in run' if index == standing else 'in compute') in said, said


def test_a_first_collective_that_does_not_end_says_where_to_look(started):
  for code, _, said in ends(started(['first', 'compute'], ['first', 'wait'])):
    assert code == STUCK
    assert 'all 2 processes have been at the first collective over all devices for' in said and HINT in said


def test_the_first_collective_is_timed(started):
  for code, out, said in ends(started(['first', 'compute'], ['first', 'compute'])):
    assert (code, said) == (0, '')
    assert re.search(r'^2 of 2 processes joined in \d+\.\d s; the first collective took \d+\.\d s$', out, re.M)


def test_the_first_collective_counts_every_device():
  assert first_collective(make_mesh(MeshConfig())) > 0


ALONE = """
import time
from codemix.parallel import watchdog
watchdog.MEDIAN_STEPS, watchdog.STEP_S, watchdog.OTHERWISE_S = {median}, {step}, {otherwise}
with watchdog.watched({limit}):
  {work}
print('done')
"""
# (settings, work) -> whether the process ends by itself
CASES = {
  'a slow step among slow steps goes on': ({'median': 20, 'step': 2}, 'for step in range(3): watchdog.at_step("a step"); time.sleep(1)\n  watchdog.at_step("a step"); time.sleep(4)', False),
  'a step far slower than the median ends': ({'median': 2, 'step': 2}, 'for step in range(9): watchdog.at_step("a step"); time.sleep(0.01)\n  time.sleep(60)', True),
  'work that says that it goes on goes on': ({'otherwise': 2}, 'watchdog.at("it")\n  for _ in range(8): time.sleep(0.5); watchdog.still_there()', False),
  'what has a limit of its own keeps to it': ({'limit': 1}, 'watchdog.at("it", 60)\n  time.sleep(4)', False),
  'a limit of the user counts everywhere else': ({'limit': 1}, 'watchdog.at("it")\n  time.sleep(60)', True),
  'what may compile has the usual time at least': ({'limit': 1, 'otherwise': 60}, 'watchdog.at("it", compiles=True)\n  time.sleep(4)', False),
  'what comes after the context is not watched': ({'limit': 1}, 'watchdog.at("it")\ntime.sleep(3)', False),
}


@pytest.mark.parametrize('case', CASES)
def test_limits(case):
  settings, work, ended = CASES[case]
  text = ALONE.format(**{'median': 1, 'step': 60, 'otherwise': 60, 'limit': None, **settings}, work=work)
  ran = subprocess.run([sys.executable, '-c', text], cwd=runs.ROOT, env=runs.environment(), capture_output=True, text=True, timeout=120, check=False)
  assert (ran.returncode, 'done' in ran.stdout) == ((STUCK, False) if ended else (0, True)), ran.stderr
  assert ('counts as stuck' in ran.stderr) == ended
