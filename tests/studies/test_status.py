"""What `codemix study --status` says of each unit, before, while and after it runs; it writes nothing."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import time
from pathlib import Path

import pytest

import codemix
from codemix import cli
from codemix.errors import UserError
from codemix.evaluation.evaluator import EVALUATING
from codemix.evaluation.tasks.task_evaluator import stored_name
from codemix.planner.outlines import outlines_before_preparing
from codemix.storage import locked, read_json, write_json
from codemix.studies.outline import evaluator_names, planned_outlines, recorded_study
from codemix.studies.planning import plan_study
from codemix.studies.show_status import describe_status, show_status
from codemix.studies.status import Left, UnitStatus, study_status
from codemix.studies.units import place_of, units
from codemix.training.stage import TRAINING
from tests import tiny_study, tiny_tasks
from tests.commands.test_wrong_input import GIN
from tests.studies import failing_study
from tests.studies.failing_study import STUDY


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> codemix.Data:
  return tiny_study.prepare(tmp_path_factory.mktemp('data'), bytes_each=6_000)


@pytest.fixture(scope='module')
def broken(data, tmp_path_factory) -> Path:
  """The study of which one arm failed."""
  failing_study.fail(data, output := tmp_path_factory.mktemp('broken'))
  return output


@pytest.fixture
def output(broken, tmp_path) -> Path:
  return Path(shutil.copytree(broken, tmp_path / 'out'))


def of_plan(data, output: Path, predict=lambda stage, steps: Left(None, None)) -> list[UnitStatus]:
  plan = plan_study(STUDY, data)
  outlines = planned_outlines(plan, output)
  return study_status(output, outlines, evaluator_names(plan.study), {'text-train': True, 'code-train': True, 'text-validation': True, 'code-validation': True}, predict)


def of_folder(output: Path) -> list[UnitStatus]:
  study = recorded_study(output)
  return study_status(output, study.stages, study.evaluators, {})


def states(found: list[UnitStatus]) -> dict[str, str]:
  """By kind and name of the stage, and its position where a recipe's cooldowns have one name."""
  return {unit.key: unit.state for unit in found}


def named(found: list[UnitStatus], beginning: str) -> UnitStatus:
  [unit] = [unit for unit in found if unit.key.startswith(beginning)]
  return unit


def test_before_it_has_begun_each_unit_waits_for_those_of_the_plan(data, tmp_path):
  found = of_plan(data, tmp_path)
  planned = {unit.key: unit for unit in units(plan_study(STUDY, data))}
  assert {unit.key for unit in found} == planned.keys()
  for unit in found:
    assert set(unit.needs) == set(planned[unit.key].needs)
    assert unit.state == ('done' if unit.key.startswith('prepare/') else 'not begun' if unit.key.startswith('train/balanced') else 'waiting')
    assert unit.waits_for == tuple(need for need in unit.needs if not need.startswith('prepare/')) or unit.state == 'done'
  assert list(tmp_path.iterdir()) == []


def test_a_failed_unit_has_its_reason_its_progress_and_the_units_that_wait_for_it(data, output):
  found = of_plan(data, output)
  failed = named(found, 'train/spoiled')
  assert (failed.state, failed.done, failed.total, failed.failure.exit_code) == ('failed', failing_study.STEP - 1, 7, 3)
  waiting = [unit.key for unit in found if unit.waits_for]
  assert {unit.state for unit in found if unit.waits_for} == {'waiting'} and len(waiting) == 3
  done = [unit for unit in found if unit.state == 'done']
  assert len(done) == 4 + 6
  for unit in done:
    assert unit.done == unit.total and unit.left == Left(0.0, 0.0)
    if not unit.key.startswith('prepare/'):
      assert unit.seconds > 0 and unit.device_seconds == pytest.approx(unit.seconds)  # one device


def test_what_is_left_is_measured_on_the_stage_itself_else_on_one_with_equal_steps_else_predicted(data, output, tmp_path):
  found = of_plan(data, output)
  folder = output / 'stages' / named(found, 'train/spoiled').key.removeprefix('train/')
  timing = ''.join(json.dumps({'step': step, 'seconds': 2.0, 'tokens_per_second': 1.0}) + '\n' for step in range(5))
  (folder / 'timing.jsonl').write_text(timing + json.dumps({'step': 5, 'seconds': 1e6, 'tokens_per_second': 1.0}))  # half a line
  found = of_plan(data, output)
  assert named(found, 'train/spoiled').left == pytest.approx((4.0, 4.0))
  cooldown = next(unit for unit in found if unit.waits_for and unit.key.startswith('train/'))
  sound = [json.loads(line)['seconds'] for line in (output / 'stages' / named(found, 'train/balanced').key.removeprefix('train/') / 'timing.jsonl').read_text().splitlines()[1:]]
  assert cooldown.left.seconds == pytest.approx(2 * sum(sound) / len(sound))
  nothing = of_plan(data, tmp_path / 'nowhere', lambda stage, steps: Left(steps * 1.0, steps * 8.0))
  assert named(nothing, 'train/spoiled').left == (7.0, 56.0)


@pytest.mark.parametrize(('doing', 'stage', 'kind'), [(TRAINING, 'spoiled', 'train'), (EVALUATING, 'sound', 'evaluate')])
def test_a_unit_is_running_as_long_as_a_process_holds_its_lock_and_says_which(doing, stage, kind, data, output):
  [folder] = (output / 'stages').glob(f'{stage}-*')
  if kind == 'evaluate':
    next(folder.glob('evaluation/held_out/*.json')).unlink()
  with locked(folder, doing):
    os.utime(folder / 'time.jsonl', (time.time() - 30, time.time() - 30))
    running = named(of_plan(data, output), f'{kind}/{stage}')
    assert running.state == 'running' and running.holder.doing == doing
    assert f'process {os.getpid()} on ' in running.holder.name and running.holder.silent_s == pytest.approx(30, abs=5)
    assert [unit.state for unit in of_plan(data, output)].count('running') == 1
  assert named(of_plan(data, output), f'{kind}/{stage}').state == ('failed' if kind == 'train' else 'stopped')


def test_the_folder_alone_says_what_the_plan_does(data, output):
  planned = {unit.key: unit for unit in of_plan(data, output) if not unit.key.startswith('prepare/')}
  for unit in of_folder(output):
    of = planned.pop(unit.key)
    assert dataclasses.replace(unit, needs=()) == dataclasses.replace(of, needs=())
  assert not planned


def test_a_study_json_of_an_earlier_codemix_is_enough_for_stages_that_have_begun(output):
  record = read_json(output / 'study.json')
  expected = {unit.key: unit for unit in of_folder(output)}
  write_json(output / 'study.json', {key: value for key, value in record.items() if key != 'stages'})
  for unit in of_folder(output):
    assert unit.state == expected[unit.key].state
    assert unit.total == expected[unit.key].total or unit.total is None and unit.state == 'waiting'


def test_a_renamed_stage_has_the_status_of_its_folder(data, output):
  renamed = tiny_study.study(**{name: dataclasses.replace(recipe, stages=(dataclasses.replace(recipe.stages[0], name='warm_up'), *recipe.stages[1:])) for name, recipe in failing_study.RECIPES.items()})
  plan = plan_study(renamed, data)
  known = states(of_folder(output))
  assert {place_of(output, unit) for unit in units(plan) if unit.stage} == known.keys()


def test_it_writes_nothing(data, output):
  snapshot = lambda: {path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None) for path in output.rglob('*')}
  before = snapshot()
  of_plan(data, output)
  of_folder(output)
  assert snapshot() == before


def test_before_the_data_are_prepared_stages_have_the_steps_and_parents_that_they_will_have(data):
  # Two stages of one name, one of which is shared.
  again = dataclasses.replace(failing_study.SOUND, name='balanced')
  study = tiny_study.study(a=tiny_study.recipe(failing_study.BEGINNING, again), b=tiny_study.recipe(failing_study.BEGINNING, failing_study.SPOILED))
  before, after = outlines_before_preparing(study), planned_outlines(plan_study(study, data), 'nowhere')
  assert [outline.folder for outline in before] == ['a/balanced', 'a/balanced-2', 'b/spoiled']
  at = {outline.folder: number for number, outline in enumerate(after)}
  for number, (early, late) in enumerate(zip(before, after, strict=True)):
    assert dataclasses.replace(early, folder='', parent=None, sources=()) == dataclasses.replace(late, folder='', parent=None, sources=())
    assert set(early.sources) == set(late.sources)
    assert (early.parent and [outline.folder for outline in before].index(early.parent)) == (late.parent and at[late.parent]), number


def test_units_say_whose_they_are(data, output):
  found = of_plan(data, output)
  assert {named(found, 'train/balanced').arms, named(found, 'evaluate/balanced').arms} == {('sound', 'spoiled')}
  assert named(found, 'train/sound').arms == ('sound',) and named(found, 'train/spoiled').seeds == (0,)
  assert all(unit.arms == () == unit.seeds for unit in found if unit.key.startswith('prepare/'))


def test_the_table_has_arms_and_seeds_and_stays_narrow(data, tmp_path):
  long = 'an arm of which the name is far too long for a table'
  study = dataclasses.replace(tiny_study.study(**{**failing_study.RECIPES, long: tiny_study.recipe(failing_study.SOUND)}), seeds=(0, 7))
  outlines = planned_outlines(plan_study(study, data), tmp_path)
  stream = io.StringIO()
  show_status('tiny', study_status(tmp_path, outlines, evaluator_names(study), {}), None, stream)
  header, *rows = stream.getvalue().splitlines()[1:]
  assert header.split()[:3] == ['unit', 'arm', 'seed'] and header.index('seed') - header.index('arm') <= 24 + 2
  of = {row.split()[0]: [row[header.index('arm') : header.index('seed')].strip(), row[header.index('seed') : header.index('state')].strip()] for row in rows if row.startswith('train/')}
  assert sorted(map(tuple, of.values())) == sorted((arm, seed) for seed in '07' for arm in ('sound +1', 'sound', 'sound', 'spoiled', 'spoiled', f'{long[:23]}…'))
  assert outlines_before_preparing(study)[0].arms == ('sound', 'spoiled') and outlines_before_preparing(study)[0].seeds == (0,)
  show_status('tiny', of_plan(data, tmp_path), None, stream := io.StringIO())
  assert ' seed ' not in stream.getvalue()  # a study of one seed


def test_the_table_and_the_json_say_the_same(data, output):
  found = of_plan(data, output)
  told = describe_status('tiny', found, price=3600.0)
  stream = io.StringIO()
  show_status('tiny', found, 3600.0, stream)
  table = stream.getvalue()
  assert table.startswith('tiny: 10 of 14 units done, 1 failed, 3 waiting')
  assert json.loads(json.dumps(told))['units'] == told['units'] and len(told['units']) == len(found)
  for unit, row in zip(told['units'], table.splitlines()[2:], strict=False):
    assert row.split()[0] == unit['unit'] and unit['state'] in row
    assert not unit['arms'] or unit['arms'][0] in row
    assert unit['price'] == (None if unit['device_hours'] is None else pytest.approx(unit['device_hours'] * 3600))
  assert told['left_seconds'] == pytest.approx(sum(unit.left.seconds for unit in found))
  assert 'is not finite' in table and 'left: ' in table.splitlines()[-1]


@pytest.fixture(scope='module')
def recipe(tmp_path_factory) -> Path:
  root = tmp_path_factory.mktemp('recipe')
  (root / 'recipe.gin').write_text(GIN)
  return root / 'recipe.gin'


def flags(recipe: Path, data: Path, output: Path) -> tuple[str, ...]:
  return f'--gin_file={recipe}', f"--gin.Data.directory='{data}'", f"--gin.Runtime.output='{output}'"


def test_the_command_shows_units_before_anything_is_prepared(recipe, tmp_path, capsys):
  assert cli.main(['study', '--status', '--format=json', *flags(recipe, tmp_path / 'data', tmp_path / 'out')]) == 0
  told = {unit['unit']: unit for unit in json.loads(capsys.readouterr().out)['units']}
  assert list(told) == ['prepare/text-train', 'prepare/code-train', 'prepare/text-validation', 'train/recipe/first', 'evaluate/recipe/first', 'train/recipe/second', 'evaluate/recipe/second']
  assert told['train/recipe/second']['waits_for'] == ['train/recipe/first', 'prepare/text-train'] and told['train/recipe/second']['progress']['total'] == 2
  assert list(tmp_path.iterdir()) == []
  assert cli.main(['study', '--list_commands', *flags(recipe, tmp_path / 'data', tmp_path / 'out')]) == 0
  assert capsys.readouterr().out.startswith('codemix prepare --gin_file=')


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    (('--status', '--unit=train/a'), '--status and --unit are two things to do'),
    (('--price=2',), '--price has no effect without --status'),
    (('--status', '--price=-2'), 'it is a number above 0'),
    (('--status', '--mfu=0.5'), 'chips of --topology'),
    (('--status', '--topology=cpu:8'), 'has no published peak'),
    (('--status=runs',), 'gin flags have no effect beside it'),
  ],
)
def test_flags_that_do_not_go_together_are_refused(words, message, recipe, tmp_path, capsys):
  assert cli.main(['study', *words, *flags(recipe, tmp_path, tmp_path)]) == 2
  assert message in capsys.readouterr().err


def test_a_folder_that_is_not_a_study_is_refused(tmp_path):
  with pytest.raises(UserError, match=r'is not the folder of a study: it has no study\.json'):
    recorded_study(tmp_path)


def test_the_evaluators_are_those_that_the_run_had(data, output, tmp_path):
  assert evaluator_names(STUDY) == read_json(output / 'study.json')['evaluators']
  for shots in (None, 2):
    evaluation = tiny_tasks.evaluation(tiny_tasks.write_items(tmp_path / 'sets'))
    names = [stored_name(task.name, shots) for task in evaluation.selected()]
    assert names == [evaluator.name for evaluator in [dataclasses.replace(found, asked=dataclasses.replace(found.asked, shots=shots or 0)) for found in evaluation.evaluators()]]
    assert names[0] in evaluator_names(dataclasses.replace(STUDY, evaluate=dataclasses.replace(evaluation, shots=shots)))
