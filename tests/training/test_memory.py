"""What a step keeps in memory: less by every means that is there for it, and nothing twice."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codemix.errors import UserError
from codemix.models.config import REMAT, ModelConfig
from codemix.parallel import host_memory
from codemix.training.optimizer import Optimizer
from codemix.training.placement import Placement
from codemix.training.train_state import abstract_state, init_state, require_finite, state_bytes
from codemix.training.train_step import make_train_step
from tests.in_process import one_device_mesh

MODEL = ModelConfig(64, layers=4, width=32, ffn_width=96, heads=4, head_dim=8, dtype='float32', loss_chunk=8)
ROWS, LENGTH = 8, 64
NAMES = ('inputs', 'targets', 'segment_ids', 'positions')


def batch() -> dict:
  ones = {name: np.ones((ROWS, LENGTH), np.int32) for name in NAMES}
  return {**ones, 'weights': np.ones((ROWS, LENGTH), np.float32), 'source': np.zeros(ROWS, np.int32)}


def compiled(model: ModelConfig = MODEL, **options):
  mesh = one_device_mesh()
  step = make_train_step(model, Optimizer(), Placement(mesh), 1, **options)
  return step.lower(abstract_state(model, Optimizer(), Placement(mesh)), batch(), jnp.float32(0)).compile()


def temporaries(model: ModelConfig = MODEL, **options) -> int:
  return compiled(model, **options).memory_analysis().temp_size_in_bytes


def test_policies_are_listed_from_the_most_memory_to_the_least():
  sizes = [temporaries(dataclasses.replace(MODEL, remat=name)) for name in REMAT]
  assert sizes == sorted(sizes, reverse=True)
  assert len(set(sizes)) == len(sizes)


def test_portions_of_a_batch_need_less_memory_than_the_whole():
  whole, halves, rows = (temporaries(microbatches=portions) for portions in (1, 2, ROWS))
  assert rows < halves < whole


def test_a_step_writes_the_new_state_where_the_old_one_was():
  state = init_state(MODEL, Optimizer(), 0, Placement(one_device_mesh()))
  analysis = compiled().memory_analysis()
  assert analysis.alias_size_in_bytes >= state_bytes(MODEL, Optimizer())
  step = make_train_step(MODEL, Optimizer(), Placement(one_device_mesh()), 1)
  new, _ = step(state, batch(), np.float32(1e-3))
  assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
  assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(new))


def test_moments_in_bfloat16_take_half_the_memory():
  parameters = 4 * MODEL.parameter_count()['total']
  full, short = (state_bytes(MODEL, Optimizer(moments_dtype=name)) for name in ('float32', 'bfloat16'))
  assert 3 * parameters <= full <= 3 * parameters + 64
  assert 2 * parameters <= short <= 2 * parameters + 64


def test_a_state_with_moments_in_the_hosts_memory_is_the_same_state():
  mesh = one_device_mesh()
  offloaded = Placement(mesh, offload_optimizer=True)
  there = init_state(MODEL, Optimizer(), 0, offloaded)
  here = init_state(MODEL, Optimizer(), 0, Placement(mesh))
  jax.tree.map(np.testing.assert_array_equal, there, here)
  require_finite(there, 'here')
  kinds = {leaf.sharding.memory_kind for leaf in jax.tree.leaves(there.params)}
  assert host_memory.PINNED not in kinds
  step = make_train_step(MODEL, Optimizer(), offloaded, 1)
  new, _ = step(there, batch(), np.float32(1e-3))
  assert all(leaf.is_deleted() for leaf in jax.tree.leaves(there) if leaf.ndim)
  assert {leaf.sharding.memory_kind for leaf in jax.tree.leaves(new.opt_state) if leaf.ndim} == {host_memory.PINNED}


def test_devices_that_cannot_read_the_hosts_memory_are_named(monkeypatch):
  monkeypatch.setattr(host_memory, 'PINNED', 'another_kind')
  with pytest.raises(UserError, match='Runtime.offload_optimizer needs devices with another_kind memory; cpu has .*False'):
    host_memory.require_host_memory(one_device_mesh())
