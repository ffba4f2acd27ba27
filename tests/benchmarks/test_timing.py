"""Programs are timed in turn; what only warms up does not count."""

import jax.numpy as jnp
import numpy as np

from codemix.benchmarks import timing


def test_all_run_in_turn_and_the_turns_that_warm_up_do_not_count(monkeypatch):
  ran = []
  clock = {'a': iter([100, 100, 3, 1, 2]), 'b': iter([100, 100, 5, 6, 4])}

  def seconds(run):
    return next(clock[run()])

  def note(name):
    ran.append(name)
    return name

  monkeypatch.setattr(timing, 'seconds', seconds)
  runs = {name: lambda name=name: note(name) for name in 'ab'}
  assert timing.medians(runs, repeats=3, warm_up=2) == {'a': 2, 'b': 5}
  assert ran == ['a', 'b'] * 5


def test_the_operations_of_square_products_are_those_of_their_matmuls():
  multiply, flops = timing._square_products(jnp.dtype(jnp.float32), 8)
  assert flops == timing.PRODUCTS * 2 * 8**3
  # All numbers are 1/side, so the product of two such matrices is one again.
  np.testing.assert_allclose(multiply(), np.full((8, 8), 1 / 8), rtol=1e-6)


def test_the_speed_of_matmuls_is_that_of_the_ones_that_follow_each_other(monkeypatch):
  taken = iter([9.0, 9.0, 0.5, 0.25, 0.5])  # two warm up
  monkeypatch.setattr(timing, 'seconds', lambda run: run() is not None and next(taken))
  assert timing.matmul_speed(jnp.dtype(jnp.float32), 8, repeats=3) == timing.PRODUCTS * 2 * 8**3 / 0.5
  assert not list(taken)


def test_a_mesh_of_one_device_has_one_wherever_there_are_more():
  assert timing.one_device_mesh().size == 1
