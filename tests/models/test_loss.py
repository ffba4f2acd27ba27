"""The chunked loss, held to the loss from full logits."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codemix.models.cpu import vocabulary_blocks
from codemix.models.loss import chunked_cross_entropy, default_chunk
from codemix.models.reference import cross_entropy


def full_loss(x, head, targets, weights, *, logit_scale=1.0, z_loss=0.0):
  """The reference's loss from the logits of all tokens."""
  logits = logit_scale * jnp.einsum('bld,vd->blv', x, head, preferred_element_type=jnp.float32)
  return cross_entropy(logits, targets, weights, z_loss)


def random_inputs(seed, B, L, D, V, dtype=jnp.float32):
  rng = np.random.default_rng(seed)
  return (
    jnp.asarray(rng.normal(size=(B, L, D)), dtype),
    jnp.asarray(rng.normal(size=(V, D)), jnp.float32),
    jnp.asarray(rng.integers(0, V, (B, L)), jnp.int32),
    jnp.asarray(rng.integers(0, 3, (B, L)) / 2, jnp.float32),
  )


@pytest.mark.parametrize(
  ('length', 'chunk', 'logit_scale', 'z_loss'),
  [
    (1, 1, 1.0, 0.0),
    (1, 16, 1.0, 1e-2),
    (12, 4, 0.0625, 0.0),
    (12, 12, 3.0, 1e-2),
    (13, 4, 3.0, 0.0),
    (13, 12, 0.0625, 1e-2),
    (11, 1, 1.0, 1e-2),
  ],
)
def test_value_and_gradients_are_those_of_the_full_logits(length, chunk, logit_scale, z_loss):
  x, head, targets, weights = random_inputs(length, 2, length, 8, 32)
  options = {'logit_scale': logit_scale, 'z_loss': z_loss}

  def chunked(x, head):
    return chunked_cross_entropy(x, head, targets, weights, chunk=chunk, **options)

  def full(x, head):
    return full_loss(x, head, targets, weights, **options)

  differentiate = lambda f: jax.jit(jax.value_and_grad(f, argnums=(0, 1), has_aux=True))
  (loss, nll), gradients = differentiate(chunked)(x, head)
  (loss_, nll_), gradients_ = differentiate(full)(x, head)
  np.testing.assert_allclose(loss, loss_, rtol=2e-6, atol=1e-5)
  np.testing.assert_allclose(nll, nll_, rtol=1e-5, atol=1e-5)
  for gradient, gradient_ in zip(gradients, gradients_, strict=True):
    np.testing.assert_allclose(gradient, gradient_, rtol=1e-5, atol=2e-5)


def test_without_gradients_the_loss_is_the_same():
  x, head, targets, weights = random_inputs(0, 2, 7, 8, 32)
  call = lambda x: chunked_cross_entropy(x, head, targets, weights, chunk=3, z_loss=0.1)
  loss, nll = call(x)
  (loss_, nll_), _ = jax.value_and_grad(call, has_aux=True)(x)
  np.testing.assert_allclose(loss, loss_, rtol=1e-6)
  np.testing.assert_allclose(nll, nll_, rtol=1e-6)


def test_gradients_follow_what_is_done_with_the_loss():
  x, head, targets, weights = random_inputs(0, 2, 7, 8, 32)
  loss = lambda x: chunked_cross_entropy(x, head, targets, weights, chunk=3)[0]
  np.testing.assert_allclose(
    jax.grad(lambda x: (loss(x) / 7) ** 2)(x), 2 * loss(x) / 49 * jax.grad(loss)(x), rtol=1e-5
  )


def test_a_token_without_weight_has_no_gradient():
  x, head, targets, weights = random_inputs(0, 2, 7, 8, 32)
  dx = jax.grad(lambda x: chunked_cross_entropy(x, head, targets, weights, chunk=4)[0])(x)
  assert jnp.all((dx != 0).any(axis=-1) == (weights > 0))


def test_bfloat16_activations_stay_near_float32():
  x, head, targets, weights = random_inputs(0, 4, 32, 64, 128, jnp.bfloat16)
  call = lambda x, head: chunked_cross_entropy(x, head, targets, weights, chunk=8)[0]
  full = lambda x, head: full_loss(x, head, targets, weights)[0]
  as_float32 = x.astype(jnp.float32), head.astype(jnp.bfloat16).astype(jnp.float32)
  loss, (dx, dhead) = jax.value_and_grad(call, argnums=(0, 1))(x, head)
  loss_, (dx_, dhead_) = jax.value_and_grad(full, argnums=(0, 1))(*as_float32)
  assert (dx.dtype, dhead.dtype) == (jnp.bfloat16, jnp.float32)
  np.testing.assert_allclose(loss, loss_, rtol=1e-5)
  for gradient, gradient_ in ((dx, dx_), (dhead, dhead_)):
    error = jnp.linalg.norm(gradient.astype(jnp.float32) - gradient_)
    assert error < 0.01 * jnp.linalg.norm(gradient_)


@pytest.mark.parametrize('length', [64, 61])
def test_the_logits_of_a_batch_never_exist(length):
  B, D, V, chunk = 4, 8, 512, 8
  inputs = random_inputs(0, B, length, D, V)

  def call(x, head, targets, weights):
    return chunked_cross_entropy(x, head, targets, weights, chunk=chunk)[0]

  compiled = jax.jit(jax.value_and_grad(call, argnums=(0, 1))).lower(*inputs).compile()
  shapes = re.findall(r'\b(?:f32|bf16|f16|s32|u32|pred)\[([\d,]+)\]', compiled.as_text())
  largest = max(math.prod(map(int, shape.split(','))) for shape in shapes)
  assert largest <= B * chunk * V
  assert compiled.memory_analysis().temp_size_in_bytes < B * length * V * 4 / 2
  full = (
    jax.jit(jax.value_and_grad(lambda x, *rest: full_loss(x, *rest)[0])).lower(*inputs).compile()
  )
  assert full.memory_analysis().temp_size_in_bytes > B * length * V * 4 / 2  # the bound can fail


def test_evaluation_computes_one_matmul_and_training_three():
  inputs = random_inputs(0, 2, 16, 8, 64)
  call = lambda x, head, *rest: chunked_cross_entropy(x, head, *rest, chunk=4)[0]
  matmuls = lambda function: str(jax.make_jaxpr(function)(*inputs)).count('dot_general')
  assert matmuls(call) == 1
  assert matmuls(jax.value_and_grad(call, argnums=(0, 1))) == 3


@pytest.mark.parametrize('vocabulary', [32, 31, 29, 8, 7, 1])
@pytest.mark.parametrize('rows', [1, 8])
def test_blocks_of_the_vocabulary_change_nothing(vocabulary, rows, monkeypatch):
  monkeypatch.setattr(vocabulary_blocks, 'CACHE_BYTES', 1)
  monkeypatch.setattr(vocabulary_blocks, 'LEAST_ROWS', rows)
  x, head, targets, weights = random_inputs(1, 2, 9, 8, vocabulary)

  def loss(function, **options):
    call = lambda x, head: function(x, head, targets, weights, z_loss=1e-2, **options)
    return jax.jit(jax.value_and_grad(call, argnums=(0, 1), has_aux=True))(x, head)

  (value, nll), gradients = loss(chunked_cross_entropy, chunk=4)
  (value_, nll_), gradients_ = loss(full_loss)
  np.testing.assert_allclose(value, value_, rtol=2e-6, atol=1e-5)
  np.testing.assert_allclose(nll, nll_, rtol=1e-5, atol=1e-5)
  for gradient, gradient_ in zip(gradients, gradients_, strict=True):
    np.testing.assert_allclose(gradient, gradient_, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(('vocabulary', 'tokens'), [(7, 1), (7, 3), (1000, 3), (513, 2**20), (256_000, 256)])
def test_each_row_of_the_vocabulary_is_new_in_one_block(vocabulary, tokens):
  blocks = vocabulary_blocks.Blocks.in_cache(vocabulary, tokens)
  of_block = [np.broadcast_to(blocks.is_new(i), blocks.size) for i in range(blocks.count)]
  rows = np.concatenate([np.asarray(blocks.ids(i))[new] for i, new in enumerate(of_block)])
  np.testing.assert_array_equal(rows, np.arange(vocabulary))
  assert all(new.any() for new in of_block)


def test_the_gradient_of_the_head_is_held_once(monkeypatch):
  monkeypatch.setattr(vocabulary_blocks, 'CACHE_BYTES', 4 * 16 * 1024)
  inputs = random_inputs(0, 1, 512, 64, 8192)
  call = lambda *inputs: chunked_cross_entropy(*inputs, chunk=16)[0]
  compiled = jax.jit(jax.value_and_grad(call, argnums=(0, 1))).lower(*inputs).compile()
  sizes, gradient = compiled.memory_analysis(), 8192 * 64 * 4
  assert sizes.output_size_in_bytes > gradient
  logits = 16 * 8192 * 4
  assert sizes.temp_size_in_bytes < 2 * logits + gradient / 2


def test_left_to_itself_the_loss_takes_as_many_tokens_as_suit_the_memory():
  assert default_chunk(8192, on_cpu=True) == 512
  assert default_chunk(256_000, on_cpu=True) == 256  # 262 MB of logits
  assert default_chunk(256_000, on_cpu=False) == 1048  # 1 GiB
  inputs = random_inputs(0, 2, 300, 8, 8192)
  program = str(jax.make_jaxpr(lambda *inputs: chunked_cross_entropy(*inputs)[0])(*inputs))
  assert 'f32[300,8]' in program and 'length=2' in program  # 600 tokens in two chunks
