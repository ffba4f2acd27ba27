"""A stage's hash stands for its numbers: however a plan is written, the same numbers have one hash, and others another."""

from __future__ import annotations

import dataclasses
import json
import shutil
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import codemix
from codemix.data.mixtures.forms import competitive, in_ratio
from codemix.data.mixtures.schedule import MixtureSchedule
from codemix.data.order.targets import Segment
from codemix.studies.planning import plan_study
from codemix.studies.stage_identity import describe_rows
from codemix.training.stage import is_done, stage_folder
from codemix.training.stage_changes import namesake
from codemix.training.stage_record import write_plan
from tests import tiny_study

HALF = {'text': 0.5, 'code': 0.5}
STEP = tiny_study.BATCH * tiny_study.LENGTH
cosine = lambda **settings: codemix.WarmupCosine(peak=1e-2, floor=1e-3, **settings)


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> codemix.Data:
  return tiny_study.prepare(tmp_path_factory.mktemp('data'), bytes_each=6_000)


def plans(data, *stages: codemix.Stage, **settings) -> list:
  return plan_study(tiny_study.study(only=tiny_study.recipe(*stages, **settings)), data).recipes['only']


def stage(mixture=HALF, steps=8, **settings) -> codemix.Stage:
  settings = {'tokens': steps * STEP, 'schedule': cosine(warmup_steps=2), **settings}
  return dataclasses.replace(tiny_study.stage('a', mixture, steps), **settings)


def recipe_hash(data, *stages: codemix.Stage, **settings) -> str:
  return plans(data, *stages, **settings)[-1].hash


def model(**settings) -> codemix.ModelConfig:
  return dataclasses.replace(tiny_study.MODEL, **settings)


# Each line: the same numbers in other words.
SAME = {
  'kv_heads as many as heads': ({'model': model(kv_heads=None)}, {'model': model(kv_heads=2)}),
  'attention, remat, scan, loss_chunk': ({}, {'model': model(attention='blockwise', remat='block', scan=False, loss_chunk=8)}),
  'AdamW by its defaults': ({}, {'optimizer': codemix.Optimizer(name='adamw', b1=0.9)}),
  'eps of Lion': ({'optimizer': codemix.Optimizer('lion')}, {'optimizer': codemix.Optimizer('lion', eps=1e-3)}),
  'moments of Adafactor': ({'optimizer': codemix.Optimizer('adafactor')}, {'optimizer': codemix.Optimizer('adafactor', b1=0.1, b2=0.2)}),
  'a description': ({}, {'description': 'other'}),
  'a cap that is not reached': ({}, {'max_epochs': 9.0}),
}
SAME_STAGES = {
  'a warm-up in steps and as a fraction': (stage(schedule=cosine(warmup_steps=2)), stage(schedule=cosine(warmup_fraction=0.25))),
  'a fraction that rounds to the same steps': (stage(schedule=cosine(warmup_steps=2)), stage(schedule=cosine(warmup_fraction=0.26))),
  'the horizon of the stage': (stage(), stage(schedule=cosine(warmup_steps=2, horizon=8 * STEP))),
  'tokens of the same steps': (stage(), stage(tokens=8 * STEP + 99)),
  'tokens as a float': (stage(), stage(tokens=float(8 * STEP))),
  'a name': (stage(), stage(name='b')),
  'the hand-off of a first stage': (stage(), stage(handoff=codemix.Handoff(weights='restart'))),
  'a plateau without decay': (
    stage(schedule=codemix.Constant(1e-3, warmup_steps=3)),
    stage(schedule=codemix.WarmupStableDecay(1e-3, warmup_steps=3, decay_fraction=0.0)),
  ),
  'a cosine that stays': (
    stage(schedule=codemix.Constant(1e-3)),
    stage(schedule=codemix.WarmupCosine(1e-3, warmup_steps=0, floor=1e-3)),
  ),
  'a quarter in quotes': (stage({'text': 0.25, 'code': 0.75}), stage({'text': '1/4', 'code': '3/4'})),
  'groups': (
    stage({'text': 0.5, 'code': 0.5}),
    stage({'all': (1.0, {'prose': (0.5, {'text': 1}), 'programs': ('1/2', 'code')})}),
  ),
  'a ratio': (stage({'text': 0.75, 'code': 0.25}), stage(in_ratio({'text': 3, 'code': 1}))),
  'competitive': (stage({'text': 0.75, 'code': 0.25}), stage(competitive('text', 'code', 0.25))),
  'shares that come to the same rows': (stage({'text': '1/3', 'code': '2/3'}), stage({'text': 0.3333, 'code': 0.6667})),
  'a source of weight 0': (stage({'text': 1}), stage({'text': 1, 'code': 0})),
  'a mixture schedule that does not change': (stage(), stage(MixtureSchedule(((0, HALF), (0.5, HALF))))),
  'a knot on a straight line': (
    stage(MixtureSchedule(((0, {'text': 1}), (1, {'code': 1})), 'linear')),
    stage(MixtureSchedule(((0, {'text': 1}), (0.5, HALF), (1, {'code': 1})), 'linear')),
  ),
  'knots in tokens': (
    stage(MixtureSchedule(((0, {'text': 1}), (0.5, HALF)))),
    stage(MixtureSchedule(((0, {'text': 1}), (4 * STEP, HALF)), unit='tokens')),
  ),
}
OTHER = {
  'seed': {'seed': 1},
  'kv_heads': {'model': model(kv_heads=1)},
  'z_loss': {'model': model(z_loss=1e-4)},
  'document_mask': {'model': model(document_mask=False)},
  'logit_scale': {'model': model(logit_scale=0.5)},
  'dtype': {'model': model(dtype='bfloat16')},
  'b1': {'optimizer': codemix.Optimizer(b1=0.8)},
  'eps': {'optimizer': codemix.Optimizer(eps=1e-6)},
  'clip_norm': {'optimizer': codemix.Optimizer(clip_norm=0.0)},
  'moments_dtype': {'optimizer': codemix.Optimizer(moments_dtype='bfloat16')},
}
OTHER_STAGES = {
  'steps': stage(steps=9),
  'batch': stage(batch=4),
  'peak': stage(schedule=codemix.WarmupCosine(peak=1.1e-2, floor=1e-3, warmup_steps=2)),
  'warm-up': stage(schedule=cosine(warmup_steps=3)),
  'horizon': stage(schedule=cosine(warmup_steps=2, horizon=9 * STEP)),
  'shares': stage({'text': 0.6, 'code': 0.4}),
  'order of the sources': stage({'code': 0.5, 'text': 0.5}),
}


@pytest.mark.parametrize('one, other', SAME.values(), ids=SAME)
def test_the_same_recipe_in_other_words_has_the_same_hash(data, one, other):
  assert recipe_hash(data, stage(), **one) == recipe_hash(data, stage(), **other)


@pytest.mark.parametrize('one, other', SAME_STAGES.values(), ids=SAME_STAGES)
def test_the_same_stage_in_other_words_has_the_same_hash(data, one, other):
  [first], [second] = plans(data, one), plans(data, other)
  assert resolved(data, first) == resolved(data, second)
  assert first.hash == second.hash


@pytest.mark.parametrize('other', OTHER.values(), ids=OTHER)
def test_other_numbers_of_a_recipe_have_another_hash(data, other):
  assert recipe_hash(data, stage(), **other) != recipe_hash(data, stage())


@pytest.mark.parametrize('other', OTHER_STAGES.values(), ids=OTHER_STAGES)
def test_other_numbers_of_a_stage_have_another_hash(data, other):
  assert recipe_hash(data, other) != recipe_hash(data, stage())


def test_what_is_handed_over_counts_in_a_later_stage_alone(data):
  after = lambda **handoff: recipe_hash(data, stage(), stage(handoff=codemix.Handoff(**handoff)))
  restart = {'rate': 'restart'}
  found = [after(**restart), *(after(**restart, **{field: 'restart'}) for field in ('weights', 'optimizer', 'step'))]
  assert len(set(found)) == 4
  # Whether the rate goes on shows in the rates, and a schedule of its own start does not ask for it.
  line = codemix.LinearTo(1e-6, start=1e-3)
  goes_on = [stage(schedule=line, handoff=codemix.Handoff(rate=rate)) for rate in ('continue', 'restart')]
  assert recipe_hash(data, stage(), goes_on[0]) == recipe_hash(data, stage(), goes_on[1])


def test_a_rewind_counts_where_there_is_something_to_rewind(data):
  first = stage({'text': 1})
  again = lambda rewind, mixture: recipe_hash(data, first, stage(mixture, rewind=rewind))
  assert again(('text',), {'text': 1}) != again((), {'text': 1})
  # Of a source that this stage does not draw it shows in the stages after it.
  assert again(('text',), {'code': 1}) != again((), {'code': 1})
  twice = [first, stage({'code': 1}, rewind=('text',)), stage({'code': 1}, rewind=('text',))]
  once = [*twice[:2], stage({'code': 1})]
  assert recipe_hash(data, *twice) == recipe_hash(data, *once)


def test_recipes_that_share_a_stage_go_on_along_their_own_curves(data):
  """Both first stages lie on the plateau, and are one; what is left of their curves is not."""
  plateau = lambda horizon: stage(
    schedule=codemix.WarmupStableDecay(1e-2, warmup_steps=2, decay_fraction=0.25, horizon=horizon * STEP)
  )
  rest = stage(schedule=None, handoff=codemix.Handoff())
  study = tiny_study.study(
    short=tiny_study.recipe(plateau(16), rest), long=tiny_study.recipe(plateau(32), rest)
  )
  found = plan_study(study, data).recipes
  assert found['short'][0] is found['long'][0]
  assert found['short'][1].hash != found['long'][1].hash
  assert found['short'][1].rates[-1] < found['short'][1].rates[0] == found['long'][1].rates[-1]


def resolved(data, plan) -> tuple:
  """Everything that a stage's steps compute from, read off the plan and not off its identity."""
  sources = plan_study(
    tiny_study.study(only=tiny_study.recipe(stage())), data
  ).sources
  rows = plan.rows(sources)
  which, epochs, numbers = rows.locate(0, len(rows))
  handoff = (plan.stage.handoff.weights, plan.stage.handoff.optimizer) if plan.parent else None
  return (
    plan.parent and resolved(data, plan.parent),
    handoff,
    plan.first_step,
    plan.stage.batch,
    plan.rates.tolist(),
    [(rows.names[s], epoch, row) for s, epoch, row in zip(which.tolist(), epochs.tolist(), numbers.tolist(), strict=True)],
    {name: cursor.cursor for name, cursor in plan.cursors_after().items() if cursor.cursor},
  )


any_stage = st.builds(
  stage,
  mixture=st.sampled_from([
    HALF, {'code': '1/2', 'text': 0.5}, {'text': 0.51, 'code': 0.49}, {'text': 1}, {'text': 1, 'code': 0},
    {'all': (1, {'text': 0.5, 'code': 0.5})}, MixtureSchedule(((0, HALF), (0.5, {'text': 1})), 'linear'),
    MixtureSchedule(((0, HALF), (0.25, HALF), (0.5, {'text': 1})), 'step'),
    MixtureSchedule(((0, HALF), (0.5, {'text': 1})), 'step'),
  ]),
  tokens=st.sampled_from([2 * STEP, 2 * STEP + 51, 3 * STEP]),
  batch=st.sampled_from([tiny_study.BATCH, tiny_study.BATCH // 2]),
  schedule=st.sampled_from([
    cosine(warmup_steps=1), cosine(warmup_fraction=0.5), cosine(warmup_fraction=0.25), codemix.Constant(1e-2),
    codemix.Constant(), codemix.LinearTo(1e-4, start=1e-2), codemix.LinearTo(1e-4), None,
    codemix.Constant(1e-2, horizon=8 * STEP), codemix.WarmupStableDecay(1e-2, warmup_steps=0, decay_fraction=0.5, horizon=8 * STEP),
  ]),
  handoff=st.builds(codemix.Handoff, *[st.sampled_from(['continue', 'restart'])] * 4),
  rewind=st.sampled_from([(), ('text',)]),
)
any_stages = st.lists(any_stage, min_size=1, max_size=3)


@settings(deadline=None)
@given(one=any_stages, other=any_stages)
def test_stages_have_one_hash_exactly_where_they_have_the_same_numbers(data, one, other):
  found = []
  for stages in (one, other):
    stages = [dataclasses.replace(stages[0], rewind=()), *stages[1:]]
    try:
      found.append(plans(data, *stages))
    except codemix.UserError:
      return
  for first in found[0]:
    for second in found[1]:
      assert (first.hash == second.hash) == (resolved(data, first) == resolved(data, second))


def test_rows_are_described_by_their_numbers_or_their_shares():
  third = (Fraction(1, 3), Fraction(2, 3))
  assert describe_rows(['a', 'b'], [Segment(6, third, third)]) == [['a', 2], ['b', 4]]
  assert describe_rows(['a', 'b'], [Segment(7, third, third)]) == [[7, [['a', '1/3', '1/3'], ['b', '2/3', '2/3']]]]


# Why a stage is trained although one of its name is finished.

CHANGES = {
  'tokens': ([stage(tokens=9 * STEP)], {}, "tokens = 2,048 (now 2,304)"),
  'peak': ([stage(schedule=codemix.WarmupCosine(2e-2, warmup_steps=2, floor=1e-3))], {}, 'WarmupCosine.peak = 0.01 (now 0.02)'),
  'schedule': ([stage(schedule=codemix.Constant(1e-3))], {}, 'schedule = WarmupCosine (now Constant)'),
  'mixture': ([stage({'text': 0.75, 'code': 0.25})], {}, "'text' at 50% (now 75%), 'code' at 50% (now 25%)"),
  'seed': ([stage()], {'seed': 3}, 'Recipe.seed = 0 (now 3)'),
  'model': ([stage()], {'model': model(layers=3)}, 'ModelConfig.layers = 2 (now 3)'),
  'optimizer': ([stage()], {'optimizer': codemix.Optimizer(b2=0.99)}, 'Optimizer.b2 = 0.95 (now 0.99)'),
}


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory):
  """A finished stage, as far as names go."""
  output = tmp_path_factory.mktemp('out')
  [plan] = plans(data, stage())
  folder = output / 'stages' / plan.folder_name
  folder.mkdir(parents=True)
  write_plan(folder, plan, tiny_study.MODEL)
  (folder / 'done.json').write_text('{}')
  return output


@pytest.mark.parametrize('stages, settings, said', CHANGES.values(), ids=CHANGES)
def test_a_changed_stage_says_what_changed_in_the_words_of_its_recipe(data, trained, stages, settings, said):
  changed = plans(data, *stages, **settings)
  found = namesake(trained, changed[-1], changed)
  [folder] = (trained / 'stages').iterdir()
  assert found.startswith(f'{folder.name} was trained with {said}')
  assert found.endswith('it stays, and this stage is trained under a new name.')
  assert '\n' not in found


def test_other_documents_are_named_by_their_source(trained, tmp_path):
  changed = plans(tiny_study.prepare(tmp_path, bytes_each=7_000), stage())
  assert "other documents in 'text' (data " in namesake(trained, changed[-1], changed)


# What stages were named before identities were resolved, at commit e4b8f71.


class Named(codemix.Data):
  """Stores whose digest is their name."""

  def open_store(self, name, split, tokenizer):
    store = super().open_store(name, split, tokenizer)
    return dataclasses.replace(store, manifest={**store.manifest, 'digest': name})


def of_version_1(data) -> dict[str, list]:
  at = tiny_study.stage
  recipe = tiny_study.recipe(
    at('a', HALF, 4), dataclasses.replace(at('b', {'text': 1}, 4), rewind=('text',)), tiny_study.cooldown({'text': 0.8, 'code': 0.2}, 3)
  )
  other = tiny_study.recipe(
    at('a', HALF, 4, schedule=cosine(warmup_fraction=0.25)),
    at('c', MixtureSchedule(((0, {'text': 1}), (0.5, {'code': 1})), 'linear'), 4, schedule=codemix.Constant(1e-3)),
    optimizer=codemix.Optimizer('lion'),
  )
  named = Named(**{field.name: getattr(data, field.name) for field in dataclasses.fields(data)})
  return plan_study(tiny_study.study(one=recipe, other=other), named).recipes


def test_the_hashes_of_version_1_are_known(data):
  found = {name: [plan.earlier_hash[:12] for plan in plans] for name, plans in of_version_1(data).items()}
  assert found == {'one': ['a8ef103f02fa', '3297fe4756c8', 'c9043bd4535b'], 'other': ['1fdae67da0d6', '4af631ab51d6']}


def test_hashes_are_those_of_the_version_before_recipes_had_starts(data):
  found = {name: [plan.hash[:12] for plan in plans] for name, plans in of_version_1(data).items()}
  assert found == {'one': ['8f2cf19bab70', 'c1aa034e80fc', '49622f5c20a1'], 'other': ['5e34461acb98', 'cb83c229066e']}


def test_a_finished_stage_of_version_1_is_found(data, tmp_path):
  plan = of_version_1(data)['one'][2]
  folder = tmp_path / 'stages' / 'cooldown-c9043bd4535b'
  folder.mkdir(parents=True)
  assert stage_folder(tmp_path, plan).name == plan.folder_name  # one that was not finished is begun anew
  (folder / 'done.json').write_text('{}')
  assert stage_folder(tmp_path, plan) == folder
  assert is_done(tmp_path, plan)


def test_a_curve_that_several_stages_share_had_other_rates_in_version_1(data):
  first = stage(schedule=cosine(warmup_steps=2, horizon=16 * STEP))
  second = stage(schedule=None, handoff=codemix.Handoff())
  assert [plan.earlier_hash for plan in plans(data, first, second)] == [None, None]


def test_what_changed_since_a_stage_of_version_1_is_said(trained, data, tmp_path):
  shutil.copytree(trained, tmp_path / 'old')
  [path] = (tmp_path / 'old').glob('stages/*/stage.json')
  record = json.loads(path.read_text())
  identity, written = record['identity'], record.pop('written')
  del written['handoff']  # that of a first stage was left out
  record['identity'] = {
    'stage': {**written, 'batch': identity['batch'], 'mixture': [['text', '1/2'], ['code', '1/2']]},
    **{key: identity[key] for key in ('parent', 'length', 'seed', 'tokenizer', 'sources')},
    'model': {**identity['model'], 'kv_heads': None},
    'optimizer': identity['optimizer'],
    'numerics': 1,
  }
  path.write_text(json.dumps(record))
  path.parent.rename(path.parent.with_name('a-0123456789ab'))
  said = lambda *stages, **settings: namesake(tmp_path / 'old', plans(data, *stages, **settings)[-1], [])
  for name, (stages, recipe, changed) in CHANGES.items():
    assert f'a-0123456789ab was trained with {changed}; it stays' in said(*stages, **recipe), name
  assert 'was trained with an earlier codemix, which hashed the plan as it was written' in said(stage())
