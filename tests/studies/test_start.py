"""A recipe that begins with a finished stage or an imported model."""

from __future__ import annotations

import dataclasses
import json
import shutil
import socket
from pathlib import Path

import jax
import numpy as np
import pytest

import codemix
from codemix import cli
from codemix.data.batches.source import Cursor
from codemix.errors import UserError
from codemix.models.decoder import init_params
from codemix.planner.stages import planned_stages
from codemix.report.results import read_study
from codemix.report.tree import stage_tree
from codemix.report.write import write_report
from codemix.studies.planning import plan_study
from codemix.studies.verify import check_ledgers, verify_stage
from codemix.training import stage_log
from tests import tiny_study
from tests.faults import runs
from tests.faults.runs import assert_same, final_state, result_of
from tests.in_process import use_one_device
from tests.studies import start_process
from tests.studies.starts import write_imported

HALF = {'text': 0.5, 'code': 0.5}
STEP = tiny_study.BATCH * tiny_study.LENGTH
FIRST = tiny_study.stage('balanced', HALF, 6, schedule=codemix.WarmupCosine(peak=1e-2, warmup_steps=2, floor=1e-3))
CONTINUED, COOLDOWN = start_process.CONTINUED, start_process.COOLDOWN
ALONE = codemix.Handoff(optimizer='restart', step='restart', rate='restart')

pytestmark = pytest.mark.usefixtures('one_device')


@pytest.fixture
def one_device(monkeypatch):
  use_one_device(monkeypatch)


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> codemix.Data:
  return tiny_study.prepare(tmp_path_factory.mktemp('data'), bytes_each=12_000)


def study(*stages: codemix.Stage, **settings) -> codemix.Study:
  return codemix.Study(name='s', recipes={'only': tiny_study.recipe(*stages, **settings)})


def plans(data, *stages, **settings) -> list:
  return plan_study(study(*stages, **settings), data).recipes['only']


def run(data, output: Path, *stages, **settings) -> list[Path]:
  codemix.run_study(study(*stages, **settings), data, tiny_study.runtime(output))
  return [output / 'stages' / plan.folder_name for plan in plans(data, *stages, **settings)]


@pytest.fixture(scope='module')
def whole(data, tmp_path_factory) -> list[Path]:
  """The folders of three stages, trained as one recipe."""
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    return run(data, tmp_path_factory.mktemp('whole'), FIRST, CONTINUED, COOLDOWN)


@pytest.fixture(scope='module')
def imported(tmp_path_factory) -> Path:
  folder = tmp_path_factory.mktemp('imported') / 'public'
  write_imported(folder)
  return folder


def refusal(data, *stages, **settings) -> str:
  with pytest.raises(UserError) as refused:
    plans(data, *stages, **settings)
  assert '\n' not in str(refused.value)
  return str(refused.value)


def same(one, other) -> bool:
  leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
  return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in leaves)


def stage(handoff: codemix.Handoff = ALONE, steps: int = 6, **settings) -> codemix.Stage:
  return tiny_study.stage('begun', settings.pop('mixture', HALF), steps, handoff=handoff, **settings)


# A finished stage.


@pytest.mark.parametrize('cut', [1, 2])
def test_a_recipe_cut_in_two_gives_bitwise_what_it_gives_whole(data, whole, tmp_path, cut):
  stages = [FIRST, CONTINUED, COOLDOWN][cut:]
  folders = run(data, tmp_path, *stages, start=str(whole[cut - 1]))
  assert [folder.name for folder in folders] == [folder.name for folder in whole[cut:]]  # one hash for the same numbers
  for folder, expected in zip(folders, whole[cut:], strict=True):
    assert same(final_state(folder), final_state(expected))
    for file in ('metrics.jsonl', 'ledger.json', 'rate.csv', 'plan.json'):
      assert (folder / file).read_bytes() == (expected / file).read_bytes()


def test_the_hash_depends_on_what_the_start_is_and_not_on_where_it_lies(data, whole, tmp_path):
  there = shutil.copytree(whole[1], tmp_path / 'elsewhere')
  found = lambda start: plans(data, COOLDOWN, start=str(start))[0].hash
  assert found(there) == found(whole[1]) == found(whole[1].parent / 'continued')
  assert found(whole[1]) != found(whole[0])


def test_another_imported_model_has_another_hash(data, imported, tmp_path):
  write_imported(tmp_path / 'other', seed=6)
  shutil.copytree(imported, tmp_path / 'moved')
  found = lambda start: plans(data, stage(), start=start and str(start))[0].hash
  assert found(imported) == found(tmp_path / 'moved')
  assert len({found(imported), found(tmp_path / 'other'), found(None)}) == 3


def test_recipes_without_a_start_have_the_identity_that_they_had(data):
  [plan] = plans(data, FIRST)
  assert plan.identity.keys() == {
    'parent', 'steps', 'first_step', 'batch', 'length', 'rates', 'rows', 'rewound', 'handoff', 'model', 'optimizer', 'seed', 'tokenizer', 'sources', 'numerics'
  }  # fmt: skip
  assert plan.identity['parent'] is plan.identity['handoff'] is None


@pytest.mark.parametrize('kept', [('optimizer', 'step'), ('optimizer',), ('step',), ()])
def test_the_first_state_has_what_the_handoff_names(data, whole, tmp_path, kept):
  handoff = codemix.Handoff(rate='restart', **{field: 'continue' if field in kept else 'restart' for field in ('optimizer', 'step')})
  still = codemix.Constant(0.0)  # weights stay
  [folder] = run(data, tmp_path, stage(handoff, steps=1, schedule=still), start=str(whole[0]))
  before, after = final_state(whole[0]), final_state(folder)
  assert same(after.params, before.params)
  assert after.step == (before.step if 'step' in kept else 0) + 1
  counts = lambda state: int(state.opt_state[1].count)
  assert counts(after) == (counts(before) if 'optimizer' in kept else 0) + 1


def test_sources_are_drawn_on_and_epochs_over_the_run_include_the_start(data, whole):
  [plan] = plans(data, COOLDOWN, start=str(whole[1]))
  before = {use['source']: use for use in json.loads((whole[1] / 'ledger.json').read_text())['planned']}
  for draw in plan.draws:
    assert draw.cursor == before[draw.source]['rows_cumulative']
    assert draw.rows_cumulative == draw.cursor + draw.rows
    assert draw.epochs_cumulative > draw.epochs


def test_a_source_that_an_earlier_stage_alone_read_goes_on_too(data, tmp_path):
  folders = run(data, tmp_path, FIRST, tiny_study.stage('text', {'text': 1}, 3))
  there = shutil.copytree(folders[1], tmp_path / 'alone')
  [plan] = plans(data, stage(mixture={'code': 1}), start=str(there))
  assert plan.draws[0].cursor == sum(u['rows'] for u in json.loads((folders[0] / 'ledger.json').read_text())['planned'] if u['source'] == 'code')
  path = there / 'plan.json'
  older = json.loads(path.read_text())
  del older['read']
  path.write_text(json.dumps(older))
  assert "did not record how far the stages before it had read 'code'" in refusal(data, stage(mixture={'code': 1}), start=str(there))
  assert plans(data, stage(mixture={'text': 1}), start=str(there))[0].draws[0].cursor


def test_another_seed_or_row_length_begins_at_the_first_row_and_says_so(data, whole):
  drawn = {use['source']: use['rows_cumulative'] for use in json.loads((whole[0] / 'ledger.json').read_text())['planned']}
  for settings, factor in (({'seed': 1}, 1), ({'length': 2 * tiny_study.LENGTH}, 2)):
    [plan] = plans(data, stage(), start=str(whole[0]), **settings)
    assert {d.source: d.cursor for d in plan.draws} == {'text': 0, 'code': 0}
    assert {d.source: d.rows_cumulative - d.rows for d in plan.draws} == {s: -(-rows // factor) for s, rows in drawn.items()}
    assert any("'text' is in another order" in remark for remark in plan.start.remarks)
  assert any('later positions are new to it' in remark for remark in plan.start.remarks)


def test_other_data_of_a_name_begins_anew(whole, tmp_path):
  [plan] = plans(tiny_study.prepare(tmp_path, bytes_each=13_000), stage(), start=str(whole[0]))
  assert {d.source: (d.cursor, d.rows_cumulative) for d in plan.draws} == {d.source: (0, d.rows) for d in plan.draws}
  assert any("'code' is of other data" in remark for remark in plan.start.remarks)


def test_a_rewind_goes_back_in_what_the_start_read(data, whole):
  [plan] = plans(data, dataclasses.replace(COOLDOWN, rewind=('text',)), start=str(whole[1]))
  at = {draw.source: draw.cursor for draw in plan.draws}
  assert at['text'] == 0 < at['code']
  assert plan.identity['rewound'] == ['text']


def test_the_epochs_of_the_start_count_against_the_cap(data, whole):
  [plan] = plans(data, COOLDOWN, start=str(whole[1]))
  text = next(draw for draw in plan.draws if draw.source == 'text')
  between = (text.epochs + text.epochs_cumulative) / 2
  assert 'Recipe.max_epochs is' in refusal(data, COOLDOWN, start=str(whole[1]), max_epochs=between)


def test_a_start_of_a_run_that_had_a_start_itself_knows_what_both_read(data, whole, tmp_path):
  [text] = run(data, tmp_path, stage(mixture={'text': 1}), start=str(whole[0]))
  [plan] = plans(data, stage(mixture={'code': 1}), start=str(text))
  assert plan.start.read['code'].cursor == Cursor(24, 24, 24) and plan.draws[0].cursor == 24


# An imported model.


def test_an_imported_model_is_begun_with_and_its_weights_are_those_of_the_folder(data, imported, tmp_path):
  # With a rate of 0 the weights stay as they were taken over.
  handoff = dataclasses.replace(ALONE, step='continue')
  [folder] = run(data, tmp_path, stage(handoff, steps=1, schedule=codemix.Constant(0.0)), start=str(imported))
  assert same(final_state(folder).params, jax.device_get(init_params(tiny_study.MODEL, 5)))
  record = json.loads((folder / 'stage.json').read_text())
  public = json.loads((imported / 'stage.json').read_text())
  assert record['parent'] == public['hash'] == json.loads((folder / 'ledger.json').read_text())['parent_hash']
  assert record['start']['folder'] == str(imported) and record['start']['imported']
  assert record['start']['checkpoint'] == json.loads((imported / 'done.json').read_text())['checkpoint']


def test_it_is_restored_onto_another_mesh(data, imported, tmp_path, monkeypatch):
  monkeypatch.undo()  # all devices
  begun = study(stage(dataclasses.replace(ALONE, step='continue'), steps=1, schedule=codemix.Constant(0.0)), start=str(imported))
  codemix.run_study(begun, data, tiny_study.runtime(tmp_path, mesh=codemix.MeshConfig(data=2, fsdp=2, sequence=2)))
  [folder] = (tmp_path / 'stages').iterdir()
  assert same(final_state(folder).params, jax.device_get(init_params(tiny_study.MODEL, 5)))


def test_its_own_model_may_be_left_out(data, imported):
  recipe = tiny_study.recipe(stage(), start=str(imported), model=None)
  assert recipe.model.identity() == tiny_study.MODEL.identity()
  with pytest.raises(UserError, match='Recipe.model is None, and there is no Recipe.start'):
    tiny_study.recipe(stage(), model=None)


def test_the_settings_of_training_may_differ(data, imported):
  [plan] = plans(data, stage(), start=str(imported), model=dataclasses.replace(tiny_study.MODEL, dtype='bfloat16', z_loss=1e-4))
  assert any('ModelConfig.dtype is bfloat16, in the start float32' in remark for remark in plan.start.remarks)


# What is refused.


def test_a_folder_that_cannot_be_begun_with_is_named(data, whole, imported, tmp_path):
  at = lambda path: refusal(data, COOLDOWN, start=str(path))
  assert "recipe 'only': Recipe.start: " in at(tmp_path / 'nothing')
  assert 'it has no stage.json' in at(tmp_path / 'nothing')
  unfinished = shutil.copytree(whole[0], tmp_path / 'a')
  (unfinished / 'done.json').unlink()
  assert 'is not finished' in at(unfinished)
  changed = shutil.copytree(whole[0], tmp_path / 'b')
  record = json.loads((changed / 'stage.json').read_text())
  record['identity']['seed'] = 9
  (changed / 'stage.json').write_text(json.dumps(record))
  assert 'its hash is not that of its identity' in at(changed)
  for file, says in (('ledger.json', 'is not the ledger with which the stage was done'), ('rate.csv', 'does not end with a rate')):
    damaged = shutil.copytree(whole[0], tmp_path / file)
    text = (damaged / file).read_text()
    (damaged / file).write_text(text.replace('"rows": ', '"rows": 1') if file == 'ledger.json' else text[:-4] + 'x\n')
    assert says in at(damaged)
  gone = shutil.copytree(imported, tmp_path / 'd')
  shutil.rmtree(gone / 'checkpoints' / '0')
  assert 'is missing. Import it again with `codemix import`.' in at(gone)


def test_a_damaged_checkpoint_is_found_before_the_first_step(data, imported, tmp_path):
  folder = shutil.copytree(imported, tmp_path / 'public')
  file = max((folder / 'checkpoints' / '0').rglob('*'), key=lambda path: path.is_file() and path.stat().st_size)
  content = bytearray(file.read_bytes())
  content[len(content) // 2] ^= 1
  file.write_bytes(content)
  with pytest.raises(UserError, match='is damaged: its file .* has changed. Import it again'):
    codemix.run_study(study(stage(), start=str(folder)), data, tiny_study.runtime(tmp_path / 'out'))
  assert not list((tmp_path / 'out').glob('stages/*'))


REFUSED = {
  'width': ({'model': dataclasses.replace(tiny_study.MODEL, width=32, norm='rmsnorm')}, ALONE,
            'ModelConfig.width = 32 (the start: 16), ModelConfig.norm = rmsnorm (the start: layernorm). Set these'),
  'vocabulary': ({'model': dataclasses.replace(tiny_study.MODEL, vocab_size=300)}, ALONE, 'ModelConfig.vocab_size = 300 (the start: 259)'),
  'weights': ({}, dataclasses.replace(ALONE, weights='restart'), "Handoff.weights of the first stage, 'begun', is 'restart'"),
  'moments': ({}, dataclasses.replace(ALONE, optimizer='continue'), "has no moments. Write Handoff.optimizer = 'restart'."),
  'rate': ({}, dataclasses.replace(ALONE, rate='continue'), "has no learning rate. Write Handoff.rate = 'restart', and give the stage a schedule"),
}  # fmt: skip


@pytest.mark.parametrize('settings, handoff, says', REFUSED.values(), ids=REFUSED)
def test_what_an_imported_model_does_not_have_is_refused_with_what_to_write(data, imported, settings, handoff, says):
  assert says in refusal(data, stage(handoff), start=str(imported), **settings)
  with pytest.raises(UserError) as refused:  # also where no data are
    planned_stages(study(stage(handoff), start=str(imported), **settings))
  assert says in str(refused.value)


def test_moments_of_another_optimizer_are_refused(data, whole):
  says = refusal(data, COOLDOWN, start=str(whole[1]), optimizer=codemix.Optimizer('lion'))
  assert "Optimizer.name is 'lion', in the start 'adamw'" in says


def test_a_stage_without_a_schedule_goes_on_along_the_curve_of_the_start_that_began_it(data, tmp_path):
  shared = codemix.WarmupCosine(peak=1e-2, warmup_steps=2, floor=1e-3, horizon=12 * STEP)
  stages = [dataclasses.replace(FIRST, schedule=shared), *(stage(codemix.Handoff(), steps=3, schedule=None) for _ in range(2))]
  folders = run(data, tmp_path, *stages)
  [_, *expected] = plans(data, *stages)
  found = plans(data, *stages[1:], start=str(folders[0]))
  assert [plan.hash for plan in found] == [plan.hash for plan in expected]
  assert all(np.array_equal(one.rates, other.rates) for one, other in zip(found, expected, strict=True))
  assert 'began in a stage before that one' in refusal(data, stages[2], start=str(folders[1]))
  # Whether the curve is that of the stage is decided by the hashed rates.
  record = json.loads((folders[0] / 'stage.json').read_text())
  record['written']['schedule']['peak'] = 2e-2
  (folders[0] / 'stage.json').write_text(json.dumps(record))
  assert 'Set Stage.schedule.' in refusal(data, stages[1], start=str(folders[0]))


def test_another_tokenizer_is_refused_before_anything_is_prepared(data, imported, tmp_path):
  text = b'the model reads a long story of rain and stone\n' * 50
  path = tmp_path / 'data' / 'own.json'
  path.parent.mkdir()
  from codemix.data.tokenization.bpe import train_bpe

  train_bpe([text], 280, path)
  begun = study(stage(), start=str(imported), model=dataclasses.replace(tiny_study.MODEL))
  for name, says in (('own.json', 'was trained with another (bytes '), ('none.json', 'does not exist, and Recipe.start')):
    other = codemix.Data(directory=str(tmp_path / 'data'), tokenizer=name)
    with pytest.raises(UserError) as refused:
      codemix.prepare_study(begun, other, progress=lambda line: None)
    assert says in str(refused.value) and str(refused.value).endswith("Bind Data.tokenizer = 'bytes'.")
  assert not (tmp_path / 'data' / 'none.json').exists()


# Interrupted, and in several processes.


class Interrupted(Exception):
  """Ends a run where a kill would have ended it."""


def test_an_interrupted_run_ends_as_one_that_was_not_interrupted(data, whole, tmp_path, monkeypatch):
  start = shutil.copytree(whole[0].parent.parent, tmp_path / 'before') / 'stages' / whole[0].name
  write, calls = stage_log.StageLog.write, iter(range(100))

  def interrupt(*arguments):
    if next(calls) in (2, 9):
      raise Interrupted
    return write(*arguments)

  monkeypatch.setattr(stage_log.StageLog, 'write', interrupt)
  for _ in range(2):
    with pytest.raises(Interrupted):
      run(data, tmp_path / 'out', CONTINUED, COOLDOWN, start=str(start))
  for folder, expected in zip(run(data, tmp_path / 'out', CONTINUED, COOLDOWN, start=str(start)), whole[1:], strict=True):
    assert same(final_state(folder), final_state(expected))
    assert (folder / 'metrics.jsonl').read_bytes() == (expected / 'metrics.jsonl').read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize('at, call', [
  ('codemix.training.start_state:restore_start', 1),
  ('codemix.training.stage_log:StageLog.write', 5),
  ('codemix.training.loop:write_result', 1),
])  # fmt: skip
def test_a_killed_run_ends_as_one_that_was_not_killed(data, whole, tmp_path, at, call):
  words = ('tests.studies.start_process', data.directory)
  again = (tmp_path / 'cache', str(whole[0]))
  whole_run = runs.finish(runs.start(*words, tmp_path / 'expected', *again))
  assert whole_run.returncode == 0, whole_run.stderr
  module, _, name = at.rpartition(':')
  at = 'codemix.training.loop:restore_start' if name == 'restore_start' else at  # as the loop has imported it
  killed = runs.finish(runs.start(*words, tmp_path / 'out', *again, '--at', at, '--call', str(call)))
  assert killed.returncode == -9
  resumed = runs.finish(runs.start(*words, tmp_path / 'out', *again))
  assert resumed.returncode == 0, resumed.stderr
  assert_same(result_of(tmp_path / 'out'), result_of(tmp_path / 'expected'))


@pytest.mark.slow
def test_two_processes_begin_with_the_same_start(data, whole, tmp_path):
  with socket.socket() as probe:
    probe.bind(('localhost', 0))
    coordinator = f'localhost:{probe.getsockname()[1]}'
  (tmp_path / 'out').mkdir()
  # Each process may see the start at a path of its own.
  paths = [whole[0], shutil.copytree(whole[0], tmp_path / 'mounted')]
  words = lambda i: (data.directory, tmp_path / 'out', tmp_path / 'cache', paths[i], '--join', coordinator, '2', str(i))
  started = [runs.start('tests.studies.start_process', *words(i), devices=2) for i in range(2)]
  for process in started:
    ended = runs.finish(process)
    assert ended.returncode == 0, ended.stderr
  losses = lambda folder: [json.loads(line)['loss'] for line in (folder / 'metrics.jsonl').read_text().splitlines()]
  for expected in whole[1:]:
    np.testing.assert_allclose(losses(tmp_path / 'out' / 'stages' / expected.name), losses(expected), rtol=1e-5)


# What shows it.


@pytest.fixture(scope='module')
def begun(data, imported, whole, tmp_path_factory) -> tuple[codemix.Study, Path]:
  """A finished study with an arm that begins with an imported model, one with a stage, and one with neither."""
  output = tmp_path_factory.mktemp('begun')
  recipes = {
    'fresh': tiny_study.recipe(stage()),
    'public': tiny_study.recipe(stage(), start=str(imported)),
    'public, twice': tiny_study.recipe(stage(), tiny_study.stage('more', HALF, 3), start=str(imported)),
    'cooled': tiny_study.recipe(COOLDOWN, start=str(whole[1])),
  }
  study = codemix.Study(name='begun', recipes=recipes, validation=('text',))
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    codemix.run_study(study, data, tiny_study.runtime(output))
  return study, output


def test_arms_with_and_without_a_start_share_what_is_equal(data, begun):
  plan = plan_study(begun[0], data)
  assert plan.recipes['public'][0] is plan.recipes['public, twice'][0]
  assert len(plan.stages()) == 4
  assert len(planned_stages(begun[0])) == 4


def test_ledgers_are_checked_and_stages_verified(data, begun):
  study, output = begun
  checked = check_ledgers(plan_study(study, data), str(output))
  assert len(checked) == 4 and all(line['ledger'].startswith('agrees') for line in checked)
  verified = [verify_stage(folder) for folder in (output / 'stages').iterdir()]
  assert all(stage['finished'] for stage in verified)
  assert sum('start' in stage for stage in verified) == 2


def test_the_report_shows_where_a_recipe_began(begun, imported):
  output = begun[1]
  results = read_study(output)
  assert len({recipe.arm for recipe in results.recipes.values()}) == 4
  nodes = {node.ends[0] if node.ends else node.recipes[0]: node for node in stage_tree(results)}
  assert nodes['public'].chain == nodes['cooled'].chain == 'continued' and nodes['fresh'].chain == 'start'
  assert nodes['public'].begins_with.startswith('the imported model public (')
  assert nodes['public'].children[0].chain == 'linked'
  write_report(output)
  for file in ('report.html', 'report.md'):
    assert 'begins with the imported model public (' in (output / file).read_text()


def test_inspect_says_what_is_taken_over(data, whole, tmp_path, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'mine.gin').write_text(f"""
Data.directory = '{data.directory}'
Runtime.output = 'out'
Recipe.start = '{whole[1]}'
Recipe.model = None
Recipe.length = {tiny_study.LENGTH}
Recipe.stages = [@Stage()]
Stage.name = 'cooldown'
Stage.tokens = {3 * STEP}
Stage.batch = {tiny_study.BATCH}
Stage.mixture = {{'text': 0.8, 'code': 0.2}}
Stage.schedule = @LinearTo()
""")
  assert cli.main(['inspect', '--gin_file=mine.gin']) == 0
  shown = capsys.readouterr().out
  assert f'begins with continued (a finished stage, {whole[1].name[-12:]}, ' in shown
  assert 'weights continue, optimizer continue, step continue, rate continue' in shown
  assert "'text' goes on after the" in shown
  assert cli.main(['train', '--gin_file=mine.gin']) == 0
  [folder] = (tmp_path / 'out' / 'stages').iterdir()
  assert folder.name == whole[2].name
