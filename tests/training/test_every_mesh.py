"""Every mesh trains alike: loss, gradients and three steps of the optimizer.

Meshes are tested at two levels: here the step, and in test_meshes.py whole runs with their rows and ledger.
The fast tests take each axis alone and every pair of axes; the slow ones take every mesh of 2, 4 and 8
devices, in one portion and in several, and more ways to recompute, to chunk and to shard.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from codemix.errors import UserError
from codemix.models.config import REMAT, ModelConfig
from codemix.parallel.host_memory import require_host_memory
from codemix.parallel.mesh import AXES, MeshConfig, factorizations, make_mesh
from codemix.parallel.sharding import BATCH_AXES, ShardingRules, batch_sharding
from codemix.training.optimizer import Optimizer, make_optimizer
from codemix.training.placement import Placement
from codemix.training.train_state import TrainState, state_shardings
from codemix.training.train_step import make_train_step
from tests.in_process import one_device_mesh
from tests.models.random_inputs import BOS, packed_batch, random_documents, random_params

LENGTH, ROWS, STEPS = 16, 8, 3
RELATIVE = 1e-5

MODEL = ModelConfig(
  64, layers=2, width=16, ffn_width=32, heads=8, head_dim=4, dtype='float32', loss_chunk=3
)
# Serial and untied, with fewer keys than queries, another attention, and z-loss.
OTHER = dataclasses.replace(
  MODEL, block='serial', norm='rmsnorm', tied=False, qk_norm=True, heads=16, kv_heads=8, z_loss=1e-2, attention='blockwise'
)
OPTIMIZER = Optimizer(clip_norm=0)
RATE = 1e-2

# Each axis alone, and every pair of axes.
QUICK = (
  *(MeshConfig(data=1, **{axis: 8}) for axis in ('replica', 'fsdp', 'sequence', 'tensor')),
  MeshConfig(data=8),
  MeshConfig(replica=2, data=2, fsdp=2),
  MeshConfig(replica=2, data=1, sequence=2, tensor=2),
  MeshConfig(data=2, sequence=2, tensor=2),
  MeshConfig(data=2, fsdp=2, tensor=2),
  MeshConfig(data=1, fsdp=2, sequence=2, tensor=2),
)
ALL = [mesh for devices in (2, 4, 8) for mesh in factorizations(devices)]


@dataclasses.dataclass(frozen=True)
class Trained:
  """Losses of three steps, the first one's gradients, and the parameters after the last."""

  losses: np.ndarray
  nll: np.ndarray
  gradients: dict
  params: dict


def batches() -> list[dict]:
  rng = np.random.default_rng(0)
  lengths = [[16], [5, 9], [1, 2, 13], [7], [3, 3, 3, 3], [12, 4], [15], [2]]
  made = []
  for seed in range(STEPS):
    batch = packed_batch([random_documents(rng, 64, row) for row in lengths], LENGTH, seed)
    made.append({**batch, 'source': np.arange(ROWS, dtype=np.int32)})
  return made


def train(model: ModelConfig, mesh: Mesh, microbatches: int = 1, **how) -> Trained:
  placement = Placement(mesh, **how)
  step = make_train_step(model, OPTIMIZER, placement, BOS, microbatches)
  state = initial(model, placement)
  losses, nll, gradients = [], [], None
  for batch in batches():
    state, metrics = step(state, jax.device_put(batch, batch_sharding(mesh)), np.float32(RATE))
    losses.append(metrics['loss'])
    nll.append(metrics['nll'])
    if gradients is None:  # what the first step leaves of them in Adam's first moment
      gradients = jax.tree.map(lambda m: np.asarray(m) / (1 - OPTIMIZER.b1), state.opt_state[1].mu)
  return Trained(np.array(losses), np.array(nll), gradients, jax.tree.map(np.asarray, state.params))


def initial(model: ModelConfig, placement: Placement) -> TrainState:
  params = random_params(model)
  state = TrainState(params, make_optimizer(OPTIMIZER).init(params))
  # Copies: what is donated would otherwise be gone for the next.
  places = state_shardings(model, OPTIMIZER, placement)
  return jax.device_put(jax.tree.map(np.array, state), places)


@functools.cache
def alone(model: ModelConfig) -> Trained:
  return train(model, one_device_mesh())


def assert_same(found: Trained, expected: Trained) -> None:
  np.testing.assert_allclose(found.losses, expected.losses, rtol=RELATIVE)
  np.testing.assert_allclose(found.nll, expected.nll, rtol=RELATIVE)
  # Of a whole parameter: single numbers near 0 are sums of larger ones, added in another order, and
  # AdamW makes much of a little where a gradient is tiny.
  for a, b in zip(jax.tree.leaves((found.gradients, found.params)), jax.tree.leaves((expected.gradients, expected.params)), strict=True):
    assert np.linalg.norm(a - b) <= RELATIVE * np.linalg.norm(b)


def batch_shards(config: MeshConfig) -> int:
  return math.prod(config.sizes()[axis] for axis in BATCH_AXES)


def made(config: MeshConfig) -> Mesh:
  return make_mesh(config, jax.devices()[: math.prod(config.sizes().values())])


def test_the_quick_meshes_have_every_axis_and_every_pair_of_axes():
  wide = [{axis for axis, size in mesh.sizes().items() if size not in (1, -1)} for mesh in QUICK]
  assert all({axis} in wide for axis in AXES)
  assert all(any({a, b} <= axes for axes in wide) for a, b in itertools.combinations(AXES, 2))
  assert len(ALL) == 5 + 15 + 35


@pytest.mark.parametrize(
  ('number', 'config'),
  [
    pytest.param(i, config, id=str(config), marks=() if config in QUICK else pytest.mark.slow)
    for i, config in enumerate(ALL)
  ],
)
def test_every_mesh_trains_as_one_device_does(number, config):
  model = (MODEL, OTHER)[number % 2]
  assert_same(train(model, made(config)), alone(model))


def test_a_mesh_that_adds_up_something_twice_would_be_found():
  expected = alone(MODEL)
  wrong = jax.tree.map(lambda a: a * (1 + 3e-5), expected.gradients)
  with pytest.raises(AssertionError):
    assert_same(dataclasses.replace(expected, gradients=wrong), expected)


@pytest.mark.parametrize(
  ('model', 'config'),
  [
    (OTHER, MeshConfig(data=1)),
    pytest.param(OTHER, MeshConfig(replica=2, data=1), marks=pytest.mark.slow),
    (OTHER, MeshConfig(data=1, fsdp=2, sequence=2, tensor=2)),
    pytest.param(MODEL, MeshConfig(replica=2, data=1, fsdp=2, sequence=2), marks=pytest.mark.slow),
  ],
  ids=str,
)
def test_a_batch_in_portions_is_the_same_batch(model, config):
  # Rows here have from 2 to 16 loss tokens, with weights: a mean of means would be another number.
  portions = 4 if model is OTHER else 2
  assert_same(train(model, made(config), microbatches=portions), alone(model))


@pytest.mark.slow
@pytest.mark.parametrize('config', [config for config in ALL if batch_shards(config) < ROWS], ids=str)
def test_every_mesh_trains_alike_in_portions(config):
  assert_same(train(MODEL, made(config), microbatches=ROWS // batch_shards(config)), alone(MODEL))


def test_a_batch_that_cannot_be_cut_further_is_cut_into_rows():
  assert_same(train(MODEL, one_device_mesh(), microbatches=ROWS), alone(MODEL))


@pytest.mark.parametrize(
  'change',
  [
    *({'remat': name} for name in REMAT if name != 'none'),
    {'scan': False, 'remat': 'block'},
    {'loss_chunk': 7},
    *(pytest.param(change, marks=pytest.mark.slow) for change in ({'scan': False}, {'loss_chunk': 1}, {'loss_chunk': LENGTH})),
  ],
  ids=str,
)
def test_what_is_recomputed_scanned_or_chunked_changes_nothing(change):
  changed = dataclasses.replace(OTHER, **change)
  assert changed.identity() == OTHER.identity()
  assert_same(train(changed, one_device_mesh()), alone(OTHER))


@pytest.mark.parametrize(
  'rules',
  [
    pytest.param(ShardingRules(embed=('data', 'fsdp')), marks=pytest.mark.slow),
    ShardingRules(embed=('fsdp', 'sequence'), kv_heads=None, layers='replica'),
    pytest.param(ShardingRules(embed=None, vocab=('fsdp', 'tensor'), ffn=('replica', 'tensor')), marks=pytest.mark.slow),
    ShardingRules(vocab='sequence', embed=None, head_dim='tensor', heads=None, kv_heads=None),
  ],
  ids=['embed wide', 'long rows', 'vocab wide', 'odd'],
)
def test_rules_change_places_and_nothing_else(rules):
  config = MeshConfig(replica=2, data=1, fsdp=2, sequence=2)
  if rules.vocab == 'sequence':
    config = MeshConfig(data=2, sequence=2, tensor=2)
  assert_same(train(OTHER, made(config), rules=rules), alone(OTHER))


@pytest.mark.parametrize('kv_heads', [pytest.param(1, marks=pytest.mark.slow), 2])
def test_fewer_keys_than_tensor_devices_are_kept_whole(kv_heads):
  model = dataclasses.replace(MODEL, kv_heads=kv_heads)
  mesh = made(MeshConfig(data=1, sequence=2, tensor=4))
  with pytest.raises(UserError, match=f"kv_heads' of size {kv_heads} .* set ShardingRules.kv_heads to None"):
    state_shardings(model, OPTIMIZER, Placement(mesh))
  assert_same(train(model, mesh, rules=ShardingRules(kv_heads=None)), alone(model))


def test_moments_can_rest_in_the_hosts_memory():
  mesh = made(MeshConfig(data=2, fsdp=2))
  require_host_memory(mesh)
  state = initial(MODEL, Placement(mesh, offload_optimizer=True))
  moments = [leaf for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim]
  assert {leaf.sharding.memory_kind for leaf in moments} == {'pinned_host'}
  assert_same(train(MODEL, mesh, offload_optimizer=True), alone(MODEL))
