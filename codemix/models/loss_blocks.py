"""The vocabulary in blocks: so many rows of the head at a time as keep a matmul's result in a cache."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

CACHE_BYTES = 2**22  # of a block's logits; between 1 and 8 MiB the speed is the same
LEAST_ROWS = 512


class Blocks(NamedTuple):
  """`count` blocks of one size, of which the last overlaps the one before if they do not divide.

  Attributes:
    vocabulary: rows of the head.
    count: of blocks.
  """

  vocabulary: int
  count: int

  @classmethod
  def in_cache(cls, vocabulary: int, tokens: int) -> Blocks:
    """Blocks for a chunk of that many tokens."""
    most = max(CACHE_BYTES // (4 * tokens), LEAST_ROWS)
    size = -(-vocabulary // -(-vocabulary // most))
    return cls(vocabulary, -(-vocabulary // size))

  @property
  def size(self) -> int:
    """Rows of a block."""
    return -(-self.vocabulary // self.count)

  def ids(self, i: jax.Array) -> jax.Array:
    """Rows of the head that block i has, int32 [size]."""
    return self._start(i) + jnp.arange(self.size)

  def fresh(self, i: jax.Array) -> jax.Array | bool:
    """Which of them no earlier block has."""
    return True if self.vocabulary == self.count * self.size else self.ids(i) >= i * self.size

  def find(self, i: jax.Array, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Whether a row of the head is a fresh one of block i; and where in the block, 0 if it is not."""
    place = rows - self._start(i)
    is_here = (rows >= i * self.size) & (place < self.size)
    return is_here, jnp.where(is_here, place, 0)

  def take(self, i: jax.Array, a_VxD: jax.Array) -> jax.Array:
    """Block i of an array."""
    return jax.lax.dynamic_slice_in_dim(a_VxD, self._start(i), self.size)

  def add(self, i: jax.Array, a_VxD: jax.Array, block: jax.Array) -> jax.Array:
    """The array with `block` added to its block i."""
    return jax.lax.dynamic_update_slice_in_dim(
      a_VxD, self.take(i, a_VxD) + block, self._start(i), 0
    )

  def _start(self, i: jax.Array) -> jax.Array:
    return jnp.minimum(i * self.size, self.vocabulary - self.size)
