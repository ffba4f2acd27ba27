"""Rotary positions (Su et al., arXiv:2104.09864), interleaved as in that paper and in Cohere's models.

Interleaved means that numbers 2i and 2i+1 of a head rotate together. Accelerators and CPUs are slow at
such strided access, and a permutation that queries and keys share does not change their dot product.
So the *weights* of queries and keys are permuted (`halves_from_pairs`), and number i of the first half
rotates with number i of the second.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def halves_from_pairs(weight: jax.Array) -> jax.Array:
  """Reorders the last axis [x0 y0 x1 y1 ...] as [x0 x1 ... y0 y1 ...]."""
  pairs = weight.reshape(*weight.shape[:-1], -1, 2)
  return pairs.swapaxes(-1, -2).reshape(weight.shape)


def turns(positions: jax.Array, head_dim: int, theta: float) -> tuple[jax.Array, jax.Array]:
  """Cosine and sine of each position's angles, float32 [..., 1, head_dim / 2]."""
  frequencies = theta ** (-jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)
  angles = positions.astype(jnp.float32)[..., None, None] * frequencies
  return jnp.cos(angles), jnp.sin(angles)


def rotate(x_NxHxK: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
  """Rotates each pair (x_i, y_i) of a head by its position's angle, in float32."""
  x, y = jnp.split(x_NxHxK.astype(jnp.float32), 2, axis=-1)
  turned = jnp.concatenate([x * cos - y * sin, x * sin + y * cos], axis=-1)
  return turned.astype(x_NxHxK.dtype)
