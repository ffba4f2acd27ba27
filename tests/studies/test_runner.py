"""The runner: each shared beginning is trained once, and is what each recipe would have trained alone."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

import codemix
from codemix.evaluation import held_out
from codemix.evaluation.results import of_held_out, read_results
from codemix.storage import read_json
from codemix.studies.runner import evaluate_finished
from codemix.studies.study_record import arm_digest
from codemix.training import loop
from tests import tiny_study
from tests.faults.runs import assert_same, result_of
from tests.in_process import use_one_device

pytestmark = pytest.mark.usefixtures('one_device')

BEGINNING = tiny_study.stage('balanced', {'text': 0.5, 'code': 0.5}, 4)
TO_TEXT = tiny_study.stage('continued', {'text': 0.9, 'code': 0.1}, 4)
TO_CODE = tiny_study.stage('continued', {'text': 0.1, 'code': 0.9}, 4)
END = tiny_study.cooldown({'text': 0.8, 'code': 0.2}, 2)
RECIPES = {
  'to_text': tiny_study.recipe(BEGINNING, TO_TEXT, END),
  'to_code': tiny_study.recipe(BEGINNING, TO_CODE, END),
}


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> codemix.Data:
  return tiny_study.prepare(tmp_path_factory.mktemp('data'), bytes_each=6_000)


@pytest.fixture
def trained(monkeypatch) -> list[str]:
  """The stages that are trained, in order."""
  names = []
  write_result = loop.write_result

  def counting(folder, plan, *rest):
    names.append(plan.name)
    return write_result(folder, plan, *rest)

  monkeypatch.setattr(loop, 'write_result', counting)
  return names


def run(data, output: Path, **recipes: codemix.Recipe) -> Path:
  return codemix.run_study(tiny_study.study(**recipes), data, tiny_study.runtime(output))


@pytest.fixture(scope='module')
def together(data, tmp_path_factory) -> Path:
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    return run(data, tmp_path_factory.mktemp('together'), **RECIPES)


@pytest.fixture
def files(together) -> dict[Path, tuple[int, bytes]]:
  return snapshot(together)


def snapshot(output: Path) -> dict[Path, tuple[int, bytes]]:
  paths = [path for path in (output / 'stages').rglob('*') if path.is_file()]
  return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


@pytest.mark.parametrize('name', RECIPES)
def test_a_recipe_that_shares_its_beginning_ends_bitwise_as_if_trained_alone(name, data, together, tmp_path):
  alone = result_of(run(data, tmp_path, **{name: RECIPES[name]}))
  shared = result_of(together)
  assert_same({key: shared[key] for key in alone}, alone)
  assert len({key.split('/')[0] for key in alone if '/' in key}) == 3


def test_recipes_with_other_row_lengths_and_models_are_trained_and_scored_in_one_study_as_alone(data, tmp_path):
  wide = dataclasses.replace(tiny_study.MODEL, width=24)
  recipes = {
    'short': tiny_study.recipe(BEGINNING, length=tiny_study.LENGTH // 2),
    'long': tiny_study.recipe(BEGINNING),
    'wide': tiny_study.recipe(BEGINNING, length=tiny_study.LENGTH // 2, model=wide),
  }
  output = run(data, tmp_path / 'together', **recipes)
  shared = result_of(output)
  alone = [result_of(run(data, tmp_path / name, **{name: recipe})) for name, recipe in recipes.items()]
  assert_same(shared, {key: value for result in alone for key, value in result.items()})
  assert len({key.split('/')[0] for key in shared if '/' in key}) == 3
  assert codemix.write_report(output).is_file()


def test_a_shared_beginning_is_trained_once(data, trained, tmp_path):
  output = run(data, tmp_path, **RECIPES)
  assert sorted(trained) == ['balanced', 'continued', 'continued', 'cooldown', 'cooldown']
  told = read_json(output / 'study.json')
  first = {recipe['stages'][0] for recipe in told['recipes'].values()}
  assert len(first) == 1
  step_tokens = tiny_study.BATCH * tiny_study.LENGTH
  assert told['savings'] == {
    'stages_alone': 6,
    'stages_trained': 5,
    'stage_tokens_alone': 20 * step_tokens,
    'stage_tokens_trained': 16 * step_tokens,
  }


def test_documents_are_scored_in_portions_of_as_many_rows_as_a_batch_is_trained_in(data, together, tmp_path, monkeypatch):
  rows = []
  score = held_out.score_documents

  def recording(model, *arguments):
    rows.append(model.batch)
    return score(model, *arguments)

  monkeypatch.setattr(held_out, 'score_documents', recording)
  output = Path(shutil.copytree(together, tmp_path / 'output'))
  bits = lambda folder: {name: found.scores['bits_per_byte'] for name, found in of_held_out(read_results(folder)).items()}
  whole = {folder: bits(folder) for folder in output.glob('stages/*')}
  for folder in whole:
    shutil.rmtree(folder / 'evaluation')
  in_portions = tiny_study.runtime(output, microbatches=4)
  evaluate_finished(tiny_study.study(**RECIPES), data, in_portions)
  assert set(rows) == {tiny_study.BATCH // 4}
  assert len(whole) == 5
  for folder, expected in whole.items():
    assert bits(folder) == pytest.approx(expected, rel=1e-6)


def test_a_renamed_stage_finds_its_result(data, together, files, trained):
  renamed = dataclasses.replace(BEGINNING, name='warm_up')
  recipe = tiny_study.recipe(renamed, dataclasses.replace(TO_TEXT, name='half_time'), END)
  run(data, together, to_text=recipe)
  assert trained == []
  assert snapshot(together) == files
  stages = read_json(together / 'study.json')['recipes']['to_text']['stages']
  assert [name.split('-')[0] for name in stages] == ['balanced', 'continued', 'cooldown']


def test_a_changed_mixture_trains_only_what_it_changes_and_leaves_the_rest(data, together, files, trained):
  changed = tiny_study.stage('continued', {'text': 0.7, 'code': 0.3}, 4)
  run(data, together, to_text=tiny_study.recipe(BEGINNING, changed, END))
  assert trained == ['continued', 'cooldown']
  after = snapshot(together)
  assert {path: after[path] for path in files} == files


def test_the_order_in_which_recipes_are_named_changes_nothing(data, together, tmp_path):
  turned = result_of(run(data, tmp_path, **dict(reversed(RECIPES.items()))))
  shared = result_of(together)
  assert_same(turned, {key: shared[key] for key in turned})


@pytest.mark.parametrize(
  'change',
  [
    {'seed': 1},
    {'optimizer': codemix.Optimizer(b2=0.99)},
    {'model': dataclasses.replace(tiny_study.MODEL, rope_theta=20_000.0)},
    {'length': 16},
  ],
  ids=lambda change: next(iter(change)),
)
def test_whatever_changes_the_numbers_makes_a_stage_of_its_own(change, data):
  hashes = [
    codemix.plan_study(tiny_study.study(r=tiny_study.recipe(BEGINNING, **settings)), data).stages()[0].hash
    for settings in ({}, change)
  ]
  assert hashes[0] != hashes[1]


@pytest.mark.parametrize('change', [{'max_epochs': 9.0}, {'description': 'another'}], ids=lambda c: next(iter(c)))
def test_whatever_changes_no_number_keeps_the_stage(change, data):
  hashes = [
    codemix.plan_study(tiny_study.study(r=tiny_study.recipe(BEGINNING, **settings)), data).stages()[0].hash
    for settings in ({}, change)
  ]
  assert hashes[0] == hashes[1]


def test_the_ledgers_are_chained_from_stage_to_stage(together):
  for recipe in read_json(together / 'study.json')['recipes'].values():
    before = None
    for folder in recipe['stages']:
      ledger = read_json(together / 'stages' / folder / 'ledger.json')
      assert ledger['parent_hash'] == before
      before = ledger['hash']


def test_a_stage_keeps_its_result_and_no_other_checkpoint(together):
  for folder in (together / 'stages').iterdir():
    step = read_json(folder / 'done.json')['step']
    assert {p.name for p in (folder / 'checkpoints').iterdir()} == {f'{step}', f'{step}.digest.json'}


def test_evaluation_is_not_repeated_unless_something_it_reads_changed(data, together, tmp_path):
  output = Path(shutil.copytree(together, tmp_path / 'copy'))
  before = snapshot(output)
  study = tiny_study.study(**RECIPES)
  evaluate_finished(study, data, tiny_study.runtime(output))
  assert snapshot(output) == before
  fewer = dataclasses.replace(study, validation=('code',))
  told = evaluate_finished(fewer, data, tiny_study.runtime(output))
  assert {tuple(result['sources']) for result in told.values()} == {('code',)}


def test_what_a_study_writes_of_its_recipes_is_what_their_stages_say(data, together):
  record = read_json(together / 'study.json')
  for recipe in record['recipes'].values():
    identities = [read_json(together / 'stages' / name / 'stage.json')['identity'] for name in recipe['stages']]
    assert recipe['arm'] == arm_digest(identities)
    assert recipe['seed'] == identities[0]['seed']
    assert {**identities[0]['model'], 'parameters': recipe['model']['parameters']} == recipe['model']


def test_recipes_of_one_plan_and_different_seeds_are_one_arm(data):
  recipe = RECIPES['to_text']
  recipes = {'a': recipe, 'b': dataclasses.replace(recipe, seed=7), 'c': dataclasses.replace(recipe, length=16)}
  arms = []
  for name, one in recipes.items():
    plan = codemix.plan_study(tiny_study.study(**{name: one}), data)
    arms.append(arm_digest([stage.identity for stage in plan.recipes[name]]))
  assert arms[0] == arms[1] != arms[2]


def test_another_study_in_the_same_folder_keeps_the_report_that_is_there_and_says_so(data, together, tmp_path, capsys):
  output = Path(shutil.copytree(together, tmp_path / 'copy'))
  # The folder's last study may have been another test's; this one is it once more.
  run(data, output, **RECIPES)
  codemix.write_report(output)
  page = (output / 'report.html').read_bytes()
  capsys.readouterr()
  run(data, output, **RECIPES)
  assert 'another study' not in capsys.readouterr().err
  run(data, output, to_text=RECIPES['to_text'])
  assert "report of another study, 'tiny' (2 recipes)" in capsys.readouterr().err
  assert page in [path.read_bytes() for path in output.glob('former/*/report.html')]
