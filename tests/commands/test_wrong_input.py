"""Each mistake a user can make: one line that names it and the mend, exit code 2, nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from codemix import cli
from tests import tiny_study

GIN = """

ModelConfig.vocab_size = 259
ModelConfig.layers = 1
ModelConfig.width = 16
ModelConfig.ffn_width = 16
ModelConfig.heads = 2
ModelConfig.head_dim = 8
ModelConfig.dtype = 'float32'
Recipe.model = @ModelConfig()
Recipe.optimizer = @Optimizer()
Recipe.length = 32

Stage.batch = 8
Stage.tokens = 512
Stage.schedule = @WarmupCosine()
WarmupCosine.peak = 1e-2
WarmupCosine.warmup_steps = 1
first/Stage.name = 'first'
first/Stage.mixture = {'text': 0.5, 'code': 0.5}
second/Stage.name = 'second'
second/Stage.mixture = {'text': 1.0}
Recipe.stages = [@first/Stage(), @second/Stage()]

Data.tokenizer = 'bytes'
Data.task_modules = ()
Study.validation = ('text',)
Runtime.tensorboard = False
Runtime.mesh = @MeshConfig()
"""


@pytest.fixture(scope='module')
def prepared(tmp_path_factory) -> Path:
  """A prepared data folder and a finished run, from which each test takes a copy."""
  root = tmp_path_factory.mktemp('prepared')
  tiny_study.prepare(root / 'data', bytes_each=6_000)
  (root / 'recipe.gin').write_text(GIN)
  assert _main(root, 'train') == 0
  return root


@pytest.fixture
def place(prepared, tmp_path) -> Path:
  return Path(shutil.copytree(prepared, tmp_path / 'place'))


def _main(root: Path, verb: str, *flags: str) -> int:
  return cli.main(
    [
      verb,
      f'--gin_file={root / "recipe.gin"}',
      f"--gin.Data.directory='{root / 'data'}'",
      f"--gin.Runtime.output='{root / 'out'}'",
      *flags,
    ]
  )


def _files(folder: Path) -> dict[str, bytes]:
  return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


ASKED = tuple(f'out/{name}' for name in ('study.json', 'config.gin', 'report.html', 'report.md', 'report.json', 'results.csv', 'scores.csv'))


def refused(capfd, place: Path, verb: str, *flags: str) -> str:
  """What the command says when it refuses; every result that was there must still be there."""
  capfd.readouterr()
  before = _files(place)
  assert _main(place, verb, *flags) == 2
  said = capfd.readouterr()
  errors = [line for line in said.err.splitlines() if line.startswith(f'codemix {verb}: ')]
  assert len(errors) == 1, said.err
  for noise in ('Traceback', 'WARNING', 'absl', 'XLA'):
    assert noise not in said.err + said.out
  kept = _files(place)
  # study.json and config.gin say what was asked for last, and the report what failed; what was trained and scored must be as it was.
  said_again = [name for name in before if name in ASKED or name.endswith('/.lock')]
  assert {name: kept.get(name) for name in before} == before | {name: kept[name] for name in said_again}
  return errors[0]


@pytest.mark.parametrize(
  ('flag', 'says'),
  [
    ('--gin.Stage.batsh=8', "Stage has no parameter 'batsh'. Did you mean 'batch'?"),
    ('--gin.Stag.batch=8', "gin knows no 'Stag'. Did you mean 'Stage'?"),
    ('--gin.frist/Stage.batch=8', "this run builds no 'frist/Stage'. Did you mean 'first/Stage'?"),
    ('--gin.TEXTT={}', "this run builds no 'TEXTT'"),
    ('--gin.Stage.batch=eight', "does not parse at 'eight'; write a string in quotes"),
    ("--gin.Stage.batch='8'", 'it is a whole number of rows'),
    ('--gin.Stage.batch=0', 'it is a whole number of rows'),
    ('--gin.Stage.tokens=-5', 'it is a whole number of tokens, at least 1'),
    ('--gin.Stage.tokens=3', 'less than one step'),
    ('--gin.first/Stage.mixture={}', 'names no source'),
    ("--gin.first/Stage.mixture={'text': 0.5, 'code': 0.6}", 'sum to 1.1, not 1'),
    ("--gin.first/Stage.mixture={'text': 1.5, 'code': -0.5}", 'lies from 0 to 1'),
    ("--gin.first/Stage.mixture={'text': 0.5, 'kode': 0.5}", "'kode' (train) is not prepared"),
    ('--gin.Stage.tokens=200_000', 'Recipe.max_epochs is 4'),
    ('--gin.Recipe.length=100_000', 'tokens'),
    ('--gin.WarmupCosine.warmup_steps=99', 'Shorten the warm-up'),
    ('--gin.WarmupCosine.warmup_fraction=0.1', 'wants one of warmup_steps and warmup_fraction, and has both'),
    ('--gin.second/Stage.schedule=None', 'tokens left of the 512 wanted'),
    ("--gin.Optimizer.name='adam'", "Did you mean 'adamw'?"),
    ('--gin.ModelConfig.kv_heads=3', 'kv_heads'),
    ('--gin.ModelConfig.vocab_size=100', 'Set ModelConfig.vocab_size to 259 or more'),
    ("--gin.Runtime.on_damaged='ignore'", 'it is one of previous, stop'),
    ('--gin.MeshConfig.fsdp=3', 'does not fit 8 devices: use (replica=1, data='),
    ('--gin.MeshConfig.sequence=16', 'does not fit 8 devices'),
    ('--gin.MeshConfig.tensor=4', "'vocab' of size 259"),
    ('--gin.Runtime.microbatches=3', 'x 3 microbatches. Set Stage.batch to 24'),
    ("--gin.Optimizer.moments_dtype='bf16'", "Did you mean 'bfloat16'?"),
    ("--gin.ModelConfig.remat='dot'", "Did you mean 'dots'?"),
    ('--gin_file=recipes/balancd_to_text.gin', "Did you mean 'recipes/balanced_to_text.gin'?"),
    ('--gin_fil=x', "there is no argument '--gin_fil'. Did you mean '--gin_file'?"),
    ('--gin.Stage.batch', 'lacks a value'),
    ("--gin.Data.tokenizer='none.json'", 'does not exist'),
    ('--num_processes=2', 'give all three, or none'),
  ],
)
def test_a_mistyped_or_senseless_value_is_refused_before_anything_is_touched(place, capfd, monkeypatch, flag, says):
  # What would have to be prepared is looked for by SeqIO, which these tests do without.
  monkeypatch.setattr('codemix.studies.preparation.prepare_in_own_process', lambda *arguments: None)
  assert says in refused(capfd, place, 'train', flag)


def test_a_batch_that_does_not_divide_over_the_devices_is_refused_with_those_that_do(place, capfd):
  said = refused(capfd, place, 'train', '--gin.Stage.batch=12', '--gin.Stage.tokens=2048')
  assert 'a batch of 12 rows does not divide over 8 devices' in said
  assert 'Set Stage.batch to 8 or 16' in said


def test_a_line_of_a_gin_file_is_named_by_file_and_number(place, capfd):
  (place / 'recipe.gin').write_text((place / 'recipe.gin').read_text() + '\nStage.batsh = 8\n')
  number = len((place / 'recipe.gin').read_text().splitlines())
  said = refused(capfd, place, 'train')
  assert f'recipe.gin, line {number}: ' in said and "Did you mean 'batch'?" in said


def test_a_damaged_token_store_is_named(place, capfd):
  tokens = next((place / 'data').glob('stores/code-train-*/tokens-*.bin'))
  data = bytearray(tokens.read_bytes())
  data[100] ^= 4
  tokens.write_bytes(data)
  assert tokens.name in refused(capfd, place, 'train')


def test_a_stage_whose_identity_was_edited_is_refused(place, capfd):
  stage = next((place / 'out' / 'stages').glob('second-*'))
  record = json.loads((stage / 'stage.json').read_text())
  record['identity']['seed'] = 7
  (stage / 'stage.json').write_text(json.dumps(record))
  (stage / 'done.json').unlink()
  assert 'seed: 0 expected, 7 found' in refused(capfd, place, 'train')


def _with_checkpoints_of_first(place: Path) -> Path:
  """The folder of the second stage, with the first one's checkpoints put in its own one's place."""
  first, second = (next((place / 'out' / 'stages').glob(f'{name}-*')) for name in ('first', 'second'))
  shutil.rmtree(second / 'checkpoints')
  shutil.copytree(first / 'checkpoints', second / 'checkpoints')
  return second


def test_a_checkpoint_of_another_stage_is_refused(place, capfd):
  second = _with_checkpoints_of_first(place)
  (second / 'done.json').unlink()
  assert 'does not belong to this stage' in refused(capfd, place, 'train')


def test_evaluation_takes_only_the_checkpoint_with_which_the_stage_was_done(place, capfd):
  second = _with_checkpoints_of_first(place)
  shutil.rmtree(second / 'evaluation')
  assert 'cannot be used' in refused(capfd, place, 'evaluate')


def test_a_folder_that_is_no_stage_is_refused_by_generate(place, capfd):
  assert cli.main(['generate', f'--stage={place}', '--prompt=x']) == 2
  assert 'is not a stage' in capfd.readouterr().err


def test_a_folder_that_is_no_study_is_refused_by_report(place, capfd):
  assert cli.main(['report', f'--output={place / "data"}']) == 2
  assert len(capfd.readouterr().err.splitlines()) == 1


def _mounted(folder: Path, options: str) -> None:
  folder.mkdir(parents=True, exist_ok=True)
  mounted = subprocess.run(
    ['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', str(folder)], capture_output=True, check=False
  )
  if mounted.returncode:
    pytest.skip('this user may not mount a file system that is small or read-only')


@pytest.fixture
def mount(place):
  folders = []

  def mount(name: str, options: str) -> Path:
    _mounted(place / name, options)
    folders.append(place / name)
    return place / name

  yield mount
  for folder in folders:
    subprocess.run(['umount', str(folder)], check=True)


def test_a_disk_that_is_too_small_is_found_before_the_first_step(place, capfd, mount):
  folder = mount('small', 'size=100k')
  said = refused(capfd, place, 'train', f"--gin.Runtime.output='{folder}'", '--gin.Recipe.seed=1', '--gin.ModelConfig.width=64')
  assert str(folder) in said and 'MiB are needed' in said


def test_a_read_only_folder_is_named(place, capfd, mount):
  folder = mount('readonly', 'ro')
  said = refused(capfd, place, 'train', f"--gin.Runtime.output='{folder}'")
  assert str(folder) in said and 'the file system is read-only' in said


@pytest.mark.parametrize('tensorboard', [False, True], ids=['plain', 'tensorboard'])
def test_a_disk_that_fills_up_during_a_save_leaves_the_last_good_checkpoint(place, capfd, mount, tensorboard):
  folder = mount('filling', 'size=40m')
  flags = (f"--gin.Runtime.output='{folder}'", '--gin.Runtime.save_every=1', '--gin.Recipe.seed=2')
  flags += (f'--gin.Runtime.tensorboard={tensorboard}',)
  from codemix.checkpoints import Checkpoints

  save, saves = Checkpoints.save, []

  def filling_up(self, step, state, position):
    self.wait()
    saves.append(step)
    if step == 2:  # no room is left from here on
      _fill(folder)
    save(self, step, state, position)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(Checkpoints, 'save', filling_up)
    said = refused(capfd, place, 'train', *flags)
  assert 'the disk is full' in said and str(folder) in said and 'MiB are needed' in said
  assert saves[-1] == 2
  (folder / 'ballast').unlink()
  first = next((folder / 'stages').glob('first-*'))
  assert (first / 'checkpoints' / '1.digest.json').exists()
  assert _main(place, 'train', *flags) == 0  # goes on from step 1
  assert (first / 'done.json').exists()


def test_a_disk_that_is_full_when_the_metrics_are_closed_is_named(place, capfd, mount):
  from codemix.training.stage_log import StageLog

  folder = mount('filling', 'size=40m')
  flags = (f"--gin.Runtime.output='{folder}'", '--gin.Recipe.seed=2', '--gin.Runtime.tensorboard=True')
  close = StageLog.close

  def closing(self):
    _fill(folder)
    close(self)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(StageLog, 'close', closing)
    said = refused(capfd, place, 'train', *flags)
  assert 'the disk is full' in said and 'tensorboard' in said


def _fill(folder: Path) -> None:
  found = os.statvfs(folder)
  with open(folder / 'ballast', 'ab') as ballast:
    ballast.write(bytes(found.f_bavail * found.f_frsize))


def test_a_rate_that_blows_up_ends_with_exit_code_3_and_saves_nothing_non_finite(place, capfd):
  capfd.readouterr()
  flags = ('--gin.WarmupCosine.peak=1e30', '--gin.Stage.tokens=2048', '--gin.Runtime.save_every=1')
  assert _main(place, 'train', *flags) == 3
  said = capfd.readouterr().err
  assert 'finite' in said and 'step' in said and 'Traceback' not in said
  stage = max((place / 'out' / 'stages').glob('first-*'), key=lambda folder: folder.stat().st_mtime)
  assert not (stage / 'done.json').exists()
