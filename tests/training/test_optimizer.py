"""An update is plain arithmetic on the gradients, whatever the moments are kept in."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from codemix.errors import UserError
from codemix.training.optimizer import Optimizer, make_optimizer, step_of

KEPT_SHORT = Optimizer(moments_dtype='bfloat16', clip_norm=0)


def parameters(seed: int = 0) -> dict:
  rng = np.random.default_rng(seed)
  return {
    'matrix': jnp.asarray(rng.normal(size=(6, 5)), jnp.float32),
    'scale': jnp.asarray(rng.normal(size=7), jnp.float32),
  }


def run(optimizer: Optimizer, steps: int, rate: float = 1e-2):
  tx, params = make_optimizer(optimizer), parameters()
  state = tx.init(params)
  for step in range(steps):
    updates, state = tx.update(parameters(step + 1), state, params, rate=jnp.float32(rate))
    params = optax.apply_updates(params, updates)
  return params, state


def moments(state) -> list[jax.Array]:
  return [leaf for leaf in jax.tree.leaves(state) if leaf.ndim]


@pytest.mark.parametrize('name', ['adamw', 'lion'])
def test_moments_are_kept_as_told_and_the_step_is_counted(name):
  params, state = run(dataclasses.replace(KEPT_SHORT, name=name), 3)
  assert {leaf.dtype for leaf in moments(state)} == {jnp.dtype('bfloat16')}
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype('float32')}
  assert step_of(state) == 3
  assert {leaf.dtype for leaf in moments(run(Optimizer(name=name), 1)[1])} == {jnp.dtype('float32')}


def test_an_update_is_adams_formula_in_float32_from_the_rounded_moments():
  o, rate = KEPT_SHORT, 1e-2
  tx, params = make_optimizer(o), parameters()
  state = tx.init(params)
  mu, nu = np.zeros((6, 5), np.float32), np.zeros((6, 5), np.float32)
  short = lambda a: np.asarray(jnp.asarray(a, jnp.bfloat16).astype(jnp.float32))
  for step in range(1, 4):
    grads = parameters(step)
    g, p = np.asarray(grads['matrix']), np.asarray(params['matrix'])
    mu, nu = o.b1 * mu + (1 - o.b1) * g, o.b2 * nu + (1 - o.b2) * g**2
    direction = mu / (1 - o.b1**step) / (np.sqrt(nu / (1 - o.b2**step)) + o.eps)
    updates, state = tx.update(grads, state, params, rate=jnp.float32(rate))
    np.testing.assert_allclose(updates['matrix'], -rate * (direction + o.weight_decay * p), rtol=2e-5, atol=1e-8)
    mu, nu = short(mu), short(nu)
    params = optax.apply_updates(params, updates)


def test_rounded_moments_lead_near_where_full_ones_do_and_not_to_the_same_place():
  short, full = run(KEPT_SHORT, 50)[0], run(dataclasses.replace(KEPT_SHORT, moments_dtype='float32'), 50)[0]
  start = parameters()
  for name in short:
    moved = np.linalg.norm(full[name] - start[name])
    assert 0 < np.linalg.norm(short[name] - full[name]) < 0.01 * moved


@pytest.mark.parametrize('steps', [200])
def test_a_moment_in_bfloat16_fades_when_the_gradient_does(steps):
  slowest = dataclasses.replace(KEPT_SHORT, b1=0.99, b2=0.99)
  tx, params = make_optimizer(slowest), parameters()
  _, state = tx.update(parameters(1), tx.init(params), params, rate=jnp.float32(0))
  first = np.abs(moments(state)[0].astype(jnp.float32)).max()
  nothing = jax.tree.map(jnp.zeros_like, params)
  for _ in range(steps):
    _, state = tx.update(nothing, state, params, rate=jnp.float32(0))
  assert np.abs(moments(state)[0].astype(jnp.float32)).max() < 0.4 * first


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'moments_dtype': 'bf16'}, "Optimizer.moments_dtype is 'bf16'.*Did you mean 'bfloat16'"),
    ({'moments_dtype': 'bfloat16', 'b2': 0.999}, 'fades as slowly as b2 = 0.999: set Optimizer.b2 to 0.99'),
    ({'moments_dtype': 'bfloat16', 'name': 'adafactor'}, "write 'float32'"),
    ({'name': 'adam'}, "Did you mean 'adamw'"),
  ],
)
def test_what_cannot_be_kept_is_refused(settings, message):
  with pytest.raises(UserError, match=message):
    Optimizer(**settings)
