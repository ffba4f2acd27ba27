"""How a stage of a run really begins, after the one before it was saved and restored."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import jax
import numpy as np
import pytest

import codemix
from codemix.parallel.mesh import make_mesh
from codemix.storage import read_json
from codemix.training import loop
from codemix.training.optimizer import Optimizer
from codemix.training.placement import Placement
from codemix.training.train_state import TrainState, init_state
from tests import tiny_study
from tests.faults.runs import final_state
from tests.in_process import one_device_mesh, use_one_device

STEPS = 4
KEPT, RESET = 'continue', 'restart'
HANDOFFS = {
  'everything goes on': codemix.Handoff(),
  'fresh moments': codemix.Handoff(optimizer=RESET, rate=RESET),
  'fresh step': codemix.Handoff(step=RESET),
  'fresh weights': codemix.Handoff(weights=RESET, rate=RESET),
}


@dataclasses.dataclass(frozen=True)
class Begun:
  """The state with which the second stage began, the one in which the first ended, and the folder."""

  state: TrainState
  before: TrainState
  folder: Path


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> codemix.Data:
  return tiny_study.prepare(tmp_path_factory.mktemp('data'), bytes_each=6_000)


@pytest.fixture(scope='module')
def begun(data, tmp_path_factory):
  """A function of a hand-off's name; the first stage is trained once."""
  output = tmp_path_factory.mktemp('begin')
  found: dict[str, Begun] = {}

  def begin(name: str) -> Begun:
    if name not in found:
      found[name] = run(data, output, HANDOFFS[name])
    return found[name]

  return begin


def run(data, output: Path, handoff: codemix.Handoff) -> Begun:
  begun = []
  make_train_step = loop.make_train_step

  def make_inspected_step(*arguments):
    train_step, number = make_train_step(*arguments), itertools.count()

    def step(state, batch, rate):
      if not next(number):
        begun.append(jax.tree.map(np.asarray, state))
      return train_step(state, batch, rate)

    return step

  first = tiny_study.stage('first', {'text': 0.5, 'code': 0.5}, STEPS)
  second = tiny_study.stage('second', {'text': 0.9, 'code': 0.1}, STEPS, handoff=handoff)
  study = codemix.Study(name='begin', recipes={'only': tiny_study.recipe(first, second)})
  with pytest.MonkeyPatch.context() as patch:
    use_one_device(patch)
    patch.setattr(loop, 'make_train_step', make_inspected_step)
    codemix.run_study(study, data, tiny_study.runtime(output))
  before, folder = [output / 'stages' / name for name in read_json(output / 'study.json')['recipes']['only']['stages']]
  return Begun(begun[-1], final_state(before), folder)


def assert_equal(found, expected) -> None:
  jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize('name', HANDOFFS)
def test_a_stage_begins_with_what_its_hand_off_names_and_fresh_values_for_the_rest(name, begun):
  ran, handoff = begun(name), HANDOFFS[name]
  fresh = init_state(tiny_study.MODEL, Optimizer(), 0, Placement(one_device_mesh()))
  of = {KEPT: ran.before, RESET: fresh}
  assert_equal(ran.state.params, of[handoff.weights].params)
  assert_equal(ran.state.opt_state[:-1], of[handoff.optimizer].opt_state[:-1])
  assert ran.state.step == of[handoff.step].step
  assert ran.before.step == STEPS
  # Without these, the lines above could not fail.
  assert not np.array_equal(ran.before.params['embedding'], fresh.params['embedding'])
  assert np.asarray(ran.before.opt_state[1].mu['embedding']).any()


def test_fresh_moments_are_corrected_for_their_bias_as_fresh_ones(begun):
  # Adam's own count begins anew with its moments, while the run's step goes on.
  state = begun('fresh moments').state
  assert (int(state.opt_state[1].count), state.step) == (0, STEPS)


@pytest.mark.parametrize(('name', 'first_step'), [('everything goes on', STEPS), ('fresh step', 0)])
def test_one_step_names_metrics_rates_and_checkpoints(name, first_step, begun):
  folder = begun(name).folder
  lines = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
  assert [line['step'] for line in lines] == [first_step + i + 1 for i in range(STEPS)]
  assert [line['stage_step'] for line in lines] == [i + 1 for i in range(STEPS)]
  curve = [row.split(',') for row in (folder / 'rate.csv').read_text().splitlines()[1:]]
  assert [(int(step), float(rate)) for step, rate in curve] == [(line['step'], line['rate']) for line in lines]
  assert (folder / 'checkpoints' / str(first_step + STEPS)).is_dir()


def test_a_fresh_state_depends_on_the_seed_and_not_on_the_mesh():
  init = lambda seed, mesh: init_state(tiny_study.MODEL, Optimizer(), seed, Placement(mesh))
  alone = init(0, one_device_mesh())
  assert_equal(init(0, make_mesh(codemix.MeshConfig(data=2, fsdp=4))), alone)
  assert not np.array_equal(init(1, one_device_mesh()).params['embedding'], alone.params['embedding'])


@pytest.mark.parametrize('name', ['adamw', *(pytest.param(name, marks=pytest.mark.slow) for name in ('lion', 'adafactor'))])
def test_every_optimizer_counts_a_step_a_step_and_is_handed_over(name, data, tmp_path, one_device):
  first = tiny_study.stage('first', {'text': 1.0}, 3)
  second = tiny_study.stage('second', {'code': 1.0}, 3)
  recipe = tiny_study.recipe(first, second, optimizer=Optimizer(name=name))
  study = codemix.Study(name=name, recipes={'only': recipe})
  codemix.run_study(study, data, tiny_study.runtime(tmp_path))
  assert final_state(next(tmp_path.glob('stages/second-*'))).step == 6
