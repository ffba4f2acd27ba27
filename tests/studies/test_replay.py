"""`codemix verify --replay`: recorded steps come out bit by bit as they were, and the first value that does not is named."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import codemix
from codemix import cli
from codemix.checkpoints import Checkpoints
from codemix.errors import CodemixError
from codemix.storage import as_path, write_json
from codemix.studies.planning import plan_study
from codemix.studies.replay import Replayed, replay, start_of
from codemix.training.loop import Trainer
from codemix.training.train_state import TrainState
from tests import spoiled, tiny_study
from tests.commands.test_wrong_input import GIN
from tests.in_process import one_device_mesh, use_one_device
from tests.launch import small_run

SKIPS = codemix.Skips(nonfinite=1, rewinds=1, window=8, deviations=4, before=2, after=1)
SPOILED = {14: spoiled.SPIKE, 20: spoiled.NAN}


def study() -> codemix.Study:
  first = tiny_study.stage('first', {'text': 0.5, 'code': 0.5}, spoiled.STEPS, skips=SKIPS)
  return tiny_study.study(one=tiny_study.recipe(first, tiny_study.cooldown({'text': 1.0}, spoiled.LAST_STEPS, 'second')))


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Path:
  """A finished study of two stages that kept every checkpoint; its data beside it."""
  root = tmp_path_factory.mktemp('replay')
  data = tiny_study.prepare(root / 'data')
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    spoiled.spoil(patch, SPOILED)
    codemix.run_study(study(), data, tiny_study.runtime(root / 'run', save_every=4, keep=None))
  return root


@pytest.fixture
def place(trained, tmp_path, monkeypatch) -> Path:
  spoiled.spoil(monkeypatch, SPOILED)
  shutil.copytree(trained / 'run', tmp_path / 'run')
  return tmp_path / 'run'


def replayed(trained: Path, output: Path, stage: int, steps: int) -> Replayed | None:
  plan = plan_study(study(), codemix.Data(directory=str(trained / 'data'), tokenizer='bytes'))
  runtime = tiny_study.runtime(output, keep=None)
  trainer = Trainer(tiny_study.MODEL, codemix.Optimizer(), plan.sources, one_device_mesh(), runtime, plan.tokenizer.bos_id)
  return replay(trainer, plan.stages()[stage], steps)


def drop_checkpoints(output: Path, stage: str, but: int) -> None:
  [folder] = output.glob(f'stages/{stage}-*/checkpoints')
  for path in folder.iterdir():
    if path.name.split('.')[0] != str(but):
      shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_window_between_two_checkpoints_is_compared_with_both(trained, place):
  assert replayed(trained, place, 0, 4) == Replayed(21, 24, (24,))
  assert replayed(trained, place, 1, 6) == Replayed(1, 4, (4,))


def test_a_whole_stage_is_replayed_from_its_beginning_over_what_was_skipped(trained, place):
  drop_checkpoints(place, 'first', but=spoiled.STEPS)
  assert replayed(trained, place, 0, spoiled.STEPS) == Replayed(1, 24, (24,))
  assert replayed(trained, place, 0, 5) == Replayed(1, 5, ())


def test_a_stage_that_was_not_begun_has_nothing_to_replay(trained, tmp_path):
  assert replayed(trained, tmp_path, 0, 4) is None


def test_the_first_value_that_differs_is_named(trained, place):
  [path] = place.glob('stages/first-*/metrics.jsonl')
  lines = path.read_text().splitlines(keepends=True)
  lines[22] = re.sub(r'"loss": (\d\.\d+)\d', r'"loss": \g<1>', lines[22])  # its last digit is lost
  path.write_text(''.join(lines))
  with pytest.raises(CodemixError, match=rf"{re.escape(str(path))}:23: 'loss' was \d\.\d+, and is \d\.\d+ in the replay"):
    replayed(trained, place, 0, 4)


def test_a_state_that_differs_in_one_bit_is_found_though_its_seal_is_whole(trained, place, monkeypatch):
  restore = Checkpoints.restore_state

  def with_one_bit_flipped(checkpoints, step, target):
    state = restore(checkpoints, step, target)
    if step != spoiled.STEPS:
      return state
    embedding = state.params['embedding']
    name = next(iter(embedding)) if isinstance(embedding, dict) else None
    array = embedding[name] if name else embedding
    bits = array.view('uint32').at[0, 0].set(array.view('uint32')[0, 0] ^ 1).view(array.dtype)
    return TrainState({**state.params, 'embedding': {**embedding, name: bits} if name else bits}, state.opt_state)

  monkeypatch.setattr(Checkpoints, 'restore_state', with_one_bit_flipped)
  with pytest.raises(CodemixError, match=r"checkpoints/24: .*embedding.* differs from the replay in 0\.\d+% of its bytes"):
    replayed(trained, place, 0, 4)


def test_the_start_is_the_last_checkpoint_before_another_one_within_the_steps():
  assert start_of([4, 8, 12], 4) == 8
  assert start_of([4, 8, 20], 6) == 4
  assert start_of([20], 6) == start_of([], 6) == 0
  assert start_of([20], 20) == 0


def test_the_command_replays_every_stage_and_exits_with_1_if_one_differs(tmp_path, capfd):
  tiny_study.prepare(tmp_path / 'data', bytes_each=60_000)
  flags = small_run.flags(GIN, tmp_path / 'data', tmp_path, steps=30)
  assert cli.main(['train', *flags]) == 0
  capfd.readouterr()
  assert cli.main(['verify', *flags, '--replay=12']) == 0
  said = capfd.readouterr().err
  assert len(re.findall(r'stages/\w+-\w+: replayed steps 1\.\.12: identical, no checkpoint among them$', said, re.M)) == 2, said
  path = sorted((tmp_path / 'out').glob('stages/first-*/metrics.jsonl'))[0]
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  lines[6]['grad_norm'] += 1
  path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
  assert cli.main(['verify', *flags, '--replay=12']) == 2  # found without a replay
  done = json.loads((path.parent / 'done.json').read_text())
  write_json(path.parent / 'done.json', {key: value for key, value in done.items() if key not in ('files', 'digest')})  # as of a codemix that did not seal metrics
  (tmp_path / 'out' / 'report.json').unlink()  # nor reports
  capfd.readouterr()
  assert cli.main(['verify', *flags, '--replay=12']) == 1
  assert f"{path}:7: 'grad_norm' was" in capfd.readouterr().err


@pytest.mark.parametrize('kind', ['disk', pytest.param('bucket', marks=pytest.mark.slow)])
def test_the_folder_of_a_run_is_enough_to_replay_it(kind, tmp_path, capfd, monkeypatch, request):
  root = tmp_path if kind == 'disk' else request.getfixturevalue('bucket') + '/replayed'
  data = tiny_study.prepare(tmp_path / 'data', bytes_each=60_000)
  output = as_path(f'{root}/out')
  assert cli.main(['train', *small_run.flags(GIN, tmp_path / 'data', tmp_path, steps=6), f'--gin.Runtime.output={str(output)!r}']) == 0
  stages = sorted(output.glob('stages/*'), key=lambda path: path.name)
  for path in tmp_path.glob('*.gin'):
    path.unlink()
  monkeypatch.chdir('/')
  capfd.readouterr()
  assert cli.main(['verify', str(output), '--replay=6']) == 0
  said = capfd.readouterr().err
  assert len(re.findall(r'stages/\w+-\w+: replayed steps 1\.\.6: identical; the state after step 6 is that of the checkpoint$', said, re.M)) == 2 and 'warning' not in said
  assert cli.main(['verify', str(stages[0]), '--replay=2', f"--gin.Data.directory={str(data.root)!r}"]) == 0
  assert re.findall(r'stages/(\w+)-\w+: replayed steps', capfd.readouterr().err) == [stages[0].name.partition('-')[0]]


def test_a_folder_without_its_gin_file_says_which_command_trained_it(tmp_path, capfd):
  tiny_study.prepare(tmp_path / 'data', bytes_each=60_000)
  assert cli.main(['train', *small_run.flags(GIN, tmp_path / 'data', tmp_path, steps=2)]) == 0
  kept, study = tmp_path / 'out' / 'config.gin', tmp_path / 'out' / 'study.json'
  text, record = kept.read_text(), json.loads(study.read_text())
  write_json(study, {**record, 'provenance': {**record['provenance'], 'command': 'codemix train --gin_file=mine.gin'}})
  (tmp_path / 'out' / 'report.json').unlink()  # it has the digest of study.json

  def error() -> str:
    assert cli.main(['verify', str(tmp_path / 'out'), '--replay=2']) == 2
    return capfd.readouterr().err.splitlines()[-1]

  kept.unlink()
  assert 'an earlier codemix. Give the gin files of its command with --gin_file, and no folder; it was: codemix train --gin_file=mine.gin' in error()
  kept.write_text(text + '\nRecipe.seed = 7\n')
  assert f'has no steps of a stage that {kept} describes' in error()
  assert cli.main(['verify', str(tmp_path), '--replay=2']) == 2
  assert 'it is not the output folder' in capfd.readouterr().err


@pytest.mark.slow
def test_the_gin_file_of_another_study_goes_with_its_report(tmp_path):
  tiny_study.prepare(tmp_path / 'data', bytes_each=60_000)
  for seed in (0, 1):
    assert cli.main(['train', *small_run.flags(GIN, tmp_path / 'data', tmp_path, steps=2), f'--gin.Recipe.seed={seed}']) == 0
  [former] = tmp_path.glob('out/former/*/config.gin')
  assert 'Recipe.seed = 0' in former.read_text() and 'Recipe.seed = 1' in (tmp_path / 'out' / 'config.gin').read_text()
