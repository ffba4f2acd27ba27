"""`kill -9` at any instant: the same command again ends in bitwise the same result."""

from __future__ import annotations

import json
import random
import signal
import time

import pytest

from tests.faults.runs import assert_same, finish, result_of

LOOP, EVALUATION, CHECKPOINTS = 'codemix.training.loop', 'codemix.evaluation', 'codemix.checkpoints'
STEP = 'codemix.training.stage_log:StageLog.write'

# The study has stages of 6, 6 and 3 steps, saves every 4 and scores each stage on two sources.
MOMENTS = {
  'before the first step': (f'{LOOP}:init_state', 1),
  'in a step, before any checkpoint': (STEP, 3),
  'in a step, after a checkpoint': (STEP, 6),
  'in the middle of a save': (f'{CHECKPOINTS}.orbax_state:SealedPath.finalize', 1),
  'while a save is copied from the devices': (f'{CHECKPOINTS}:Checkpoints.save', 2),
  'between commit and digest': (f'{CHECKPOINTS}.orbax_state:seal', 2),
  'between digest and deleting an older checkpoint': (f'{CHECKPOINTS}.seal:drop_stray_seals', 2),
  'between the last checkpoint and the result': (f'{LOOP}:write_result', 1),
  'between the ledger and the result': ('codemix.training.stage_record:write_json', 4),
  'at the hand-off, with the parent restored': (f'{LOOP}:hand_off', 1),
  'in the second stage': (STEP, 8),
  'while evaluating': (f'{EVALUATION}.held_out:score_documents', 2),
  'between items and their scores': (f'{EVALUATION}.results:write_json', 4),
}
# A kill in a save is in CI with two processes (test_campaign.py).
IN_CI = {'in a step, after a checkpoint', 'between commit and digest', 'at the hand-off, with the parent restored'}


@pytest.mark.parametrize(
  'moment', [pytest.param(m, marks=() if m in IN_CI else pytest.mark.slow) for m in MOMENTS]
)
def test_a_run_killed_at_a_chosen_moment_ends_as_one_that_was_not(moment, place, undisturbed, tmp_path):
  target, call = MOMENTS[moment]
  killed = place.run(tmp_path, '--at', target, '--call', str(call))
  assert killed.returncode == -signal.SIGKILL, killed.stderr
  assert not (tmp_path / 'stages').is_dir() or result_is_incomplete(tmp_path)
  resumed = place.run(tmp_path)
  assert resumed.returncode == 0, resumed.stderr
  assert_same(result_of(tmp_path), undisturbed)


def result_is_incomplete(output) -> bool:
  return len(list(output.glob('stages/*/evaluation/samples.json'))) < 3


def test_a_checkpoint_counts_as_soon_as_it_is_committed(place, tmp_path):
  # Killed long after the save of step 4, and before any other: step 4 is where the run goes on.
  place.run(tmp_path, '--at', f'{LOOP}:write_result')
  checkpoints = next(tmp_path.glob('stages/*/checkpoints'))
  assert {path.name for path in checkpoints.iterdir()} == {'4', '4.digest.json', '6', '6.digest.json'}


@pytest.fixture(scope='module')
def seconds(place, tmp_path_factory) -> float:
  """How long the study takes here and now."""
  began = time.monotonic()
  assert place.run(tmp_path_factory.mktemp('timed')).returncode == 0
  return time.monotonic() - began


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(6))
def test_a_run_killed_three_times_at_random_ends_as_one_that_was_not(seed, place, seconds, undisturbed, tmp_path):
  rng = random.Random(seed)
  kills = 0
  for _ in range(3):
    process = place.start(tmp_path)
    time.sleep(rng.uniform(0.2, 0.9) * seconds)
    process.kill()
    kills += finish(process).returncode == -signal.SIGKILL
  assert kills  # a later one may find the run finished, the first is in the middle of it
  assert place.run(tmp_path).returncode == 0
  assert_same(result_of(tmp_path), undisturbed)


def test_a_finished_study_is_not_trained_again(place, undisturbed, tmp_path_factory):
  output = next(p for p in tmp_path_factory.getbasetemp().iterdir() if p.name.startswith('undisturbed'))
  before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in output.glob('stages/**/*') if p.is_file()}
  again = place.run(output)
  assert again.returncode == 0
  after = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in output.glob('stages/**/*') if p.is_file()}
  assert after == before
  assert json.loads((output / 'study.json').read_text())['savings']['stages_trained'] == 3
