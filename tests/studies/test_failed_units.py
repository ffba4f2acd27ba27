"""One failed arm does not stop the others; the gap is shown, and the same command mends it."""

from __future__ import annotations

import shutil
from pathlib import Path

import jax
import pytest

import codemix
from codemix import cli
from codemix.errors import (
  FolderUnavailable,
  NonFiniteError,
  PeerEnded,
  StorageUnavailable,
  UserError,
)
from codemix.report.content import gather
from codemix.report.results import read_study
from codemix.storage import read_json
from codemix.studies import serial
from codemix.studies.failures import read_failures
from codemix.studies.runner import try_study
from codemix.training import loop
from tests import tiny_study
from tests.commands.test_wrong_input import GIN
from tests.faults import runs, together
from tests.faults.conftest import Place
from tests.in_process import use_one_device
from tests.studies import failing_study
from tests.studies.failing_study import RECIPES, STUDY


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> codemix.Data:
  return tiny_study.prepare(tmp_path_factory.mktemp('data'), bytes_each=6_000)


@pytest.fixture(scope='module')
def whole(data, tmp_path_factory) -> Path:
  """The study that nothing disturbed."""
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    return codemix.run_study(STUDY, data, tiny_study.runtime(tmp_path_factory.mktemp('whole')))


@pytest.fixture(scope='module')
def broken(data, tmp_path_factory) -> Path:
  """The study of which one arm failed."""
  failing_study.fail(data, output := tmp_path_factory.mktemp('broken'))
  return output


def folder_of(output: Path, recipe: str, position: int) -> str:
  return read_json(output / 'study.json')['recipes'][recipe]['stages'][position]


def test_the_other_arm_is_trained_and_evaluated_bitwise_as_ever(broken, whole):
  sound = set(read_json(broken / 'study.json')['recipes']['sound']['stages'])
  expected = {key: value for key, value in runs.result_of(whole).items() if key.split('/')[0].split('[')[0].split('.')[0] in sound}
  for path in (broken / 'stages').iterdir():
    assert (path / 'done.json').exists() == (path.name in sound)
  only = Path(shutil.copytree(broken, broken.parent / 'only_sound', dirs_exist_ok=True))
  for path in list((only / 'stages').iterdir()):
    if path.name not in sound:
      shutil.rmtree(path)
  runs.assert_same(runs.result_of(only), expected)


def test_the_failure_is_kept_with_its_unit_error_and_exit_code(broken):
  folder = folder_of(broken, 'spoiled', 1)
  [(place, failure)] = read_failures(broken).items()
  assert place == failure.unit == f'train/{folder}'
  assert failure.exit_code == 3 and 'is not finite' in failure.error and failure.when.endswith('+00:00')


def test_the_report_says_why_cells_are_missing(broken):
  content = gather(read_study(broken))
  failed, after = folder_of(broken, 'spoiled', 1), folder_of(broken, 'spoiled', 2)
  states = {stage.folder: stage.state for stage in content.study.stages.values()}
  assert states[failed] == 'failed' and states[after] == 'not started'
  assert any(line.startswith(f'{failed} failed after {failing_study.STEP - 1} of 7 steps: ') and 'not finite' in line for line in content.missing)
  assert f'{after} is not started, because {failed}, with which it begins, failed (spoiled).' in content.missing
  assert (page := codemix.write_report(broken)).is_file() and 'is not finite' in page.read_text()


@pytest.mark.usefixtures('one_device')
def test_the_same_call_tries_again_only_what_failed_and_forgets_the_failure(data, broken, whole, tmp_path, monkeypatch):
  output, trained = Path(shutil.copytree(broken, tmp_path / 'again')), []
  write_result = loop.write_result
  monkeypatch.setattr(loop, 'write_result', lambda folder, plan, *rest: (trained.append(plan.name), write_result(folder, plan, *rest)))
  codemix.run_study(STUDY, data, tiny_study.runtime(output))
  assert trained == ['spoiled', 'cooldown']
  assert read_failures(output) == {}
  runs.assert_same(runs.result_of(output), runs.result_of(whole))


@pytest.mark.usefixtures('one_device')
def test_a_failed_evaluation_leaves_out_nothing_else(data, whole, tmp_path, monkeypatch):
  output = Path(shutil.copytree(whole, tmp_path / 'copy'))
  folder = folder_of(output, 'sound', 1)
  shutil.rmtree(output / 'stages' / folder / 'evaluation')
  (output / 'stages' / folder / 'checkpoints' / f'{read_json(output / "stages" / folder / "done.json")["step"]}.digest.json').unlink()
  outcome = try_study(STUDY, data, tiny_study.runtime(output))
  assert list(outcome.failed) == [f'evaluate/{folder}'] and not outcome.left_out
  assert isinstance(outcome.failed[f'evaluate/{folder}'], UserError)
  assert list(read_failures(output)) == [f'evaluate/{folder}']
  assert any(line.startswith(f'{folder} failed: ') for line in gather(read_study(output)).missing)


@pytest.mark.usefixtures('one_device')
def test_a_failure_frees_the_arrays_that_it_had_on_the_devices(data, tmp_path, monkeypatch):
  failing_study.spoil(monkeypatch)
  used = []
  show = serial.show_stage
  monkeypatch.setattr(serial, 'show_stage', lambda *rest: (used.append(sum(array.nbytes for array in jax.live_arrays())), show(*rest)))
  study = tiny_study.study(spoiled=tiny_study.recipe(failing_study.BEGINNING, failing_study.SPOILED), sound=RECIPES['sound'])
  outcome = try_study(study, data, tiny_study.runtime(tmp_path))
  assert len(outcome.failed) == 1
  assert max(used[1:]) <= used[0] + 4096  # constants of compiled programs


@pytest.mark.usefixtures('one_device')
@pytest.mark.parametrize('error', [FolderUnavailable('the disk is full'), StorageUnavailable('no answer'), PeerEnded('lost'), codemix.CodemixError('a bug')], ids=lambda error: type(error).__name__)
def test_what_is_not_the_fault_of_a_unit_ends_the_study(error, data, tmp_path, monkeypatch):
  def fail(*_):
    raise error

  monkeypatch.setattr(serial, 'train_stage', fail)
  with pytest.raises(type(error), match=str(error)):
    try_study(STUDY, data, tiny_study.runtime(tmp_path))
  assert read_failures(tmp_path) == {}


@pytest.mark.usefixtures('one_device')
def test_an_error_that_not_all_processes_meet_ends_the_study(data, tmp_path, monkeypatch):
  failing_study.spoil(monkeypatch)

  def alone(name: str, timeout_s: float) -> None:
    raise PeerEnded(f'{name}: 1 of 2 processes came')

  monkeypatch.setattr(serial, 'barrier', alone)
  with pytest.raises(NonFiniteError):
    try_study(STUDY, data, tiny_study.runtime(tmp_path))
  assert read_failures(tmp_path) == {} and len(list(tmp_path.glob('stages/*/done.json'))) == 2


def test_with_several_processes_a_mistake_that_one_may_see_alone_is_not_a_units_own(monkeypatch):
  assert serial.is_its_own(UserError('a damaged checkpoint'))
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  assert not serial.is_its_own(UserError('a damaged checkpoint')) and serial.is_its_own(NonFiniteError('a loss'))


@pytest.mark.slow
def test_two_processes_agree_on_a_failure_and_go_on_with_the_other_arm(tmp_path):
  tiny_study.prepare(tmp_path / 'data', bytes_each=6_000)
  place, port = Place(tmp_path / 'data', tmp_path / 'cache'), together.free_port()
  members = [together.start(place, tmp_path / 'out', port, 2, index, '--failing') for index in (0, 1)]
  assert [code for code, _ in together.ends(members, within_s=240)] == [3, 3]
  record = read_json(tmp_path / 'out' / 'study.json')['recipes']
  done = {path.parent.name for path in (tmp_path / 'out').glob('stages/*/done.json')}
  assert done == set(record['sound']['stages'])
  assert list(read_failures(tmp_path / 'out')) == [f'train/{record["spoiled"]["stages"][1]}']


def test_the_command_writes_the_report_says_what_failed_and_ends_with_its_code(tmp_path, monkeypatch, capfd):
  tiny_study.prepare(tmp_path / 'data', bytes_each=6_000)
  study = "a/Recipe.stages = [@first/Stage()]\nb/Recipe.stages = [@second/Stage(), @first/Stage()]\nStudy.recipes = {'a': @a/Recipe(), 'b': @b/Recipe()}\nStudy.name = 'two'\nsecond/Stage.tokens = 768\n"
  (tmp_path / 'study.gin').write_text(GIN + study)
  failing_study.spoiled.spoil(monkeypatch, {2: failing_study.spoiled.NAN}, of=lambda rows: len(rows) == 24)
  flags = (f'--gin_file={tmp_path / "study.gin"}', f"--gin.Data.directory='{tmp_path / 'data'}'", f"--gin.Runtime.output='{tmp_path / 'out'}'")
  assert cli.main(['study', *flags]) == 3
  said = capfd.readouterr()
  assert (tmp_path / 'out' / 'report.html').is_file() and 'report: ' in said.out
  lines = said.err.splitlines()
  at = lines.index('1 unit failed:')
  assert lines[at + 1].startswith('  train/second-') and 'step 2 is not finite' in lines[at + 1]
  assert lines[at + 2] == 'not run, because they need one that failed:' and [line.split('-')[0] for line in lines[at + 3 : at + 6]] == ['  evaluate/second', '  train/first', '  evaluate/first']
  assert lines[at + 6].startswith('The others are done. To try again: ')
  assert [line for line in lines if line.startswith('codemix study: ')] == lines[-1:] and 'is not finite' in lines[-1]
