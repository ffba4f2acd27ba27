"""The gradients that are written by hand are those of the plain products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codemix.models.cpu.matmul import weight_gradients_by_rows
from codemix.models.dense import dense, swiglu


def random(*shapes, dtype=jnp.float32):
  rng = np.random.default_rng(0)
  return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]


def values_and_gradients(function, arguments):
  """The result, and the gradients of a sum of it in which every number has another weight."""
  out, pull = jax.vjp(function, *arguments)
  cotangents = jax.tree.map(lambda a: jnp.cos(jnp.arange(a.size)).reshape(a.shape).astype(a.dtype), out)
  return out, pull(cotangents)


def assert_close(got, wanted, tolerance):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(
      np.asarray(a, np.float64), np.asarray(b, np.float64), rtol=0, atol=tolerance * float(jnp.abs(b).max())
    ),
    got,
    wanted,
  )


@pytest.mark.parametrize('widths', [(5,), (16,), (12, 7, 40)])
@pytest.mark.parametrize(('dtype', 'tolerance'), [(jnp.float32, 1e-6), (jnp.bfloat16, 2e-2)])
def test_products_and_gradients_are_the_plain_ones(widths, dtype, tolerance):
  arguments = random((33, 12), *((12, width) for width in widths), dtype=dtype)
  plain = lambda x, *weights: tuple(x @ weight for weight in weights)
  assert_close(
    values_and_gradients(jax.jit(dense), arguments), values_and_gradients(plain, arguments), tolerance
  )


@pytest.mark.parametrize('width', [5, 12, 40])
def test_weight_gradients_by_rows_are_the_plain_ones(width):
  x, dy = random((33, 12), (33, width))
  assert_close(weight_gradients_by_rows(x, dy), (x.T @ dy,), 1e-6)


@pytest.mark.parametrize(('dtype', 'tolerance'), [(jnp.float32, 1e-6), (jnp.bfloat16, 4e-2)])
def test_swiglu_and_its_gradients_are_the_plain_ones(dtype, tolerance):
  arguments = random((33, 12), (12, 40), (12, 40), (40, 12), dtype=dtype)
  plain = lambda x, gate, up, down: (jax.nn.silu(x @ gate) * (x @ up)) @ down
  assert_close(
    values_and_gradients(jax.jit(swiglu), arguments), values_and_gradients(plain, arguments), tolerance
  )


def test_swiglu_keeps_two_hidden_arrays_for_its_gradients():
  arguments = random((64, 4), (4, 512), (4, 512), (512, 4))
  _, pull = jax.vjp(swiglu, *arguments)
  kept = [leaf for leaf in jax.tree.leaves(pull) if getattr(leaf, 'shape', ()) == (64, 512)]
  assert len(kept) == 2
