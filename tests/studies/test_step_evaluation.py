"""A stage is evaluated every few steps, in the loop or by a watcher, each step once, and training does not notice."""

from __future__ import annotations

import collections
import dataclasses
import shutil
import threading
from pathlib import Path

import jax
import numpy as np
import pytest

import codemix
from codemix.errors import UserError
from codemix.evaluation import evaluator
from codemix.evaluation.results import evaluated_steps, read_results
from codemix.storage import locked
from codemix.studies import step_evaluation, watch
from codemix.studies.load_stage import load_stage, load_step, whole_steps
from tests import tiny_study, tiny_tasks
from tests.in_process import use_one_device

pytestmark = pytest.mark.usefixtures('one_device')

TASK = 'tasks/next_word'
SAVE_EVERY, STEPS = 2, 6


def study(tasks: Path, evaluate_every: int | None = None) -> codemix.Study:
  stage = tiny_study.stage('balanced', {'text': 0.5, 'code': 0.5}, STEPS, evaluate_every=evaluate_every)
  return dataclasses.replace(tiny_study.study(only=tiny_study.recipe(stage)), evaluate=tiny_tasks.evaluation(tasks, limit=4))


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> codemix.Data:
  return tiny_study.prepare(tmp_path_factory.mktemp('data'), bytes_each=6_000)


@pytest.fixture(scope='module')
def tasks(tmp_path_factory) -> Path:
  return tiny_tasks.write_items(tmp_path_factory.mktemp('tasks'))


@pytest.fixture(scope='module')
def trained(data, tasks, tmp_path_factory) -> Path:
  """The folder of a stage with all its checkpoints, evaluated at its end only."""
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    return stage_of(run(data, tasks, tmp_path_factory.mktemp('trained')))


@pytest.fixture
def scored(monkeypatch) -> collections.Counter:
  """How often results were stored, by evaluator and step."""
  counts: collections.Counter = collections.Counter()
  write = evaluator.write_results

  def counting(folder, name, step, *rest):
    counts[name, step] += 1
    write(folder, name, step, *rest)

  monkeypatch.setattr(evaluator, 'write_results', counting)
  return counts


def run(data, tasks: Path, output: Path, evaluate_every: int | None = None) -> Path:
  return codemix.run_study(study(tasks, evaluate_every), data, tiny_study.runtime(output, save_every=SAVE_EVERY, keep=None))


def stage_of(output: Path) -> Path:
  [folder] = output.glob('stages/*')
  return folder


def without_end(folder: Path, to: Path) -> Path:
  """A copy of a stage as it is in training: not done, and not evaluated."""
  shutil.copytree(folder.parents[1], to)
  copy = stage_of(to)
  (copy / 'done.json').unlink()
  shutil.rmtree(copy / 'evaluation')
  return copy


def watched(folder: Path, tasks: Path, **settings) -> list[int]:
  steps: list[int] = []
  settings = {'every_s': 0.01, 'timeout_s': 0.0, **settings}
  watch.watch(folder, tiny_tasks.evaluation(tasks, limit=4).evaluators(), lambda stage, step, scores: steps.append(step), **settings)
  return steps


def test_steps_are_evaluated_in_the_loop_and_training_does_not_change(data, tasks, trained, tmp_path, scored):
  folder = stage_of(run(data, tasks, tmp_path, evaluate_every=2))
  assert folder.name == trained.name  # of the same hash
  assert evaluated_steps(folder) == [2, 4]
  for file in ('metrics.jsonl', 'ledger.json'):
    assert (folder / file).read_bytes() == (trained / file).read_bytes()
  one, other = (jax.tree.leaves(load_stage(place).model().params) for place in (folder, trained))
  assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
  assert set(scored.values()) == {1}
  assert {name for name, step in scored if step == 2} == {'held_out/text', 'held_out/code', TASK}


def test_a_step_that_was_saved_but_not_evaluated_is_evaluated_when_training_resumes(data, tasks, tmp_path, monkeypatch, scored):
  with monkeypatch.context() as patch:

    def interrupt(*arguments, **settings):
      raise KeyboardInterrupt

    patch.setattr(step_evaluation, 'run_missing', interrupt)
    with pytest.raises(KeyboardInterrupt):
      run(data, tasks, tmp_path, evaluate_every=2)
  assert whole_steps(stage_of(tmp_path)) == [2]
  run(data, tasks, tmp_path, evaluate_every=2)
  assert evaluated_steps(stage_of(tmp_path)) == [2, 4]
  assert set(scored.values()) == {1}


def test_the_watcher_finds_the_scores_of_the_loop(data, tasks, trained, tmp_path, scored):
  in_loop = stage_of(run(data, tasks, tmp_path / 'loop', evaluate_every=2))
  scored.clear()
  assert watched(in_loop, tasks) == []
  assert not scored
  beside = Path(shutil.copytree(trained.parents[1], tmp_path / 'beside'))
  assert watched(beside, tasks) == [2, 4]
  for step in (2, 4):
    one, other = (read_results(stage_of(place), step)[TASK] for place in (in_loop.parents[1], beside))
    assert one.identity == other.identity
    assert one.scores == pytest.approx(other.scores, abs=1e-6)


def test_the_last_checkpoint_is_evaluated_once_as_the_end_of_the_stage(tasks, trained, tmp_path, scored):
  folder = without_end(trained, tmp_path / 'output')
  with pytest.raises(UserError, match='no new checkpoint for 0 seconds'):
    watched(folder, tasks)
  assert evaluated_steps(folder) == [2, 4]  # step 6 is saved, but the stage is not done
  shutil.copy(trained / 'done.json', folder)
  assert watched(folder, tasks) == [STEPS]
  assert scored == {(TASK, 2): 1, (TASK, 4): 1, (TASK, STEPS): 1}
  assert TASK in read_results(folder)


def test_a_stage_that_ends_during_a_look_has_its_last_checkpoint_evaluated(tasks, trained, tmp_path):
  folder = without_end(trained, tmp_path / 'output')
  steps: list[int] = []

  def ends(stage, step, scores):
    steps.append(step)
    shutil.copy(trained / 'done.json', folder)

  watch.watch(folder, tiny_tasks.evaluation(tasks, limit=4).evaluators(), ends, every_s=0.01, timeout_s=5)
  assert steps == [2, 4, STEPS]


def test_a_checkpoint_that_is_deleted_while_it_is_read_is_passed_over(tasks, trained, tmp_path):
  folder = Path(shutil.copytree(trained.parents[1], tmp_path / 'output')) / 'stages' / trained.name
  next(file for file in (folder / 'checkpoints' / '2').rglob('*') if file.is_file()).unlink()
  timer = threading.Timer(0.5, lambda: shutil.rmtree(folder / 'checkpoints' / '2'))
  timer.start()
  assert watched(folder, tasks) == [4]
  timer.join()


def test_a_damaged_checkpoint_ends_the_watcher(tasks, trained, tmp_path, monkeypatch):
  monkeypatch.setattr(watch, 'DELETION_S', 0.0)
  folder = Path(shutil.copytree(trained.parents[1], tmp_path / 'output')) / 'stages' / trained.name
  next(file for file in (folder / 'checkpoints' / '2').rglob('*') if file.is_file()).unlink()
  with pytest.raises(UserError, match='cannot be used: its file .* is missing'):
    watched(folder, tasks)


def test_a_second_watcher_of_a_stage_is_refused(tasks, trained, tmp_path, scored):
  folder = Path(shutil.copytree(trained.parents[1], tmp_path / 'output')) / 'stages' / trained.name
  with locked(folder / 'evaluation', watch.WATCHING), pytest.raises(UserError, match=watch.WATCHING):
    watched(folder, tasks)
  assert not scored


def test_a_step_without_a_whole_checkpoint_is_refused_with_those_that_there_are(trained):
  with pytest.raises(UserError, match='no whole checkpoint of step 3; it has 2, 4, 6'):
    load_step(trained, 3)
