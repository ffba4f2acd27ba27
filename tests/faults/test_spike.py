"""`kill -9` at any instant of a run that goes back before a spike: the same command again ends in bitwise the same result."""

from __future__ import annotations

import random
import re
import signal
import time
from pathlib import Path

import pytest

from tests.faults import together
from tests.faults.runs import assert_same, finish, result_of

STEP, REWINDS = 'codemix.training.stage_log:StageLog.write', 'codemix.training.rewinds'

# Steps 12 to 15 of 24 are skipped because of a spike in step 14; every fourth is saved, and every sixth evaluated.
MOMENTS = {
  'in the step of the spike': (STEP, 14),
  'with the spike found': (f'{REWINDS}:Rewind.__init__', 1),
  'before anything is deleted': (f'{REWINDS}:_forget', 1),
  'with the seal of a checkpoint deleted': (f'{REWINDS}:remove', 2),
  'with a checkpoint deleted': (f'{REWINDS}:remove', 3),
  'before the decision is written': (f'{REWINDS}:write_json', 1),
  'with the decision written': (f'{REWINDS}:rewinds_for_all', 2),
  'on the way again, before the skipped steps': (STEP, 17),
  'in the skipped steps': (STEP, 20),
  'after the skipped steps': (STEP, 25),
  'in the step that is not finite': (STEP, 26),
  'between the last checkpoint and the result': ('codemix.training.loop:write_result', 1),
}
IN_CI = {'with a checkpoint deleted', 'in the skipped steps'}


def results(output: Path) -> dict[str, object]:
  rewinds = {str(path.relative_to(output)): path.read_bytes() for path in output.glob('stages/*/rewinds.json')}
  evaluated = {str(path.relative_to(output)): re.sub(rb'"identity": \{.*?\n \}', b'', path.read_bytes(), flags=re.S) for path in output.glob('stages/*/evaluation/steps/*/held_out/*.json')}
  assert len(rewinds) == 1 and len(evaluated) == 3 * 2
  return result_of(output) | rewinds | evaluated


@pytest.fixture(scope='module')
def spoiled(place, tmp_path_factory) -> dict[str, object]:
  output = tmp_path_factory.mktemp('spoiled')
  ran = place.run(output, '--spoil')
  assert ran.returncode == 0, ran.stderr
  assert 'does not learn from steps 12 to 15' in ran.stderr
  return results(output)


@pytest.mark.parametrize('moment', [pytest.param(m, marks=() if m in IN_CI else pytest.mark.slow) for m in MOMENTS])
def test_a_run_killed_at_a_chosen_moment_ends_as_one_that_was_not(moment, place, spoiled, tmp_path):
  target, call = MOMENTS[moment]
  killed = place.run(tmp_path, '--spoil', '--at', target, '--call', str(call))
  assert killed.returncode == -signal.SIGKILL, killed.stderr
  resumed = place.run(tmp_path, '--spoil')
  assert resumed.returncode == 0, resumed.stderr
  assert_same(results(tmp_path), spoiled)


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(4))
def test_a_run_killed_three_times_at_random_ends_as_one_that_was_not(seed, place, spoiled, tmp_path):
  rng, kills = random.Random(seed), 0
  for _ in range(3):
    process = place.start(tmp_path, '--spoil')
    while process.poll() is None and not list(tmp_path.glob('stages/*/metrics.jsonl')):
      time.sleep(0.05)
    time.sleep(rng.uniform(0, 4))
    process.kill()
    kills += finish(process).returncode == -signal.SIGKILL
  assert kills
  assert place.run(tmp_path, '--spoil').returncode == 0
  assert_same(results(tmp_path), spoiled)


@pytest.mark.slow
def test_a_run_asked_to_stop_in_the_step_of_the_spike_stops_and_goes_on(place, spoiled, tmp_path):
  stopped = place.run(tmp_path, '--spoil', '--at', STEP, '--call', '14', '--send', 'SIGTERM')
  assert stopped.returncode == 75, stopped.stderr
  assert place.run(tmp_path, '--spoil').returncode == 0
  assert_same(results(tmp_path), spoiled)


@pytest.mark.slow
def test_two_processes_go_back_together_also_after_one_was_killed(place, tmp_path):
  for output, *flags in (['whole'], ['killed', '--at', f'{REWINDS}:write_json'], ['killed']):
    port = together.free_port()
    members = [together.start(place, tmp_path / output, port, 2, index, '--spoil', *(() if index else flags)) for index in range(2)]
    ended = together.ends(members, within_s=300)
    assert [code for code, _ in ended] == ([-signal.SIGKILL, 76] if flags else [0, 0]), ended
  assert_same(results(tmp_path / 'killed'), results(tmp_path / 'whole'))
