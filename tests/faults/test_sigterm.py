"""SIGTERM: what was trained is saved, the exit code says "try again later", and the run goes on from there."""

from __future__ import annotations

import pytest

from codemix.errors import Preempted
from tests.faults.runs import assert_same, result_of

STEP = 'codemix.training.stage_log:StageLog.write'

# moment -> (function, call, the checkpoints that the first stages hold after it)
MOMENTS = {
  'in a step': (STEP, 3, {'balanced': '5'}),
  'in the last step of a stage': (STEP, 6, {'balanced': '6'}),
  'while evaluating': ('codemix.evaluation.held_out:score_documents', 2, {'balanced': '6'}),
}


@pytest.mark.parametrize('moment', MOMENTS)
def test_a_run_asked_to_stop_saves_and_goes_on_to_the_same_end(moment, place, undisturbed, tmp_path):
  target, call, saved = MOMENTS[moment]
  stopped = place.run(tmp_path, '--at', target, '--call', str(call), '--send', 'SIGTERM')
  assert stopped.returncode == Preempted.exit_code == 75
  assert 'asked to stop' in stopped.stderr.splitlines()[-1]
  assert {folder.name.split('-')[0] for folder in tmp_path.glob('stages/*')} == set(saved)
  for stage, step in saved.items():
    [folder] = tmp_path.glob(f'stages/{stage}-*')
    assert (folder / 'checkpoints' / f'{step}.digest.json').exists()
  resumed = place.run(tmp_path)
  assert resumed.returncode == 0, resumed.stderr
  assert_same(result_of(tmp_path), undisturbed)


@pytest.mark.slow
def test_a_run_asked_to_stop_in_every_other_step_still_gets_there(place, undisturbed, tmp_path):
  codes = []
  while not codes or codes[-1]:
    codes.append(place.run(tmp_path, '--at', STEP, '--send', 'SIGTERM').returncode)
    assert len(codes) < 20
  assert set(codes[:-1]) == {75}
  assert_same(result_of(tmp_path), undisturbed)
