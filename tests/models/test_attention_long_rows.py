"""A decoder trains on rows of 32,768 tokens, in memory linear in their length."""

import functools

import jax
import numpy as np
import pytest

from codemix.models import decoder
from codemix.models.config import ModelConfig
from tests.models.random_inputs import packed_batch, random_documents, random_params

CONFIG = ModelConfig(
  64,
  layers=2,
  width=16,
  ffn_width=32,
  heads=2,
  head_dim=8,
  dtype='float32',
  remat='block',
  attention='auto',
)
LENGTH = 32_768


@functools.partial(jax.jit, donate_argnums=0)
def train_step(params, batch):
  """The mean loss before a step of gradient descent, and the parameters after it."""

  def mean_loss(params):
    return decoder.token_losses(CONFIG, params, batch)[0] / batch['weights'].sum()

  loss, gradients = jax.value_and_grad(mean_loss)(params)
  return jax.tree.map(lambda p, g: p - 0.05 * g, params, gradients), loss


def row(length):
  """One long document and some short ones, then padding."""
  documents = random_documents(
    np.random.default_rng(0), CONFIG.vocab_size, [length - 3000, 5, 2000]
  )
  return packed_batch([documents], length)


def step_memory(length):
  arguments = random_params(CONFIG), row(length)
  return train_step.lower(*arguments).compile().memory_analysis().temp_size_in_bytes


def test_the_memory_of_a_training_step_is_linear_in_the_length():
  half, whole = step_memory(LENGTH // 2), step_memory(LENGTH)
  assert whole < 2.2 * half
  assert whole < LENGTH**2  # bytes: not even a quarter of one layer's scores of one head


@pytest.mark.slow
def test_a_row_of_32768_tokens_trains():
  params, batch = random_params(CONFIG), row(LENGTH)
  params, before = train_step(params, batch)
  params, after = train_step(params, batch)
  assert np.isfinite(before) and after < before
