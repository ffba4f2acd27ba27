"""`codemix bench matmul` at a tiny side."""

import jax.numpy as jnp
import numpy as np

from codemix.benchmarks import matmul


def test_matmuls_of_both_types_are_measured(tmp_path):
  figures = list(matmul.measure(tmp_path, matmul.Size(side=64, repeats=1)))
  assert [figure.name for figure in figures] == [
    'float32 matmuls of 64 x 64',
    'bfloat16 matmuls of 64 x 64',
  ]
  assert all(figure.value > 0 and figure.unit == 'TFLOP/s' for figure in figures)


def test_the_speed_is_that_of_matmuls_that_follow_each_other(monkeypatch):
  products = []

  def medians(runs, repeats, warm_up):
    [run] = runs.values()
    products.append(run())
    return {'matmul': 0.5}

  monkeypatch.setattr(matmul, 'medians', medians)
  assert matmul.matmul_speed(jnp.dtype(jnp.float32), 8) == matmul.PRODUCTS * 2 * 8**3 / 0.5
  # All numbers are 1/side, so the product of two such matrices is one again.
  np.testing.assert_allclose(products[0], np.full((8, 8), 1 / 8), rtol=1e-6)


def test_the_peak_of_a_run_is_that_before_or_after_it(monkeypatch):
  speeds = iter([3.0, 2.0])
  monkeypatch.setattr(matmul, 'matmul_speed', lambda dtype: next(speeds))
  taken, peak = matmul.medians_and_peak({'a': lambda: 0}, 1, jnp.dtype(jnp.float32))
  assert taken['a'] >= 0 and peak == 3.0
