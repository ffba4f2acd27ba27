"""What a step sends between devices: across replicas, shards of the gradients and nothing larger."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codemix.models.config import ModelConfig
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import batch_sharding
from codemix.planner.collectives import Collective, Place, collectives_of
from codemix.planner.hlo import parse
from codemix.training.optimizer import Optimizer
from codemix.training.placement import Placement
from codemix.training.train_state import abstract_state
from codemix.training.train_step import make_train_step

# Numbers of its own for every size, so that no activation is as large as a parameter.
MODEL = ModelConfig(
  512, layers=3, width=64, ffn_width=192, heads=4, head_dim=16, tied=False, dtype='float32', loss_chunk=8
)
TIED = dataclasses.replace(MODEL, tied=True)
ROWS, LENGTH = 8, 16
PARAMETER_BYTES = 4 * MODEL.parameter_count()['total']
# Norms, the loss and the gradient's norm are summed where they are; 'source', 'read', 'tokens', 'documents'
# and 'nll' of each row are gathered.
SMALL = 4 * MODEL.parameter_count()['norm'] + 5 * 4 * ROWS + 64 * 4


def collectives(config: MeshConfig, model: ModelConfig = MODEL, axis: str = 'replica', **options) -> list[Collective]:
  """Those of a train step; devices apart along `axis` are taken to lie in different slices."""
  mesh = make_mesh(config, jax.devices()[: math.prod(config.sizes().values())])
  sharding = batch_sharding(mesh)
  shaped = lambda shape, dtype: jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)
  names = ('inputs', 'targets', 'segment_ids', 'positions')
  batch = {name: shaped((ROWS, LENGTH), jnp.int32) for name in names}
  batch |= {'weights': shaped((ROWS, LENGTH), jnp.float32), 'source': shaped((ROWS,), jnp.int32)}
  step = make_train_step(model, Optimizer(), Placement(mesh), 1, **options)
  compiled = step.lower(abstract_state(model, Optimizer(), Placement(mesh)), batch, jnp.float32(0)).compile()
  index = mesh.axis_names.index(axis)
  places = [Place(where[index], ()) for where in np.ndindex(mesh.devices.shape)]
  return collectives_of(parse(compiled.as_text()), places)


def crossing(found: list[Collective]) -> float:
  """Bytes of a device that take part in collectives from replica to replica, in a step."""
  return sum(c.times * c.input_bytes for c in found if c.slices > 1)


@pytest.mark.parametrize(
  'config',
  [MeshConfig(replica=2, data=1, fsdp=4), MeshConfig(replica=2, data=1, fsdp=2, tensor=2), MeshConfig(replica=2, data=1, fsdp=2, sequence=2)],
  ids=str,
)
def test_from_replica_to_replica_each_device_sends_its_shard_of_the_gradients(config):
  # Of the head's, each of the devices that hold the same shard sends but a part.
  head = 4 * MODEL.parameter_count()['head'] * (1 - 1 / config.sequence)
  shard = (PARAMETER_BYTES - head) / (config.fsdp * config.tensor)
  assert shard <= crossing(collectives(config)) <= shard + SMALL


def test_a_table_that_is_also_the_head_has_two_gradients_each_sent_by_itself():
  # What the docs say of tied embeddings: the bound of the test above, and the table once more.
  sent = crossing(collectives(MeshConfig(replica=2, data=1, fsdp=4), TIED))
  tied, table = 4 * TIED.parameter_count()['total'], 4 * TIED.parameter_count()['embedding']
  assert sent <= (tied + table) / 4 + SMALL


def test_without_shards_the_whole_gradient_is_sent():
  # The bound of the test above can fail.
  assert crossing(collectives(MeshConfig(replica=2, data=1))) >= PARAMETER_BYTES


def test_only_reductions_go_from_replica_to_replica():
  found = [c for c in collectives(MeshConfig(replica=2, data=1, fsdp=4)) if c.slices > 1 and c.input_bytes > 4 * ROWS]
  assert {c.kind for c in found} <= {'all-reduce', 'reduce-scatter'}


def test_positions_split_over_devices_exchange_keys_and_values_and_no_activations():
  found = collectives(MeshConfig(data=1, sequence=4), axis='sequence')
  # Keys and values forward and again for the way back, once each a layer; the rest is gradients.
  keys = 2 * ROWS * LENGTH * MODEL.heads * MODEL.head_dim * 4
  gathered = sum(c.times * c.input_bytes for c in found if c.kind in ('all-gather', 'all-to-all', 'collective-permute'))
  assert gathered <= 3 * MODEL.layers * keys / 4 + SMALL
  reduced = sum(c.times * c.input_bytes for c in found if c.kind in ('all-reduce', 'reduce-scatter'))
  assert reduced <= PARAMETER_BYTES + MODEL.layers * keys + SMALL


def test_a_gradient_is_reduced_once_a_portion():
  # As the docs say of Runtime.microbatches over slices.
  once = crossing(collectives(MeshConfig(replica=2, data=1, fsdp=2)))
  twice = crossing(collectives(MeshConfig(replica=2, data=1, fsdp=2), microbatches=2))
  assert twice <= 2 * once + SMALL
