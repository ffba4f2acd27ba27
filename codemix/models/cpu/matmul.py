"""Layouts of matmul inputs that XLA's CPU matmuls are fast with: they read both inputs row by row.

XLA folds a transposition into the matmul that reads it, and a matmul along columns takes half as long
again, or more. A barrier keeps the transposed copy.
"""

from __future__ import annotations

import jax


def transposed_copy(a: jax.Array) -> jax.Array:
  """`a` with its last two axes swapped, written to memory."""
  return jax.lax.optimization_barrier(a.swapaxes(-1, -2))


def weight_gradients_by_rows(x_NxA: jax.Array, *dy_NxC: jax.Array) -> tuple[jax.Array, ...]:
  """`x.T @ dy` for each dy, by a transposed copy of the narrower input: of x, once for all, or of dy."""
  x_AxN = transposed_copy(x_NxA)

  def gradient(dy):
    if x_NxA.shape[1] <= dy.shape[1]:
      return x_AxN @ dy
    return jax.lax.optimization_barrier(transposed_copy(dy) @ x_NxA).T

  return tuple(map(gradient, dy_NxC))
