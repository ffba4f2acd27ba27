"""Steps that are not learned from: their rows are drawn and accounted for, and nothing else remains of them."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import jax
import numpy as np
import pytest

import codemix
from codemix.data.order.row_schedule import RowSchedule
from codemix.errors import NonFiniteError
from codemix.evaluation.results import results_folder
from codemix.storage import write_json
from codemix.studies.planning import plan_study
from codemix.training import loop
from codemix.training.drawn import Drawn
from codemix.training.placement import Placement
from codemix.training.rewinds import STEP_RESULTS, Rewind, SpikeFound, SpikeGuard
from codemix.training.skips import highest_usual_loss
from codemix.training.train_state import init_state
from codemix.training.train_step import make_train_step
from tests import spoiled, tiny_study
from tests.faults.runs import assert_same, result_of
from tests.in_process import one_device_mesh
from tests.spoiled import NAN, SPIKE

pytestmark = pytest.mark.usefixtures('one_device')

# A spike in step 14 skips steps 12 to 15.
SKIPS = codemix.Skips(nonfinite=1, rewinds=1, window=8, deviations=4, before=2, after=1)


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> codemix.Data:
  return tiny_study.prepare(tmp_path_factory.mktemp('data'))


def study(skips: codemix.Skips | None = SKIPS) -> codemix.Study:
  return tiny_study.study(spiking=tiny_study.recipe(tiny_study.stage('first', {'text': 0.5, 'code': 0.5}, spoiled.STEPS, skips=skips)))


def run(data, output: Path, skips: codemix.Skips | None = SKIPS, **settings) -> dict[str, object]:
  codemix.run_study(study(skips), data, tiny_study.runtime(output, **settings))
  return result_of(output)


def stage_of(output: Path) -> Path:
  [folder] = output.glob('stages/*')
  return folder


def lines(output: Path) -> list[dict]:
  return [json.loads(line) for line in (stage_of(output) / 'metrics.jsonl').read_text().splitlines()]


def test_a_skipped_step_changes_the_count_of_steps_and_nothing_else():
  placement = Placement(one_device_mesh())
  optimizer = codemix.Optimizer()
  step = make_train_step(tiny_study.MODEL, optimizer, placement, 1, guarded=True)
  rows = (tiny_study.BATCH, tiny_study.LENGTH)
  batch = {name: np.ones(rows, np.int32) for name in ('inputs', 'targets', 'segment_ids', 'positions')}
  batch |= {'weights': np.ones(rows, np.float32), 'source': np.zeros(rows[:1], np.int32)}
  overflowing = {**batch, 'weights': batch['weights'] * np.float32(3e38)}
  for given, learn, learned in ((batch, True, True), (batch, False, False), (overflowing, True, False)):
    state = init_state(tiny_study.MODEL, optimizer, 0, placement)
    before = jax.tree.map(np.asarray, state)
    after, values = step(state, given, np.float32(0.1), np.bool_(learn))
    assert bool(values['learned']) == learned and after.step == 1
    same = jax.tree.map(lambda a, b: np.array_equal(a, b), before.params, jax.tree.map(np.asarray, after.params))
    assert all(jax.tree.leaves(same)) != learned
    moments = jax.tree.map(lambda a, b: np.array_equal(a, b), before.opt_state[:-1], jax.tree.map(np.asarray, after.opt_state[:-1]))
    assert all(jax.tree.leaves(moments)) != learned


def test_what_was_skipped_is_in_the_metrics_and_the_ledger_and_the_plan_still_holds(data, tmp_path, monkeypatch, capfd):
  spoiled.spoil(monkeypatch, {14: SPIKE, 20: NAN})
  run(data, tmp_path)
  found = lines(tmp_path)
  assert [line['stage_step'] for line in found] == list(range(1, spoiled.STEPS + 1))
  assert {line['stage_step']: line['skipped'] for line in found if 'skipped' in line} == {**dict.fromkeys(range(12, 16), 'spike'), 20: 'not finite'}
  assert found[19]['loss'] is None and found[13]['loss'] > 0
  ledger = json.loads((stage_of(tmp_path) / 'ledger.json').read_text())
  for planned, realised in zip(ledger['planned'], ledger['realised'], strict=True):
    assert {key: planned[key] for key in realised} == realised
  assert [(skipped['stage_step'], skipped['why']) for skipped in ledger['skipped']] == [(12, 'spike'), (13, 'spike'), (14, 'spike'), (15, 'spike'), (20, 'not finite')]
  [plan] = plan_study(study(), data).stages()
  schedule = RowSchedule(plan.segments, plan.orders)
  for skipped in ledger['skipped']:
    at = skipped['stage_step'] * plan.stage.batch
    which, _ = schedule.draws(at - plan.stage.batch, at)
    assert {plan.draws[s].source: {'rows': n, 'loss_tokens': n * plan.length} for s, n in enumerate(np.bincount(which).tolist()) if n} == {
      source: {key: counts[key] for key in ('rows', 'loss_tokens')} for source, counts in skipped['sources'].items()
    }
  [rewind] = ledger['rewinds']
  assert (rewind['stage_step'], rewind['first'], rewind['last']) == (14, 12, 15) and rewind['loss'] > rewind['limit']
  assert rewind == json.loads((stage_of(tmp_path) / 'rewinds.json').read_text())[0]
  assert 'the loss of step 14 is' in capfd.readouterr().err


@pytest.mark.parametrize('save_every', [pytest.param(1, marks=pytest.mark.slow), 100])
def test_the_end_does_not_depend_on_where_the_stage_went_back_to(save_every, data, tmp_path, monkeypatch):
  spoiled.spoil(monkeypatch, {14: SPIKE})
  expected = run(data, tmp_path / 'expected')
  assert_same(run(data, tmp_path / 'out', save_every=save_every), expected)


def test_the_end_is_that_of_a_run_which_skipped_these_steps_from_the_beginning(data, tmp_path, monkeypatch):
  spoiled.spoil(monkeypatch, {14: SPIKE})
  expected = run(data, tmp_path / 'expected')
  [plan] = plan_study(study(), data).stages()
  decided = json.loads((stage_of(tmp_path / 'expected') / 'rewinds.json').read_text())
  write_json(tmp_path / 'out' / 'stages' / plan.folder_name / 'rewinds.json', decided)
  monkeypatch.setattr(loop, 'go_back', None)  # a run that knows it already does not go back
  assert_same(run(data, tmp_path / 'out'), expected)


def test_steps_after_a_rewind_do_not_know_those_that_were_skipped(data, tmp_path, monkeypatch):
  with monkeypatch.context() as patch:
    spoiled.spoil(patch, {14: SPIKE})
    spiked = run(data, tmp_path / 'spiked')
  with monkeypatch.context() as patch:
    spoiled.spoil(patch, {12: NAN, 13: NAN, 14: NAN, 15: NAN})
    skipped = run(data, tmp_path / 'skipped', dataclasses.replace(SKIPS, nonfinite=4))
  arrays = lambda result: {key: value for key, value in result.items() if '.params' in key}
  assert arrays(spiked) and arrays(spiked) == arrays(skipped)


@pytest.mark.parametrize(('steps', 'bound'), [({5: NAN, 6: NAN}, 'nonfinite'), pytest.param({14: SPIKE, 20: SPIKE}, 'rewinds', marks=pytest.mark.slow)])
def test_a_bound_ends_the_run_and_a_higher_one_goes_on(steps, bound, data, tmp_path, monkeypatch):
  spoiled.spoil(monkeypatch, steps)
  with pytest.raises(NonFiniteError, match=f'Skips.{bound}'):
    run(data, tmp_path / 'out')
  higher = dataclasses.replace(SKIPS, **{bound: 2})
  assert_same(run(data, tmp_path / 'out', higher), run(data, tmp_path / 'expected', higher))


def test_without_skips_the_identity_is_the_former_one_and_bounds_are_not_part_of_it(data):
  hash_of = lambda skips: plan_study(study(skips), data).stages()[0].hash
  assert hash_of(None) == hash_of(codemix.Skips())
  assert len({hash_of(None), hash_of(codemix.Skips(nonfinite=1)), hash_of(codemix.Skips(rewinds=1)), hash_of(SKIPS)}) == 4
  assert hash_of(SKIPS) == hash_of(dataclasses.replace(SKIPS, nonfinite=7, rewinds=3))
  assert hash_of(SKIPS) != hash_of(dataclasses.replace(SKIPS, after=2))


def test_a_spike_is_far_above_the_median_of_a_full_window():
  skips = codemix.Skips(rewinds=1, window=8, deviations=3)
  assert highest_usual_loss([2.0] * 7, skips) is None
  assert highest_usual_loss([9.0, *[2.0] * 8], skips) == pytest.approx(2.0 + 3 * 0.002)  # of a loss that does not vary
  losses = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]  # median 4.5; deviations 0.5 0.5 1.5 1.5 2.5 2.5 3.5 3.5, median 2
  assert highest_usual_loss(losses, skips) == 4.5 + 3 * 2.0


def test_losses_are_kept_as_long_as_the_window_and_a_spike_is_not_among_them():
  guard = SpikeGuard(codemix.Skips(rewinds=1, window=8, deviations=3, before=3, after=50), [], 20, 'it')
  drawn = Drawn({})
  for step in range(1, 12):
    guard.look(step, 2.0 + step % 2, drawn)
  assert len(drawn.recent_losses) == 8
  before = list(drawn.recent_losses)
  with pytest.raises(SpikeFound) as found:
    guard.look(12, 50.0, drawn)
  assert (found.value.rewind.first, found.value.rewind.last) == (9, 20) and drawn.recent_losses == before
  assert [step for step in range(1, 21) if Rewind(3, math.pi, 1.0, 2, 4).skips(step)] == [2, 3, 4]


def test_the_results_that_are_forgotten_lie_where_evaluation_writes_them(tmp_path):
  assert results_folder(tmp_path, 12).parent == tmp_path / STEP_RESULTS
