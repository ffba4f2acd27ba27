"""Evaluation during training, and beside it: each checkpoint is scored once, over kills, and training does not notice."""

from __future__ import annotations

import collections
import signal
from pathlib import Path

import pytest

from codemix.evaluation.results import evaluated_steps, read_results
from tests import tiny_tasks
from tests.faults import runs
from tests.faults.runs import assert_same, result_of

TASK = 'tasks/next_word'
SCORING = 'codemix.evaluation.tasks.multiple_choice:choice_results'


@pytest.fixture(scope='module')
def tasks(tmp_path_factory) -> Path:
  return tiny_tasks.write_items(tmp_path_factory.mktemp('tasks'))


def without_tasks(result: dict[str, object]) -> dict[str, object]:
  """What training left; a stage.json says how often a stage was to be evaluated, which is in no hash."""
  return {key: value for key, value in result.items() if TASK not in key}


def scored(log: Path) -> collections.Counter:
  return collections.Counter(line for line in log.read_text().splitlines() if line.endswith(TASK))


def test_steps_are_scored_once_over_three_kills_and_training_is_bitwise_the_same(place, undisturbed, tasks, tmp_path):
  output, log = tmp_path / 'output', tmp_path / 'log'
  flags = ('--tasks', str(tasks), '--log', str(log))
  for at, call in ((SCORING, 2), ('codemix.training.stage_log:StageLog.write', 4), (SCORING, 3)):
    killed = place.run(output, *flags, '--at', at, '--call', str(call))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
  resumed = place.run(output, *flags)
  assert resumed.returncode == 0, resumed.stderr
  assert_same(without_tasks(result_of(output)), undisturbed)
  stages = {path.name.partition('-')[0]: path for path in output.glob('stages/*')}
  assert {name: evaluated_steps(path) for name, path in stages.items()} == {'balanced': [2, 4], 'continued': [8, 10], 'cooldown': [14]}
  counts = scored(log)
  assert len(counts) == 5 + 3 and set(counts.values()) == {1}
  early, late = (read_results(stages['balanced'], step)[TASK] for step in (2, None))
  assert early.scores['gold_bits_per_byte'] > late.scores['gold_bits_per_byte']


def test_a_watcher_scores_each_saved_checkpoint_once_over_three_kills(place, undisturbed, tasks, tmp_path):
  output, log = tmp_path / 'output', tmp_path / 'log'
  job = place.start(output)
  watch = lambda *flags: runs.finish(runs.start('tests.faults.watcher', output, tasks, log, *flags))
  while not (output / 'study.json').exists():
    assert job.poll() is None
  log.touch()
  for call in (1, 2, 1):
    killed = watch('--at', SCORING, '--call', str(call))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
  ended = watch()
  assert ended.returncode == 0, ended.stderr
  assert runs.finish(job).returncode == 0
  assert_same(without_tasks(result_of(output)), undisturbed)
  counts = scored(log)
  assert set(counts.values()) == {1}
  ends = {line.split()[1] for line in counts if line.split()[0] in {path.name for path in output.glob('stages/*')}}
  assert {'6', '12', '15'} <= ends
