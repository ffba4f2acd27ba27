"""A run that stands still ends on all processes within its limit, with their stacks and the name of the one that is behind."""

from __future__ import annotations

import re
import signal

import pytest

from codemix.errors import PeerEnded
from tests.faults import together
from tests.faults.runs import assert_same, result_of

STEP = 'codemix.training.stage_log:StageLog.write'
STUCK = PeerEnded.exit_code
LIMITS = ('--stuck_after=20', '--otherwise=60')
# A stage has 6 steps, and is saved after 4.
MOMENTS = {
  'in a step': (STEP, 3, r'step \d of stage'),
  'in a save': ('codemix.checkpoints:Checkpoints.save', 1, 'the save of step 4 of stage'),
  'in the evaluation': ('codemix.evaluation.held_out:score_documents', 1, 'the evaluation of stage'),
}


@pytest.mark.slow
def test_a_process_alone_whose_step_does_not_end_ends_with_its_stacks_and_goes_on(place, undisturbed, tmp_path):
  [(code, said)] = together.ends([together.start(place, tmp_path, 0, 1, 0, '--stuck_after=20', f'--at={STEP}', '--call=6', '--send=SLEEP')])
  assert code == STUCK, said
  assert 'Thread 0x' in said and re.search(r'File ".*interrupt.py", line \d+ in wrapped', said), said
  assert re.match(r"codemix: the run has been at .*step \d of stage 'balanced' for \d+ s, and counts as stuck \(Runtime.stuck_after\)", said.splitlines()[-1])
  [(code, said)] = together.ends([together.start(place, tmp_path, 0, 1, 0)])
  assert code == 0, said
  assert_same(result_of(tmp_path), undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize('stuck', [0, 1])
@pytest.mark.parametrize('moment', MOMENTS)
def test_the_process_behind_is_named_by_all_and_all_write_their_stacks(moment, stuck, place, tmp_path):
  target, call, where = MOMENTS[moment]
  port = together.free_port()
  flags = [(*LIMITS, f'--at={target}', f'--call={call}', '--send=SLEEP') if index == stuck else LIMITS for index in range(2)]
  members = [together.start(place, tmp_path, port, 2, index, *flags[index]) for index in range(2)]
  for index, (code, said) in enumerate(together.ends(members)):
    assert code == STUCK, said
    assert re.search(rf"codemix: process {stuck} \(on .*, pid {members[stuck].pid}\) is behind: it has been at .*{where}.* for \d+ s \(in interrupt.py:\d+ in wrapped\), while others wait at ", said), said
    assert 'Start all processes again' in said.splitlines()[-1] and 'Thread 0x' in said
    assert bool(re.search(r'File ".*interrupt.py"', said)) == (index == stuck)


@pytest.mark.slow
@pytest.mark.parametrize('stopped', [0, 1])
def test_a_process_that_is_stopped_in_training_is_named_and_the_run_goes_on_to_the_same_end(stopped, place, tmp_path):
  port = together.free_port()
  stop = ('--silence=4', f'--at={STEP}', '--call=6', '--send=SIGSTOP')
  members = [together.start(place, tmp_path / 'out', port, 2, index, *(stop if index == stopped else ['--silence=4'])) for index in range(2)]
  [(code, said)] = together.ends([members[1 - stopped]])
  assert code == STUCK, said
  assert re.search(f'process {stopped} .* has given no sign of life for 4 s', said), said
  members[stopped].send_signal(signal.SIGCONT)
  assert together.ends([members[stopped]])[0][0] == STUCK
  for output in ('out', 'undisturbed'):
    port = together.free_port()
    for code, said in together.ends([together.start(place, tmp_path / output, port, 2, index) for index in range(2)]):
      assert code == 0, said
  assert_same(result_of(tmp_path / 'out'), result_of(tmp_path / 'undisturbed'))
