"""Listing tokens shard by shard loses none, and sends none from device to device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from codemix.errors import UserError
from codemix.parallel.mesh import MeshConfig, factorizations, make_mesh
from codemix.parallel.sharding import BATCH_AXES, TOKEN_AXES
from codemix.parallel.tokens import check_rows, rows_from_tokens, tokens_from_rows

ROWS, LENGTH, WIDTH = 16, 24, 3
COLLECTIVES = ('all-gather', 'all-reduce', 'all-to-all', 'collective-permute', 'reduce-scatter')


@pytest.mark.parametrize('config', factorizations(8), ids=str)
def test_every_device_lists_its_own_tokens_and_nothing_is_sent(config):
  mesh = make_mesh(config)
  a_BxLxD = jnp.arange(ROWS * LENGTH * WIDTH).reshape(ROWS, LENGTH, WIDTH)
  rows = NamedSharding(mesh, P(BATCH_AXES, 'sequence'))
  tokens = NamedSharding(mesh, P(TOKEN_AXES))
  there = jax.jit(lambda a: tokens_from_rows(a, mesh), in_shardings=rows, out_shardings=tokens)
  back = jax.jit(lambda a: rows_from_tokens(a, ROWS, mesh), in_shardings=tokens, out_shardings=rows)
  a_NxD = there(jax.device_put(a_BxLxD, rows))
  assert a_NxD.shape == (ROWS * LENGTH, WIDTH)
  held = lambda array: {s.device: sorted(np.asarray(s.data)[..., 0].ravel()) for s in array.addressable_shards}
  assert held(a_NxD) == held(jax.device_put(a_BxLxD, rows))
  np.testing.assert_array_equal(back(a_NxD), a_BxLxD)
  for function, argument in ((there, a_BxLxD), (back, a_NxD)):
    program = function.lower(argument).compile().as_text()
    assert not [kind for kind in COLLECTIVES if f' {kind}(' in program]


def test_without_a_mesh_tokens_are_in_order():
  a_BxL = jnp.arange(12).reshape(3, 4)
  np.testing.assert_array_equal(tokens_from_rows(a_BxL, None), np.arange(12))
  np.testing.assert_array_equal(rows_from_tokens(jnp.arange(12), 3, None), a_BxL)


@pytest.mark.parametrize(
  ('rows', 'length', 'message'),
  [(6, 8, '6 rows.*4 devices.*replica x data x fsdp.*multiple of 4'), (4, 9, '9 tokens.*2 devices.*divisor of 9')],
)
def test_what_does_not_divide_is_refused(rows, length, message):
  with pytest.raises(UserError, match=message):
    check_rows(rows, length, make_mesh(MeshConfig(replica=2, data=2, sequence=2)))
