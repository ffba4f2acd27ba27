"""Real processes of which one ends, is stopped or differs: the others say so in a line, with the documented exit code."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Sequence

import pytest

from codemix.errors import NonFiniteError, PeerEnded, Preempted, UserError
from codemix.parallel import agreement
from tests.faults import runs

NOISE = ('Traceback', 'terminate called', 'Check failure', 'F0000', 'E0000', 'coordination', 'absl')
LOST = PeerEnded.exit_code


def until_all_compute(members: Sequence[subprocess.Popen]) -> None:
  for member in members:
    assert member.stdout.readline() == 'computing\n'


def ends(members: Sequence[subprocess.Popen], within_s: float = 60) -> list[tuple[int, str]]:
  """Exit code and stderr of each."""
  return [(ended.returncode, ended.stderr) for ended in [runs.finish(member, within_s) for member in members]]


def assert_named(ended: tuple[int, str], code: int, line: str) -> None:
  assert ended[0] == code, ended[1]
  assert re.search(line, ended[1]), ended[1]
  assert len(ended[1].splitlines()) == 1, ended[1]
  for noise in NOISE:
    assert noise not in ended[1]


@pytest.mark.parametrize('what', ['compute', 'wait'])
@pytest.mark.parametrize('killed', [0, 1, 2])
def test_a_killed_process_is_named_by_all_others_within_seconds(killed, what, started):
  members = started([what], [what], [what])
  until_all_compute(members)
  members[killed].kill()
  for index, ended in enumerate(ends(members, within_s=30)):
    if index != killed:
      assert_named(ended, LOST, rf'codemix: process {killed} \(on .*, pid {members[killed].pid}\) was killed')


@pytest.mark.parametrize('stopped', [0, 1])
def test_a_process_that_stands_still_is_named_and_ends_when_it_goes_on(stopped, started):
  members = started(['compute'], ['compute'], ['compute'], silence=3)
  until_all_compute(members)
  members[stopped].send_signal(signal.SIGSTOP)
  others = [member for index, member in enumerate(members) if index != stopped]
  for ended in ends(others, within_s=30):
    assert_named(ended, LOST, f'process {stopped} .* has given no sign of life for 3 s')
  members[stopped].send_signal(signal.SIGCONT)
  [ended] = ends([members[stopped]], within_s=30)
  assert_named(ended, LOST, 'Start all processes again')


@pytest.mark.parametrize('failing', [0, 1])
@pytest.mark.parametrize('code', [1, UserError.exit_code, NonFiniteError.exit_code])
def test_the_error_of_one_process_is_that_of_all(failing, code, started):
  members = started(*[['fail', str(code)] if index == failing else ['compute'] for index in range(2)])
  for index, ended in enumerate(ends(members)):
    if index != failing:
      assert_named(ended, code, f'process {failing} .* ended with exit code {code}: .*an error of one process')
    else:
      assert ended[0] == code
      assert 'an error of one process' in ended[1]


def test_an_error_that_all_meet_is_reported_by_each_in_its_own_words(started):
  members = started(['fail', '3'], ['fail', '3'])
  for ended in ends(members):
    assert ended == (3, 'codemix member: an error of one process\n')


def test_what_others_save_when_one_was_asked_to_stop_is_waited_for(started):
  members = started(['fail', str(Preempted.exit_code)], ['fail', str(Preempted.exit_code)])
  assert [code for code, _ in ends(members)] == [75, 75]


@pytest.mark.parametrize('what', ['compute', 'wait'])
def test_ctrl_c_in_one_process_ends_all_with_its_code(what, started):
  members = started([what], [what])
  until_all_compute(members)
  members[1].send_signal(signal.SIGINT)
  first, second = ends(members, within_s=30)
  assert_named(first, 130, 'process 1 .* ended with exit code 130: Ctrl-C')
  assert second[0] == 130


def test_processes_that_agree_go_on_and_those_that_do_not_say_what_differs(started):
  facts = [{'seed': 1, 'runtime': {'save_every': 4, 'keep': 2}}, {'seed': 1, 'runtime': {'save_every': 5, 'keep': 2}}]
  same, other = map(json.dumps, facts)
  for ended in ends(started(['agree', same], ['agree', other], ['agree', same])):
    assert_named(ended, 2, r'the processes do not agree: runtime.save_every is 4 in processes 0, 2, and 5 in process 1\. Start all alike')


def test_processes_that_agree_end_well(started):
  facts = json.dumps({'seed': 1})
  assert ends(started(['agree', facts], ['agree', facts])) == [(0, ''), (0, '')]


def test_one_folder_is_found_to_be_shared_and_left_as_it_was(started, tmp_path):
  assert ends(started(*[['share', str(tmp_path)]] * 3)) == [(0, '')] * 3
  assert not list(tmp_path.iterdir())


def test_different_folders_are_refused_with_their_names(started, tmp_path):
  folders = [tmp_path / name for name in 'aab']
  for folder in folders:
    folder.mkdir(exist_ok=True)
  for ended in ends(started(*[['share', str(folder)] for folder in folders])):
    assert_named(ended, 2, f'Runtime.output is not one folder for all processes: it is {folders[0]} in process 0, and {folders[2]} in process 2')
  assert not [path for path in tmp_path.rglob('*') if path.is_file()]


def test_a_proxy_of_the_environment_is_not_asked_for_the_way_to_another_process(started, monkeypatch):
  for name in ('http_proxy', 'https_proxy', 'grpc_proxy'):
    monkeypatch.setenv(name, 'http://192.0.2.1:3128')  # an address that no machine has
  monkeypatch.delenv('no_proxy', raising=False)
  facts = json.dumps({'seed': 1})
  began = time.monotonic()
  assert ends(started(['agree', facts], ['agree', facts])) == [(0, ''), (0, '')]
  assert time.monotonic() - began < 50


def test_what_differs_is_named_inside_a_list_too():
  facts = [{'stages': [{'floor': 1}, {'floor': floor}]} for floor in (1, 2)]
  assert agreement.differences(facts) == ['stages.1.floor is 1 in process 0, and 2 in process 1']
