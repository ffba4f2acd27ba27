"""A lookup in a table that is split is the lookup in the whole table, in values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from codemix.models.embedding import lookup
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import ShardingRules, batch_sharding
from tests.models.random_inputs import QUICK

V, D, B, L = 24, 16, 16, 12

THREE = MeshConfig(data=2, fsdp=2, sequence=2)
TENSOR = MeshConfig(data=1, fsdp=2, sequence=2, tensor=2)


@pytest.mark.parametrize(
  ('mesh_config', 'rules'),
  [
    (MeshConfig(data=1, fsdp=8), ShardingRules()),
    (MeshConfig(replica=2, data=1, fsdp=2, tensor=2), ShardingRules()),
    (THREE, ShardingRules(vocab='fsdp', embed=None)),
    (THREE, ShardingRules(vocab=None, embed=('sequence', 'fsdp', 'data'))),
    (THREE, ShardingRules(vocab=('sequence', 'fsdp'), embed='data')),
    (TENSOR, ShardingRules(vocab=('tensor', 'fsdp'), embed='sequence')),
    (TENSOR, ShardingRules(vocab=None, embed=('tensor', 'fsdp'))),
    (TENSOR, ShardingRules(vocab=None, embed=('fsdp', 'tensor', 'sequence'))),
    (TENSOR, ShardingRules(vocab=None, embed=None)),
  ],
  ids=str,
)
@pytest.mark.parametrize('portions', [1, 2], ids=['whole', 'in a scan'])
def test_however_the_table_is_split(mesh_config, rules, portions):
  mesh = make_mesh(mesh_config)
  rng = np.random.default_rng(0)
  table = rng.normal(size=(V, D)).astype(np.float32)
  ids = rng.integers(0, V, (B, L)).astype(np.int32)
  weights = rng.normal(size=(B, L, D)).astype(np.float32)

  def weighted(table, ids, weights):
    def portion(total, arrays):
      ids, weights = arrays
      x_BxLxD = lookup(table, ids, dtype=jnp.float32, mesh=mesh, rules=rules)
      return total + (x_BxLxD * weights).sum(), x_BxLxD

    arrays = (a.reshape(portions, -1, *a.shape[1:]) for a in (ids, weights))
    total, x = jax.lax.scan(portion, jnp.zeros([]), tuple(arrays))
    return total, x.reshape(B, L, D)

  rows = batch_sharding(mesh)
  places = NamedSharding(mesh, PartitionSpec(rules.vocab, rules.embed)), rows, rows
  function = jax.value_and_grad(weighted, has_aux=True)
  jitted = jax.jit(function, in_shardings=places, compiler_options=QUICK)
  (_, found), gradient = jitted(table, ids, weights)
  np.testing.assert_array_equal(found, table[ids])
  by_hand = np.zeros((V, D))
  np.add.at(by_hand, ids, weights)
  np.testing.assert_allclose(gradient, by_hand, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('mesh_config', [None, THREE], ids=str)
def test_rows_are_of_the_compute_dtype_and_gradients_are_added_up_in_float32(mesh_config):
  mesh = mesh_config and make_mesh(mesh_config)
  ids = np.zeros((B, 64), np.int32)  # 512 times the same: bfloat16 counts to 256
  call = lambda table: lookup(table, ids, dtype=jnp.bfloat16, mesh=mesh)
  table = np.ones((V, D), np.float32)
  assert jax.eval_shape(call, table).dtype == jnp.bfloat16
  gradient = jax.jit(jax.grad(lambda table: call(table).astype(jnp.float32).sum()))(table)
  assert gradient.dtype == jnp.float32
  np.testing.assert_array_equal(gradient[0], ids.size)
  np.testing.assert_array_equal(gradient[1:], 0)


def test_nothing_is_sent_over_axes_of_one_device():
  mesh = make_mesh(MeshConfig(data=8))
  call = jax.jit(lambda table, ids: lookup(table, ids, dtype=jnp.float32, mesh=mesh))
  shapes = jax.ShapeDtypeStruct((V, D), jnp.float32), jax.ShapeDtypeStruct((B, L), jnp.int32)
  text = call.lower(*shapes).as_text()
  assert 'all_gather' not in text and 'all_reduce' not in text
