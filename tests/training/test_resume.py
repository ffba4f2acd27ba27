"""A stage that goes on: from the newest good checkpoint, of this very stage, to the same end."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import codemix
from codemix.checkpoints import Checkpoints
from codemix.errors import NonFiniteError, UserError
from codemix.storage import read_json, write_json
from codemix.training import loop
from codemix.training.placement import Placement
from codemix.training.train_state import abstract_state
from tests import tiny_study
from tests.faults.runs import assert_same, result_of
from tests.in_process import one_device_mesh, use_one_device

pytestmark = pytest.mark.usefixtures('one_device')


class Interrupted(Exception):
  """Ends a run in the test's process where a kill would have ended it."""


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> codemix.Data:
  return tiny_study.prepare(tmp_path_factory.mktemp('data'), bytes_each=6_000)


def study(**settings) -> codemix.Study:
  stage = tiny_study.stage('balanced', {'text': 0.5, 'code': 0.5}, 6, **settings)
  return codemix.Study(name='resume', recipes={'only': tiny_study.recipe(stage)}, validation=('text',))


def run(data, output: Path, **settings) -> Path:
  codemix.run_study(study(), data, tiny_study.runtime(output, save_every=2, **settings))
  return output


@pytest.fixture(scope='module')
def whole(data, tmp_path_factory) -> dict[str, object]:
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    return result_of(run(data, tmp_path_factory.mktemp('whole')))


@pytest.fixture(scope='module')
def interrupted(data, tmp_path_factory) -> Path:
  """An output folder whose stage has trained to its end, and was cut off before it said so."""
  output = tmp_path_factory.mktemp('interrupted') / 'run'

  def interrupt(*arguments):
    raise Interrupted

  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    patch.setattr(loop, 'write_result', interrupt)
    with pytest.raises(Interrupted):
      run(data, output)
  return output


@pytest.fixture
def output(interrupted, tmp_path) -> Path:
  return Path(shutil.copytree(interrupted, tmp_path / 'run'))


def checkpoints(output: Path) -> Path:
  return next(output.glob('stages/*/checkpoints'))


def damage(output: Path, step: int) -> Path:
  """Changes one byte of the arrays of a checkpoint."""
  victim = max((checkpoints(output) / str(step) / 'state').rglob('d/*'), key=lambda p: p.stat().st_size)
  content = bytearray(victim.read_bytes())
  content[len(content) // 2] ^= 4
  victim.write_bytes(content)
  return victim


def test_a_stage_cut_off_after_its_last_step_needs_no_step_more(data, output, whole, monkeypatch):
  monkeypatch.setattr(loop.StageLog, 'write', lambda *_: pytest.fail('a step was trained'))
  assert_same(result_of(run(data, output)), whole)


@pytest.mark.parametrize('steps', [(6,), (6, 4)])
def test_from_the_newest_good_checkpoint_the_end_is_bitwise_the_same(steps, data, output, whole, capfd):
  harmed = [damage(output, step).name for step in steps]
  assert_same(result_of(run(data, output)), whole)
  warnings = [line for line in capfd.readouterr().err.splitlines() if line.startswith('warning: ')]
  assert len(warnings) == len(steps)
  for step, name, warning in zip(steps, harmed, warnings, strict=True):
    assert str(checkpoints(output) / str(step)) in warning
    assert name in warning


def test_a_damaged_checkpoint_stops_the_run_where_that_is_asked_for(data, output):
  damage(output, 6)
  with pytest.raises(UserError, match=f'{checkpoints(output)}/6 is damaged'):
    run(data, output, on_damaged='stop')


def test_of_a_finished_stage_no_other_checkpoint_is_taken_for_its_result(data, output):
  run(data, output)
  shutil.rmtree(next(output.glob('stages/*/evaluation')))
  damage(output, 6)
  with pytest.raises(UserError, match=f'{checkpoints(output)}/6 cannot be used'):
    run(data, output)


def test_a_checkpoint_of_another_stage_is_refused_with_what_differs(data, output, tmp_path):
  elsewhere = tmp_path / 'elsewhere'
  other = tiny_study.recipe(tiny_study.stage('balanced', {'text': 1.0}, 6))
  codemix.run_study(
    codemix.Study(name='other', recipes={'only': other}), data, tiny_study.runtime(elsewhere, save_every=2, keep=None)
  )
  for step in (4, 6):
    shutil.rmtree(checkpoints(output) / str(step))
    shutil.copytree(checkpoints(elsewhere) / str(step), checkpoints(output) / str(step))
    shutil.copy(checkpoints(elsewhere) / f'{step}.digest.json', checkpoints(output))
  with pytest.raises(UserError, match='does not belong to this stage: stage: .* expected, .* found'):
    run(data, output)


def test_a_stage_json_of_something_else_is_refused_with_what_differs(data, output):
  path = next(output.glob('stages/*/stage.json'))
  told = read_json(path)
  told['identity']['seed'] = 17
  write_json(path, told)
  with pytest.raises(UserError, match=f'{path} belongs to another stage: seed: 0 expected, 17 found'):
    run(data, output)


def test_metrics_after_the_checkpoint_are_dropped_half_a_line_included(data, output, whole):
  path = next(output.glob('stages/*/metrics.jsonl'))
  damage(output, 6)
  with open(path, 'a') as file:
    file.write('{"step": 7, "loss": 1.0}\n{"step": 8, "lo')
  assert_same(result_of(run(data, output)), whole)


@pytest.mark.parametrize(
  'rate',
  [
    1e30,  # the parameters stay finite, the next loss does not
    3.4e38,  # the loss was finite, the parameters after it are not
  ],
)
def test_a_run_that_is_not_finite_stops_with_its_step_and_nothing_of_it_is_saved(rate, data, tmp_path):
  absurd = study(schedule=codemix.Constant(rate))
  with pytest.raises(NonFiniteError, match=r"stage 'balanced', step \d+(:| is not finite)") as stopped:
    codemix.run_study(absurd, data, tiny_study.runtime(tmp_path, save_every=1, keep=None))
  assert '\n' not in str(stopped.value)
  assert not list(tmp_path.glob('stages/*/done.json'))
  recipe = absurd.recipes['only']
  target = abstract_state(recipe.model, recipe.optimizer, Placement(one_device_mesh()))
  with contextlib.closing(Checkpoints(checkpoints(tmp_path))) as kept:
    if (step := kept.newest('stop', pytest.fail)) is not None:
      assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(kept.restore_state(step, target)))
  for line in next(tmp_path.glob('stages/*/metrics.jsonl')).read_text().splitlines():
    assert 'NaN' not in line
    assert 'Infinity' not in line


def test_two_processes_cannot_train_one_stage(data, output):
  stage = next(output.glob('stages/*'))
  with loop.locked(stage, 'training'), pytest.raises(UserError, match=f'another process is training in {stage}'):
    run(data, output)
