"""A mesh changes where numbers are, not what they are."""

import dataclasses

import jax
import numpy as np
import pytest

from codemix.errors import UserError
from codemix.models import decoder
from codemix.models.config import ModelConfig
from codemix.parallel.mesh import MeshConfig, factorizations, make_mesh
from codemix.parallel.sharding import batch_sharding, parameter_shardings
from tests.models.random_inputs import QUICK, packed_batch, random_documents, random_params

CONFIG = ModelConfig(
  64, layers=2, width=16, ffn_width=32, heads=8, head_dim=4, dtype='float32', loss_chunk=7
)
UNTIED = dataclasses.replace(CONFIG, tied=False, block='serial', qk_norm=True)
LENGTH = 16

differentiate = jax.jit(
  jax.value_and_grad(decoder.token_losses, argnums=1, has_aux=True),
  static_argnums=0,
  static_argnames='mesh',
  compiler_options=QUICK,
)


@pytest.fixture(scope='module')
def batch():
  rng = np.random.default_rng(0)
  return packed_batch([random_documents(rng, 64, [5, 9]) for _ in range(8)], LENGTH)


@pytest.fixture(scope='module')
def expected(batch):
  return {
    config: differentiate(config, random_params(config), batch) for config in (CONFIG, UNTIED)
  }


def shardings(config, mesh):
  return parameter_shardings(mesh, decoder.abstract_params(config), decoder.logical_axes(config))


@pytest.mark.parametrize('mesh_config', factorizations(8), ids=str)
def test_loss_and_gradients_are_those_of_one_device(mesh_config, batch, expected):
  # Every mesh once, with one of the two kinds of model.
  config = UNTIED if mesh_config.fsdp == 2 else CONFIG
  mesh = make_mesh(mesh_config)
  places = shardings(config, mesh)
  params = jax.tree.map(jax.device_put, random_params(config), places)
  batch = jax.device_put(batch, batch_sharding(mesh))
  (loss, nll), gradients = differentiate(config, params, batch, mesh=mesh)
  (loss_, nll_), gradients_ = expected[config]
  np.testing.assert_allclose(loss, loss_, rtol=1e-6)
  np.testing.assert_allclose(nll, nll_, rtol=1e-5)
  # Sums in another order differ by rounding of their largest terms: hence the absolute tolerance.
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max()),
    gradients,
    gradients_,
  )


def test_initial_parameters_do_not_depend_on_the_mesh():
  def init(places=None):
    jitted = jax.jit(
      decoder.init_params, static_argnums=0, out_shardings=places, compiler_options=QUICK
    )
    return jitted(UNTIED, 3)

  places = shardings(UNTIED, make_mesh(MeshConfig(data=2, fsdp=2, tensor=2)))
  sharded = init(places)
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(np.asarray(a), np.asarray(b)), sharded, init()
  )
  assert jax.tree.map(lambda a: a.sharding, sharded) == places


def test_a_batch_that_does_not_divide_is_refused(batch):
  rows = {name: array[:6] for name, array in batch.items()}
  params = random_params(CONFIG)
  with pytest.raises(UserError, match='6 rows.*8 devices.*data x fsdp.*multiple of 8'):
    decoder.token_losses(CONFIG, params, rows, mesh=make_mesh(MeshConfig(data=4, fsdp=2)))
