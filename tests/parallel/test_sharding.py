"""Logical names decide where a parameter lives, or say why it cannot live there."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from codemix.errors import UserError
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import (
  ShardingRules,
  batch_sharding,
  batch_shards,
  constrain,
  parameter_shardings,
)

MESH = MeshConfig(data=2, fsdp=2, tensor=2)


def specs(shapes, axes, **options):
  shapes = jax.tree.map(
    lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32),
    shapes,
    is_leaf=lambda node: isinstance(node, tuple),
  )
  shardings = parameter_shardings(make_mesh(MESH), shapes, axes, **options)
  return jax.tree.map(lambda sharding: sharding.spec, shardings)


def test_each_axis_goes_where_its_rule_says():
  shapes = {'a': (6, 4), 'b': {'c': (3, 4, 2, 5), 'd': (7,)}}
  axes = {
    'a': ('vocab', 'embed'),
    'b': {'c': ('layers', 'embed', 'heads', 'head_dim'), 'd': ('norm',)},
  }
  assert specs(shapes, axes) == {
    'a': P('tensor', 'fsdp'),
    'b': {'c': P(None, 'fsdp', 'tensor', None), 'd': P(None)},
  }


def test_rules_can_be_replaced():
  rules = ShardingRules(embed=['data', 'fsdp'])  # a list, as gin writes it
  assert specs({'a': (8, 4)}, {'a': ('embed', 'ffn')}, rules=rules)['a'] == P(
    ('data', 'fsdp'), 'tensor'
  )


def test_an_axis_that_does_not_divide_is_named_with_sizes():
  with pytest.raises(UserError, match=r"b/c: its axis 'kv_heads' of size 3 .* 2 devices.*tensor\): make that 1, or set ShardingRules.kv_heads to None"):
    specs({'b': {'c': (4, 3, 8)}}, {'b': {'c': ('embed', 'kv_heads', 'head_dim')}})


def test_an_axis_without_a_rule_is_named():
  with pytest.raises(UserError, match="a: its axis 'embd' has no sharding rule.*'embed'"):
    specs({'a': (4,)}, {'a': ('embd',)})


@pytest.mark.parametrize(
  ('rules', 'message'),
  [
    ({'embed': 'fdsp'}, "ShardingRules.embed is 'fdsp'.*Did you mean 'fsdp'"),
    ({'vocab': ('tensor', 'sequenz')}, "ShardingRules.vocab.*Did you mean 'sequence'"),
    ({'ffn': ('tensor', 'tensor')}, 'ShardingRules.ffn .* once'),
    ({'embed': 5}, 'ShardingRules.embed is 5; it is one of replica, data'),
    ({'heads': True}, 'ShardingRules.heads is True; it is one of replica, data'),
  ],
)
def test_a_rule_for_no_axis_is_named_with_the_nearest(rules, message):
  with pytest.raises(UserError, match=message):
    ShardingRules(**rules)


def test_two_axes_of_a_parameter_cannot_be_split_over_the_same_devices():
  with pytest.raises(UserError, match="a: ShardingRules.embed and ShardingRules.ffn both take the mesh axis 'tensor'"):
    specs({'a': (4, 4)}, {'a': ('embed', 'ffn')}, rules=ShardingRules(embed='tensor'))


def test_rows_are_split_over_replicas_data_and_fsdp_and_stay_whole():
  mesh = make_mesh(MeshConfig(replica=2, data=1, fsdp=2, sequence=2))
  rows = jax.device_put(jnp.arange(24).reshape(8, 3), batch_sharding(mesh))
  assert {shard.data.shape for shard in rows.addressable_shards} == {(2, 3)}
  assert batch_shards(mesh) == 4
  assert batch_shards(None) == 1


def test_a_constraint_places_an_activation_and_changes_no_number():
  mesh, x = make_mesh(MESH), jnp.arange(32.0).reshape(8, 4)
  placed = jax.jit(lambda x: constrain(x, mesh, 'batch', None))(x)
  assert placed.sharding.is_equivalent_to(batch_sharding(mesh), placed.ndim)
  assert jnp.array_equal(placed, x)
  assert constrain(x, None, 'batch', None) is x


def test_an_axis_of_the_mesh_is_taken_once():
  mesh, x = make_mesh(MESH), jnp.zeros((8, 4))
  rules = ShardingRules(embed=('data', 'tensor'))
  placed = jax.jit(lambda x: constrain(x, mesh, 'batch', 'embed', rules=rules))(x)
  assert placed.sharding.shard_shape(placed.shape) == (2, 2)  # 'data' has rows, so columns 'tensor' alone
