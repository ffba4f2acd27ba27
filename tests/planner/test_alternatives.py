"""The search for the smallest change after which a step fits."""

from __future__ import annotations

import dataclasses

import jax
import pytest

from codemix.models.config import REMAT, ModelConfig
from codemix.parallel.mesh import MeshConfig
from codemix.parallel.sharding import ShardingRules
from codemix.planner.alternatives import smallest_change, smallest_of
from codemix.planner.programs import EVALUATE, TRAIN, Compiled, Memory, Step
from codemix.training.optimizer import Optimizer
from codemix.training.runtime import Runtime

MODEL = ModelConfig(vocab_size=64, layers=2, width=16, ffn_width=32, heads=2, head_dim=8, remat='none')
STEP = Step(TRAIN, MODEL, Optimizer(), 32, 16)
RUNTIME = Runtime(mesh=MeshConfig(data=8))
MUCH = 10**9


def _search(needs, step=STEP, limit=MUCH, runtime=RUNTIME):
  """Attempts where a change needs so many times the limit."""

  def compile_change(change):
    return Compiled(change.step, Memory(0, 0, 0, temporaries=int(needs(change) * limit)), 0.0, 0.0, 0.0)

  return smallest_change(step, runtime, jax.devices(), limit, compile_change)


def _bindings(attempts):
  found = smallest_of(attempts)
  return found and found.change.bindings


@pytest.mark.parametrize('enough', REMAT[1:])
def test_no_more_is_recomputed_than_must_be(enough):
  policies = REMAT
  attempts = _search(lambda c: 1 if policies.index(c.step.model.remat) >= policies.index(enough) else 2)
  assert _bindings(attempts) == (f"ModelConfig.remat = '{enough}'",)


@pytest.mark.parametrize(('enough', 'data'), [(2, 4), (4, 2), (8, 1)])
def test_then_no_more_chips_share_a_state_than_must(enough, data):
  attempts = _search(lambda c: 1 if c.runtime.mesh.fsdp >= enough else 2)
  assert _bindings(attempts) == (f'MeshConfig.data = {data}', f'MeshConfig.fsdp = {enough}')


def test_no_more_chips_share_a_state_than_the_rules_can_split_it_over():
  odd = dataclasses.replace(STEP, model=dataclasses.replace(MODEL, vocab_size=66))
  by_rows = Runtime(mesh=MeshConfig(data=8), rules=ShardingRules(vocab='fsdp', embed=None))
  attempts = _search(lambda c: 1 if c.runtime.mesh.fsdp == 2 else 2, odd, runtime=by_rows)
  assert _bindings(attempts) == ('MeshConfig.data = 4', 'MeshConfig.fsdp = 2')
  whole = Runtime(mesh=MeshConfig(data=8), rules=ShardingRules(embed=None))
  attempts = _search(lambda c: 2, runtime=whole)
  assert {attempt.change.runtime.mesh.fsdp for attempt in attempts} == {1}


def test_then_a_batch_is_taken_in_no_more_portions_than_must_be():
  assert _bindings(_search(lambda c: 2 / c.runtime.microbatches)) == ('Runtime.microbatches = 2',)
  assert _bindings(_search(lambda c: 4 / c.runtime.microbatches)) == ('Runtime.microbatches = 4',)


def test_an_evaluation_is_of_one_portion():
  attempts = _search(lambda c: c.step.batch / 8, dataclasses.replace(STEP, kind=EVALUATE))
  assert _bindings(attempts) == ('Runtime.microbatches = 4',)
  assert smallest_of(attempts).change.step.batch == 8
  without_sharing = Runtime(mesh=MeshConfig(fsdp=8), microbatches=2)
  attempts = _search(lambda c: c.step.batch / 8, dataclasses.replace(STEP, kind=EVALUATE, batch=16), runtime=without_sharing)
  assert _bindings(attempts) == ('Runtime.microbatches = 4',)


def test_then_all_three_together_and_then_nothing():
  together = ("ModelConfig.remat = 'block'", 'MeshConfig.data = 1', 'MeshConfig.fsdp = 8', 'Runtime.microbatches = 4')
  assert _bindings(_search(lambda c: 32 / c.runtime.microbatches / c.runtime.mesh.fsdp)) == together
  attempts = _search(lambda c: 2)
  assert _bindings(attempts) is None and attempts[-1].change.bindings == together
  assert len(attempts) == 4  # a compilation each


def test_what_cannot_fit_by_arithmetic_is_not_compiled():
  def compile_change(change):
    raise AssertionError('compiled')

  assert not any(a.fits for a in smallest_change(STEP, RUNTIME, jax.devices(), 10, compile_change))


def test_an_evaluation_has_nothing_to_recompute():
  attempts = _search(lambda c: 2, Step(EVALUATE, MODEL, Optimizer(), 32, 16))
  shared, portions = ('MeshConfig.data = 1', 'MeshConfig.fsdp = 8'), ('Runtime.microbatches = 4',)
  assert [a.change.bindings for a in attempts] == [shared, portions, shared + portions]
