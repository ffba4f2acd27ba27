"""The decoder computes what the reference does, for packed rows and for each document alone."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codemix.errors import UserError
from codemix.models import decoder, reference
from codemix.models.config import ModelConfig
from codemix.parallel.mesh import MeshConfig, make_mesh
from codemix.parallel.sharding import parameter_shardings
from tests.models.random_inputs import (
  QUICK,
  in_float64,
  packed_batch,
  random_documents,
  random_params,
)

PARALLEL = ModelConfig(
  64, layers=2, width=16, ffn_width=24, heads=4, head_dim=6, dtype='float32', loss_chunk=5
)
SERIAL = dataclasses.replace(
  PARALLEL, block='serial', norm='rmsnorm', kv_heads=2, qk_norm=True, tied=False, logit_scale=0.5
)
MIXED = dataclasses.replace(PARALLEL, qk_norm=True, kv_heads=1, z_loss=1e-2, rope_theta=100.0)
CONFIGS = {'parallel': PARALLEL, 'serial': SERIAL, 'mixed': MIXED}
ROWS = [[7, 5, 3], [9], [4, 11]]  # lengths of the documents of each row
LENGTH = 16


@pytest.fixture(params=CONFIGS)
def config(request) -> ModelConfig:
  return CONFIGS[request.param]


# Each is compiled once for all tests of a configuration.
jit = functools.partial(jax.jit, static_argnums=0, compiler_options=QUICK)
init = jit(decoder.init_params)
differentiate = jit(jax.value_and_grad(decoder.token_losses, argnums=1, has_aux=True))
differentiate_reference = jit(jax.value_and_grad(reference.token_losses, argnums=1, has_aux=True))
hidden_states = jit(decoder.hidden_states)


def random_rows(seed=0):
  rng = np.random.default_rng(seed)
  return [random_documents(rng, PARALLEL.vocab_size, lengths) for lengths in ROWS]


REFERENCED = {
  **CONFIGS,
  'causal': dataclasses.replace(MIXED, document_mask=False),
  'blockwise': dataclasses.replace(SERIAL, attention='blockwise', remat='dots', scan=False),
}


@pytest.mark.parametrize('name', REFERENCED)
def test_losses_and_gradients_are_those_of_the_reference(name):
  config = REFERENCED[name]
  params, batch = random_params(config), packed_batch(random_rows(), LENGTH)
  (loss, nll), gradients = differentiate(config, params, batch)
  (loss_, nll_), gradients_ = differentiate_reference(config, params, batch)
  np.testing.assert_allclose(loss, loss_, rtol=1e-6)
  np.testing.assert_allclose(nll, nll_, rtol=1e-5, atol=1e-5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max()), gradients, gradients_
  )


def test_packed_losses_are_those_of_each_document_alone(config):
  params, rows = random_params(config), random_rows()
  batch = packed_batch(rows, LENGTH)
  (loss, nll), _ = differentiate(config, params, batch)
  packed = np.asarray(batch['segment_ids']) > 0
  alone = packed_batch([[tokens] for documents in rows for tokens in documents], LENGTH)
  of_documents = np.asarray(alone['segment_ids']) > 0
  alone['weights'] = np.zeros(of_documents.shape)
  alone['weights'][of_documents] = batch['weights'][packed]
  in_reference = jit(functools.partial(reference.token_losses, dtype=jnp.float64))
  loss_, nll_ = in_float64(functools.partial(in_reference, config), params, alone)
  np.testing.assert_allclose(nll[packed], nll_[of_documents], rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(loss, loss_, rtol=1e-6)


def test_without_document_masks_documents_see_each_other():
  config = dataclasses.replace(PARALLEL, document_mask=False)
  params, batch = random_params(config), packed_batch(random_rows(), LENGTH)
  (_, masked), _ = differentiate(PARALLEL, params, batch)
  (_, unmasked), _ = differentiate(config, params, batch)
  first = np.asarray(batch['segment_ids'] == 1)
  np.testing.assert_allclose(masked[first], unmasked[first], rtol=1e-6)
  later = np.asarray(batch['segment_ids'] > 1)
  assert np.abs(masked - unmasked)[later].min() > 1e-6


def test_what_else_is_in_the_row_changes_nothing(config):
  params, rows = random_params(config), random_rows()
  batch = packed_batch(rows, LENGTH)
  x = hidden_states(config, params, batch)
  others = [
    [random_documents(np.random.default_rng(9), 64, [7])[0], *rows[0][1:]],
    rows[2],
    rows[1],
  ]
  batch_ = packed_batch(others, LENGTH)
  x_ = hidden_states(config, params, batch_)
  np.testing.assert_array_equal(x[0, 7:15], x_[0, 7:15])
  np.testing.assert_array_equal(x[2, :15], x_[1, :15])
  assert jnp.abs(x[0, :7] - x_[0, :7]).max() > 0.1


@pytest.mark.parametrize(('config', 'remat'), [(PARALLEL, 'block'), (SERIAL, 'dots')])
def test_recomputing_changes_no_gradient(config, remat):
  params, batch = random_params(config), packed_batch(random_rows(), LENGTH)
  _, expected = differentiate(config, params, batch)
  _, recomputed = differentiate(dataclasses.replace(config, remat=remat), params, batch)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), recomputed, expected
  )


def test_blocks_recomputed_need_less_memory():
  config = dataclasses.replace(PARALLEL, layers=8)
  batch = packed_batch([random_documents(np.random.default_rng(0), 64, [256])] * 4, 256)

  def memory(remat):
    params = decoder.abstract_params(config)
    lowered = differentiate.lower(dataclasses.replace(config, remat=remat), params, batch)
    return lowered.compile().memory_analysis().temp_size_in_bytes

  assert memory('block') < memory('dots') < memory('none')


def test_bfloat16_computes_near_float32_and_keeps_float32_parameters():
  config = SERIAL
  params, batch = random_params(config), packed_batch(random_rows(), LENGTH)
  low = dataclasses.replace(config, dtype='bfloat16')
  (loss, _), gradients = differentiate(config, params, batch)
  (low_loss, low_nll), low_gradients = differentiate(low, params, batch)
  x = jax.eval_shape(functools.partial(decoder.hidden_states, low), params, batch)
  assert x.dtype == jnp.bfloat16
  assert (low_loss.dtype, low_nll.dtype) == (jnp.float32, jnp.float32)
  assert {a.dtype for a in jax.tree.leaves(low_gradients)} == {jnp.dtype('float32')}
  np.testing.assert_allclose(low_loss, loss, rtol=5e-3)
  norm = lambda tree: jnp.sqrt(sum(jnp.sum(a**2) for a in jax.tree.leaves(tree)))
  assert norm(jax.tree.map(jnp.subtract, low_gradients, gradients)) < 0.1 * norm(gradients)


def test_matrices_are_glorot_normal_and_norms_are_one():
  config = ModelConfig(512, layers=3, width=64, ffn_width=160, heads=4, head_dim=32, kv_heads=2)
  params = init(config, 0)
  attention, ffn = params['layers']['attention'], params['layers']['ffn']
  for matrix, fan_in, fan_out in (
    (params['embedding'], 512, 64),
    (attention['query'], 64, 128),
    (attention['key'], 64, 64),
    (attention['value'], 64, 64),
    (attention['out'], 128, 64),
    (ffn['gate'], 64, 160),
    (ffn['up'], 64, 160),
    (ffn['down'], 160, 64),
  ):
    assert matrix.std() == pytest.approx(np.sqrt(2 / (fan_in + fan_out)), rel=0.03)
    assert matrix.mean() == pytest.approx(0, abs=0.002)
  assert jnp.all(params['norm']['scale'] == 1) and jnp.all(params['layers']['norm']['scale'] == 1)
  assert not jnp.allclose(attention['query'][0], attention['query'][1])
  assert not jnp.allclose(ffn['gate'], ffn['up'])


def test_initial_parameters_follow_from_the_seed_alone():
  first, again, other = init(PARALLEL, 7), init(PARALLEL, 7), init(PARALLEL, 8)
  from_key = init(PARALLEL, jax.random.key(7))
  for same in (again, from_key):
    jax.tree.map(np.testing.assert_array_equal, same, first)
  assert not jnp.allclose(first['embedding'], other['embedding'])
  assert {a.dtype for a in jax.tree.leaves(first)} == {jnp.dtype('float32')}


def test_every_parameter_names_its_axes(config):
  shapes, axes = decoder.abstract_params(config), decoder.logical_axes(config)
  sizes = {
    'vocab': config.vocab_size,
    'layers': config.layers,
    'embed': config.width,
    'norm': config.width,
    'ffn': config.ffn_width,
    'heads': config.heads,
    'kv_heads': config.key_value_heads,
    'head_dim': config.head_dim,
  }
  jax.tree.map(
    lambda a, names: np.testing.assert_equal(a.shape, [sizes[n] for n in names]), shapes, axes
  )
  assert all(names[0] == 'layers' for names in axes['layers']['ffn'].values())


def test_logits_are_float32_and_scaled():
  params, batch = random_params(SERIAL), packed_batch(random_rows(), LENGTH)
  x = hidden_states(SERIAL, params, batch)
  logits = decoder.logits(dataclasses.replace(SERIAL, dtype='bfloat16'), params, x[2, :4])
  inputs = (batch[name][2:, :4] for name in ('inputs', 'segment_ids', 'positions'))
  expected = in_float64(functools.partial(reference.logits, SERIAL, dtype=jnp.float64), params, *inputs)
  np.testing.assert_allclose(logits, expected[0], rtol=1e-4, atol=1e-4)
  assert logits.dtype == jnp.float32


def test_initial_parameters_do_not_depend_on_the_mesh():
  def init(places=None):
    jitted = jax.jit(decoder.init_params, static_argnums=0, out_shardings=places, compiler_options=QUICK)
    return jitted(SERIAL, 3)

  mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2))
  places = parameter_shardings(mesh, decoder.abstract_params(SERIAL), decoder.logical_axes(SERIAL))
  sharded = init(places)
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(np.asarray(a), np.asarray(b)), sharded, init()
  )
  assert jax.tree.map(lambda a: a.sharding, sharded) == places


def test_a_batch_that_does_not_divide_is_refused():
  rows = packed_batch(random_rows() * 2, LENGTH)
  params = random_params(PARALLEL)
  with pytest.raises(UserError, match='6 rows.*8 devices.*data x fsdp.*multiple of 8'):
    decoder.token_losses(PARALLEL, params, rows, mesh=make_mesh(MeshConfig(data=4, fsdp=2)))
